"""What the tests share."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator

import pytest
from accolade_badging import BadgeClass, BadgingService
from contract_server import PNG, TOKEN, ContractServer

COURSE = "course-v1:edX+DemoX+2026"


@pytest.fixture
def accolade() -> Iterator[ContractServer]:
    server = ContractServer()
    yield server
    # Connections of the client's threads close with it.
    gc.collect()
    server.stop()


@pytest.fixture
def service(accolade: ContractServer) -> BadgingService:
    return BadgingService(accolade.url, TOKEN, course_id=COURSE, timeout=10)


@pytest.fixture
def get(service: BadgingService) -> Callable[..., BadgeClass | None]:
    """`get_badge_class` with all that a new one needs; each argument may be another."""

    def call(**other: object) -> BadgeClass | None:
        arguments = {
            "slug": "explorer",
            "issuing_component": "my_block",
            "display_name": "Explorer",
            "description": "Found the hidden room",
            "criteria": "Find the hidden room",
            "course_id": COURSE,
            "mode": "verified",
            "image_file_handle": io.BytesIO(PNG + b"rest"),
        }
        return service.get_badge_class(**{**arguments, **other})  # type: ignore[arg-type]

    return call
