"""The client where the network, the server or the token is not as it should be."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from accolade_badging import BadgingError, BadgingService, Client
from contract_server import TOKEN


def test_a_connection_that_breaks_once_is_tried_again_and_nothing_is_done_twice(get, accolade):
    badge = get()
    accolade.breaks = 1
    assertion = badge.award("learner1")
    assert len([path for path in accolade.paths() if path.endswith("award/")]) == 2
    assert [item["assertion_url"] for _, _, item in accolade.assertions] == [assertion.assertion_url]


def test_an_image_is_whole_when_it_is_sent_again(service, get, accolade, monkeypatch):
    monkeypatch.setattr(service, "_find", lambda key: None)
    monkeypatch.setattr(service, "_issues_badges", lambda course: True)
    accolade.breaks = 1
    get()
    first, second = accolade.asked
    assert b"rest" in second.body and len(first.body) == len(second.body)
    assert len(accolade.classes) == 1


def test_a_connection_that_breaks_twice_is_an_error(get, accolade):
    badge = get()
    accolade.breaks = 2
    with pytest.raises(BadgingError, match="cannot be reached") as raised:
        badge.award("learner1")
    assert raised.value.status is None


def test_nobody_there_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BadgingError, match="cannot be reached"):
        Client(f"http://127.0.0.1:{port}", TOKEN).get("badge-classes/")


def test_an_answer_that_does_not_come_ends_in_time_and_is_not_asked_for_again(accolade):
    accolade.open_gate.clear()
    start = time.monotonic()
    with pytest.raises(BadgingError, match="in time"):
        Client(accolade.url, TOKEN, timeout=0.2).get("badge-classes/")
    assert time.monotonic() - start < 5
    accolade.open_gate.set()
    deadline = time.monotonic() + 5
    while not accolade.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    assert accolade.paths() == ["GET badge-classes/"]


def test_a_connection_that_is_not_made_in_time_is_not_tried_again(monkeypatch):
    tries = []

    def request(*_: object, **__: object) -> None:
        tries.append(1)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests.Session, "request", request)
    with pytest.raises(BadgingError, match="in time"):
        Client("http://127.0.0.1:1", TOKEN).get("badge-classes/")
    assert len(tries) == 1


def test_a_wrong_token_is_told_and_not_quoted(accolade):
    with pytest.raises(BadgingError, match="token") as raised:
        Client(accolade.url, "not-the-token").get("badge-classes/")
    assert raised.value.status == 401
    assert "not-the-token" not in str(raised.value)


def test_a_function_gives_the_token_of_each_request(accolade):
    tokens = iter([TOKEN, "stale", TOKEN])
    client = Client(accolade.url, lambda: next(tokens))
    client.get("badge-classes/")
    with pytest.raises(BadgingError):
        client.get("badge-classes/")
    client.get("badge-classes/")


def test_a_netrc_does_not_replace_the_token(accolade, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    Client(accolade.url, TOKEN).get("badge-classes/")
    assert accolade.asked[0].headers["Authorization"] == f"JWT {TOKEN}"


def test_a_redirection_is_not_followed(accolade):
    accolade.instead = (302, {"Location": f"{accolade.url}/elsewhere"}, b"")
    with pytest.raises(BadgingError, match="302") as raised:
        Client(accolade.url, TOKEN).get("badge-classes/")
    assert raised.value.status == 302
    assert len(accolade.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (502, b"<html>bad gateway</html>", "502"),
        (500, b'{"detail": 7}', "500"),
        (200, b"<html>hello</html>", "not a JSON object"),
        (200, b"[]", "not a JSON object"),
        (503, b'{"detail": "Ask again in a few seconds."}', "Ask again in a few seconds."),
    ],
)
def test_answers_that_are_none_are_errors(accolade, status, body, says):
    accolade.instead = (status, {}, body)
    with pytest.raises(BadgingError, match=says) as raised:
        Client(accolade.url, TOKEN).get("badge-classes/")
    assert raised.value.status == status


@pytest.mark.parametrize("body", [b"{}", b'{"results": [{"id": "x"}], "next": null}', b'{"results": 1}'])
def test_answers_of_another_shape_are_errors(service, accolade, body):
    accolade.instead = (200, {}, body)
    with pytest.raises(BadgingError, match="something else"):
        service.assertions_for_user(user="learner1")


def test_a_list_that_becomes_shorter_meanwhile_ends(get, accolade):
    accolade.largest_page = 1
    for number in range(3):
        get(slug=f"badge{number}")
    items = Client(accolade.url, TOKEN).get_all("badge-classes/")
    assert next(items)["slug"] == "badge0"
    del accolade.classes[1:]
    assert list(items) == []


def test_a_list_that_does_not_end_is_an_error(accolade):
    accolade.instead = (200, {}, b'{"results": [], "next": "https://badges.example.com/?page=1"}')
    with pytest.raises(BadgingError, match="does not end"):
        list(Client(accolade.url, TOKEN).get_all("badge-classes/"))


def test_one_service_serves_many_threads(get, service, accolade):
    accolade.learners = {number: f"learner{number}" for number in range(64)}
    badge = get()

    def visit(number: int) -> int:
        badge.award(f"learner{number % 32}")
        return len(badge.get_for_user(f"learner{number % 32}"))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(visit, range(64))) == [1] * 64
    assert len(accolade.assertions) == 32


@pytest.mark.parametrize("url", ["accolade:8080", "ftp://accolade", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="url"):
        BadgingService(url, TOKEN)


def test_a_timeout_is_needed(accolade):
    with pytest.raises(ValueError, match="timeout"):
        Client(accolade.url, TOKEN, timeout=0)
