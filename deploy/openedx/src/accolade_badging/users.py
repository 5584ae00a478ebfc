"""Who a badge is for: users as Django, the XBlock runtime and people name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import BadgingError

USER_ID = "edx-platform.user_id"
USERNAME = "edx-platform.username"


@dataclass(frozen=True, slots=True)
class Learner:
    """A learner of the platform; at least the username is known."""

    username: str
    #: The LMS's id. It stays when the username changes, so it names the learner where it can.
    id: int | None = None


def learner_of(user: object) -> Learner:
    """Read a username, an XBlock user or a Django user (in this order).

    `BadgingError` for somebody who is not logged in, and for anything that is no user.
    """
    if isinstance(user, Learner):
        return user
    if isinstance(user, str):
        return _learner(user, None)
    attributes = getattr(user, "opt_attrs", None)
    if isinstance(attributes, Mapping):
        return _learner(attributes.get(USERNAME), attributes.get(USER_ID))
    return _learner(getattr(user, "username", None), getattr(user, "id", None))


def _learner(username: object, user_id: object) -> Learner:
    if not isinstance(username, str) or not username:
        raise BadgingError(
            "Only a user with a username can have badges: expected a Django user, a user of the XBlock "
            "runtime who is logged in, or a username."
        )
    return Learner(username, user_id if isinstance(user_id, int) else None)
