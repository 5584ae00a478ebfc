"""A block in the real XBlock runtime gets the service, and awards once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from contract_server import TOKEN

SCRIPT = Path(__file__).resolve().parents[3] / "tests/fixtures/xblock_badging.py"


def run(accolade, **environment: str) -> dict[str, int]:
    given = {"ACCOLADE_URL": accolade.url, "ACCOLADE_TOKEN": TOKEN, **environment}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env={**os.environ, **given}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("xblock_badging", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_block_that_is_visited_twice_awards_once(accolade):
    assert run(accolade) == {"awarded": 1, "visits": 2, "assertions": 1}
    assert [path for path in accolade.paths() if path.startswith("POST")] == [
        "POST badge-classes/",
        "POST badge-classes/1/award/",
    ]
    assert accolade.classes[0]["course_id"] == "course-v1:edX+DemoX+2026"
    assert [learner for _, learner, _ in accolade.assertions] == [1]


def test_whoever_has_the_badge_already_gets_none(accolade):
    run(accolade)
    assert run(accolade) == {"awarded": 0, "visits": 2, "assertions": 1}
    other = {"ACCOLADE_USER_ID": "2", "ACCOLADE_USERNAME": "learner2"}
    assert run(accolade, **other) == {"awarded": 1, "visits": 2, "assertions": 1}
    assert len(accolade.classes) == 1


def test_the_page_says_so(accolade, script):
    services = {"badging": script.BadgingService(accolade.url, TOKEN), "user": script.Visitors(1, "learner1")}
    course = script.Course(1, services)
    assert "You found it: Explorer" in course.visit()
    assert "You were here: Explorer" in course.visit()


def test_a_block_that_wants_badges_lives_without_them(script):
    course = script.Course(1, {"user": script.Visitors(1, "learner1")})
    assert "You found the hidden room." in course.visit()
