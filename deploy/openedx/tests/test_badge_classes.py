"""`get_badge_class` gets or creates, as the LMS's did."""

from __future__ import annotations

import io

import pytest
from accolade_badging import BadgingError, CourseBadgesDisabledError
from conftest import COURSE
from contract_server import PNG


class Unreadable(io.BytesIO):
    def read(self, *_: object) -> bytes:
        raise AssertionError("the image is read although the badge class is there")


def test_a_new_badge_class_is_made_with_all_that_was_said(get, accolade):
    made = get()
    assert (made.id, made.slug, made.issuing_component, made.mode) == (1, "explorer", "my_block", "verified")
    assert made.display_name == "Explorer"
    assert made.description == "Found the hidden room"
    assert made.criteria == "Find the hidden room"
    assert made.course_id == COURSE
    assert made.image_url == accolade.classes[0]["image_url"]
    assert (PNG + b"rest") in accolade.asked[-1].body


def test_one_that_exists_stays_as_it_is_and_its_image_is_not_read(get, accolade):
    first = get()
    again = get(display_name="Another name", image_file_handle=Unreadable())
    assert again == first
    assert [path for path in accolade.paths() if path.startswith("POST")] == ["POST badge-classes/"]


def test_one_that_exists_needs_only_its_key(get, service):
    made = get(course_id="")
    assert service.get_badge_class("explorer", "my_block") == made
    assert service.get_badge_class(slug="explorer", issuing_component="my_block", create=False) == made


def test_slug_and_component_are_lower_cased(get):
    assert get(slug="Explorer", issuing_component="My_Block") == get()


def test_without_create_there_may_be_none(get, accolade):
    assert get(create=False) is None
    assert not accolade.classes
    made = get()
    assert get(create=False) == made


def test_the_same_slug_in_another_course_or_component_is_another(get):
    other_courses = {get(course_id=course).id for course in ("", COURSE, "course-v1:edX+Other+2026")}
    other_components = {get(issuing_component=name).id for name in ("", "your_block")}
    assert len(other_courses | other_components) == 5
    assert get(course_id="").course_id == ""


def test_it_is_found_beyond_the_first_page(get, service, accolade):
    accolade.largest_page = 2
    for number in range(5):
        get(course_id=f"course-v1:edX+C{number}+2026")
    last = get(course_id="")
    assert service.get_badge_class("explorer", "my_block", create=False) == last


def test_one_that_somebody_else_makes_at_the_same_time_is_taken(get, accolade, service):
    made = get()
    accolade_find, service._find = service._find, lambda key: None
    assert get(display_name="Another name") == made
    service._find = accolade_find


@pytest.mark.parametrize("missing", ["display_name", "description", "criteria"])
def test_what_is_missing_is_named(get, missing):
    with pytest.raises(BadgingError, match=missing) as raised:
        get(**{missing: None})
    assert (raised.value.status, raised.value.field) == (400, missing)


def test_a_new_one_needs_an_image_and_a_png(get, accolade):
    with pytest.raises(BadgingError, match="image"):
        get(image_file_handle=None)
    with pytest.raises(BadgingError, match="image: not a PNG"):
        get(image_file_handle=io.BytesIO(b"GIF89a"))
    assert not accolade.classes


def test_a_course_may_have_its_badges_off(get, service, accolade):
    accolade.courses[COURSE] = False
    assert not service.course_badges_enabled
    with pytest.raises(CourseBadgesDisabledError):
        get()
    assert not accolade.classes
    assert get(course_id="") is not None
    accolade.courses[COURSE] = True
    assert service.course_badges_enabled
    assert get() is not None


def test_badges_are_on_in_a_course_that_nobody_spoke_of_and_off_without_a_course(service, accolade):
    from accolade_badging import BadgingService

    assert service.course_badges_enabled
    assert not BadgingService(accolade.url, "unused").course_badges_enabled


def test_a_course_key_may_be_an_object_and_have_slashes(get, accolade):
    class Key:
        def __str__(self) -> str:
            return "edX/DemoX/2026"

    accolade.courses["edX/DemoX/2026"] = True
    made = get(course_id=Key())
    assert "GET courses/edX%2FDemoX%2F2026/" in accolade.paths()
    assert made.course_id == "edX/DemoX/2026"
    assert get(course_id="edX/DemoX/2026") == made
