"""Awarding, and what a user has."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from accolade_badging import BadgeAssertion, BadgingError, BadgingService, PendingAward
from accolade_badging.users import Learner, learner_of
from conftest import COURSE
from contract_server import TOKEN


def xblock_user(**attributes: object) -> SimpleNamespace:
    return SimpleNamespace(opt_attrs={f"edx-platform.{name}": value for name, value in attributes.items()})


def test_an_award_gives_the_assertion_and_then_the_user_has_it(get):
    badge = get()
    assert badge.get_for_user("learner1") == []
    assertion = badge.award("learner1", evidence_url="https://lms.example.com/e/1")
    assert isinstance(assertion, BadgeAssertion)
    assert assertion.assertion_url.startswith("https://") and assertion.image_url.endswith(".png")
    assert badge.get_for_user("learner1") == badge.assertions_for_user(user="learner1") == [assertion]
    assert badge.get_for_user("learner2") == []


def test_a_second_award_is_the_first(get, accolade):
    badge = get()
    assert badge.award("learner1") == badge.award("learner1")
    assert len(accolade.assertions) == 1


def test_an_award_that_is_not_there_in_time_is_pending(get, accolade):
    accolade.slow_awards = 1
    award = get().award("learner1")
    assert isinstance(award, PendingAward)
    assert (award.id, award.state, award.reason) == ("award-1", "pending", None)


def test_the_wait_is_said_and_may_be_none(get, accolade):
    get().award("learner1")
    assert accolade.asked[-1].query == {"wait": "5"}
    service = BadgingService(accolade.url, TOKEN, award_wait=0)
    badge = service.get_badge_class("explorer", "my_block", course_id=COURSE)
    assert isinstance(badge.award("learner2"), PendingAward)
    assert accolade.asked[-1].query == {}
    for wait in (-1, 61):
        with pytest.raises(ValueError, match="award_wait"):
            BadgingService(accolade.url, TOKEN, award_wait=wait)


def test_an_award_may_take_as_long_as_its_wait(get, accolade):
    get()
    service = BadgingService(accolade.url, TOKEN, timeout=0.3, award_wait=20)
    badge = service.get_badge_class("explorer", "my_block", course_id=COURSE)
    accolade.open_gate.clear()
    later = threading.Timer(1.0, accolade.open_gate.set)
    later.start()
    assert isinstance(badge.award("learner1"), BadgeAssertion)
    later.join()


def test_an_id_names_the_learner_where_it_is_known(get, accolade):
    badge = get()
    django = SimpleNamespace(id=1, username="renamed", email="learner1@example.com")
    badge.award(django, "https://lms.example.com/e/1")
    assert json.loads(accolade.asked[-1].body) == {"user_id": 1, "evidence_url": "https://lms.example.com/e/1"}
    badge.award("learner2")
    assert json.loads(accolade.asked[-1].body) == {"username": "learner2"}


def test_what_is_wrong_with_an_award_is_said(get):
    badge = get()
    with pytest.raises(BadgingError, match="no learner of this username") as raised:
        badge.award("nobody")
    assert raised.value.status == 404
    with pytest.raises(BadgingError, match="evidence_url") as raised:
        badge.award("learner1", evidence_url="ftp://example.com")
    assert raised.value.field == "evidence_url"


def test_a_learner_accolade_never_heard_of_has_none(get, service):
    assert get().get_for_user("nobody") == []
    assert service.assertions_for_user(user="nobody") == []


def test_all_badges_of_a_user_newest_first_over_pages(get, service, accolade):
    accolade.largest_page = 2
    of_course = [get(slug=f"badge{number}").award("learner1") for number in range(5)]
    of_none = get(course_id="").award("learner1")
    assert service.assertions_for_user(user="learner1") == [of_none, *reversed(of_course)]
    assert service.assertions_for_user(user="learner1", course_id=COURSE) == of_course[::-1]


@pytest.mark.parametrize(
    ("user", "learner"),
    [
        ("ada", Learner("ada")),
        (SimpleNamespace(id=7, username="ada", email="ada@example.com"), Learner("ada", 7)),
        (xblock_user(user_id=7, username="ada"), Learner("ada", 7)),
        (xblock_user(username="ada"), Learner("ada")),
        (xblock_user(username="ada", user_id="7"), Learner("ada")),
        (Learner("ada", 7), Learner("ada", 7)),
    ],
)
def test_users_of_each_kind_are_understood(user, learner):
    assert learner_of(user) == learner


@pytest.mark.parametrize(
    "user", ["", None, 7, xblock_user(), xblock_user(user_id=7), SimpleNamespace(id=None, username="")]
)
def test_nobody_is_no_learner(user):
    with pytest.raises(BadgingError, match="username"):
        learner_of(user)
