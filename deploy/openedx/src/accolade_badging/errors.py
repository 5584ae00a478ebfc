"""What can go wrong."""

from __future__ import annotations


class BadgingError(Exception):
    """Accolade refused a request, or could not be asked.

    `str()` of it is a sentence that a person can act on: the `detail` of Accolade's problem document
    (RFC 9457) where there is one. It never holds the token.
    """

    def __init__(self, detail: str, *, status: int | None = None, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        #: The HTTP status; `None` when there was no answer.
        self.status = status
        #: The field of the request that was wrong, where one was.
        self.field = field


class CourseBadgesDisabledError(BadgingError):
    """A badge of a course was asked for, and the course's `issue_badges` is off."""
