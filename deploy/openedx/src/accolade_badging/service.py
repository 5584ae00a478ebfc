"""The service `badging` of the XBlock runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import quote

from .client import Client, Token
from .errors import BadgingError, CourseBadgesDisabledError
from .users import Learner, learner_of

#: The API waits for an award at most this long.
_LONGEST_WAIT = 60


@dataclass(frozen=True, slots=True)
class BadgeAssertion:
    """A badge that a learner has."""

    image_url: str
    assertion_url: str
    #: When it was issued, ISO 8601.
    created: str
    #: All that Accolade said of it.
    data: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PendingAward:
    """An award that was taken and is not issued yet. Accolade goes on by itself; nothing has to be asked again."""

    id: str
    state: str
    #: Why it waits, where it is known (`no_email`).
    reason: str | None
    #: All that Accolade said of it.
    data: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadgeClass:
    """A kind of badge, as it is at Accolade."""

    id: int
    slug: str
    issuing_component: str
    display_name: str
    description: str
    criteria: str
    #: Empty for a badge of no course.
    course_id: str
    mode: str
    image_url: str
    _service: BadgingService = field(repr=False, compare=False)

    def get_for_user(self, user: object) -> list[BadgeAssertion]:
        """The user's assertions of this badge class, newest first; none for a learner Accolade never heard of."""
        return self._service._assertions(f"badge-classes/{self.id}/assertions/", {"username": learner_of(user).username})

    def assertions_for_user(self, *, user: object) -> list[BadgeAssertion]:
        """The same as `get_for_user`."""
        return self.get_for_user(user)

    def award(self, user: object, evidence_url: str | None = None) -> BadgeAssertion | PendingAward:
        """Award this badge. A user who has it gets no second one.

        Waits `award_wait` seconds for the assertion. `BadgingError` when it cannot be awarded, which includes a
        learner whom Accolade never heard of.
        """
        return self._service._award(self.id, learner_of(user), evidence_url)


class BadgingService:
    """What an XBlock gets by `self.runtime.service(self, 'badging')`.

    It has the interface of the service that Open edX's LMS had. One may serve all threads.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        course_id: object = None,
        timeout: float = 10.0,
        award_wait: int = 5,
    ) -> None:
        """`token` is an administrator's JWT, or a function that gives one for each request. `course_id` is the course
        of the blocks that are served; only `course_badges_enabled` looks at it. `timeout` and `award_wait` are in
        seconds; `award_wait` is at most 60, and 0 does not wait at all."""
        if not 0 <= award_wait <= _LONGEST_WAIT:
            raise ValueError(f"award_wait: expected 0 to {_LONGEST_WAIT} seconds")
        self._client = Client(url, token, timeout=timeout)
        self._course_id = str(course_id) if course_id else ""
        self._award_wait = award_wait

    @property
    def course_badges_enabled(self) -> bool:
        """Whether the course may have badges of its own; false without a course."""
        return bool(self._course_id) and self._issues_badges(self._course_id)

    def get_badge_class(
        self,
        slug: str,
        issuing_component: str,
        display_name: str | None = None,
        description: str | None = None,
        criteria: str | None = None,
        image_file_handle: IO[bytes] | None = None,
        mode: str = "",
        course_id: object = "",
        create: bool = True,
    ) -> BadgeClass | None:
        """Get the badge class of this slug, issuing component and course; make it if there is none.

        One that exists stays as it is, and the image is not read then. With `create=False` the answer is `None` if
        there is none. Slug and issuing component are lower-cased. `CourseBadgesDisabledError` if the course's
        `issue_badges` is off; `BadgingError` if something is missing that a new one needs.
        """
        course = str(course_id) if course_id else ""
        key = {"slug": slug.lower(), "issuing_component": issuing_component.lower(), "course_id": course}
        if course and not self._issues_badges(course):
            raise CourseBadgesDisabledError("This course does not have badges enabled.")
        found = self._find(key)
        if found is not None or not create:
            return found
        texts = {
            **key,
            "mode": mode,
            "display_name": display_name or "",
            "description": description or "",
            "criteria": criteria or "",
        }
        # Whoever was quicker made the one that is answered.
        files = {"image": _file(image_file_handle)}
        return self._badge_class(self._client.post("badge-classes/", form=texts, files=files)[1])

    def assertions_for_user(self, *, user: object, course_id: object = None) -> list[BadgeAssertion]:
        """All assertions of a user, newest first; with a course, those of its badge classes."""
        path = f"assertions/user/{quote(learner_of(user).username, safe='')}/"
        return self._assertions(path, {"course_id": str(course_id)} if course_id else {})

    def _find(self, key: dict[str, str]) -> BadgeClass | None:
        # An empty filter counts as none, so the answer may hold more than what is looked for.
        for item in self._client.get_all("badge-classes/", {name: text for name, text in key.items() if text}):
            if all((item.get(name) or "") == text for name, text in key.items()):
                return self._badge_class(item)
        return None

    def _issues_badges(self, course: str) -> bool:
        try:
            answer = self._client.get(f"courses/{quote(course, safe='')}/")
        except BadgingError as error:
            # A course that Accolade never heard of has the default.
            if error.status == 404:
                return True
            raise
        return answer.get("issue_badges") is not False

    def _badge_class(self, item: dict[str, Any]) -> BadgeClass:
        names = ("slug", "issuing_component", "display_name", "description", "criteria", "mode", "image_url")
        try:
            texts = {name: str(item[name]) for name in names}
            return BadgeClass(id=int(item["id"]), course_id=item.get("course_id") or "", _service=self, **texts)
        except (KeyError, TypeError, ValueError) as error:
            raise BadgingError("Accolade answered something else than a badge class.") from error

    def _assertions(self, path: str, query: dict[str, str]) -> list[BadgeAssertion]:
        try:
            return [_assertion(item) for item in self._client.get_all(path, query)]
        except BadgingError as error:
            # A learner, or a course, that Accolade never heard of.
            if error.status == 404:
                return []
            raise

    def _award(self, badge_class: int, learner: Learner, evidence_url: str | None) -> BadgeAssertion | PendingAward:
        body: dict[str, object] = {"username": learner.username} if learner.id is None else {"user_id": learner.id}
        if evidence_url:
            body["evidence_url"] = evidence_url
        wait = self._award_wait
        status, answer = self._client.post(
            f"badge-classes/{badge_class}/award/",
            query={"wait": str(wait)} if wait else None,
            json=body,
            patience=wait,
        )
        if status != 202:
            return _assertion(answer)
        try:
            return PendingAward(str(answer["id"]), str(answer["state"]), answer.get("reason"), answer)
        except KeyError as error:
            raise BadgingError("Accolade answered something else than an award.", status=status) from error


def _file(handle: IO[bytes] | None) -> tuple[str, bytes, str]:
    """The image as a form carries it. It is read here, so that it is still there when it has to be sent again."""
    if handle is None:
        raise BadgingError("image_file_handle: a new badge class needs an image, a square PNG.", field="image")
    return "badge.png", handle.read(), "image/png"


def _assertion(item: dict[str, Any]) -> BadgeAssertion:
    try:
        return BadgeAssertion(str(item["image_url"]), str(item["assertion_url"]), str(item["created"]), item)
    except (KeyError, TypeError) as error:
        raise BadgingError("Accolade answered something else than an assertion.") from error
