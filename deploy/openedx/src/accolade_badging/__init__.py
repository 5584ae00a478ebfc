"""Badges for XBlocks, by Accolade.

`BadgingService` is what an XBlock that says `@XBlock.wants('badging')` gets, with the interface that the
service of Open edX's LMS had::

    services['badging'] = BadgingService('http://accolade:8080', token=make_a_token, course_id=course_key)
"""

from .client import Client, Token
from .errors import BadgingError, CourseBadgesDisabledError
from .service import BadgeAssertion, BadgeClass, BadgingService, PendingAward
from .users import Learner

__all__ = [
    "BadgeAssertion",
    "BadgeClass",
    "BadgingError",
    "BadgingService",
    "Client",
    "CourseBadgesDisabledError",
    "Learner",
    "PendingAward",
    "Token",
]
