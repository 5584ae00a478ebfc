"""A small Accolade: a real HTTP server on 127.0.0.1 that keeps to the contract of the API, as far as badging uses it."""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

TOKEN = "an-administrators-token"
PNG = b"\x89PNG\r\n\x1a\n"
#: What clients find in `next`: an address they cannot reach, as behind a proxy.
PUBLIC_URL = "https://badges.example.com"


class Problem(Exception):
    def __init__(self, status: int, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.document = {"type": "about:blank", "status": status, "detail": detail}
        if field:
            self.document["field"] = field


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    thread: int = 0


@dataclass
class ContractServer:
    """What it knows, and how it shall misbehave."""

    learners: dict[int, str] = field(default_factory=lambda: {1: "learner1", 2: "learner2"})
    courses: dict[str, bool] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    #: (badge class, learner, assertion), oldest first
    assertions: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: So many requests are handled, and then their connection breaks before the answer.
    breaks: int = 0
    #: So many badges take longer than anybody waits.
    slow_awards: int = 0
    #: Nothing is answered until this is set.
    open_gate: threading.Event = field(default_factory=threading.Event)
    largest_page: int = 100
    #: Answered instead of anything else: status, headers, body.
    instead: tuple[int, dict[str, str], bytes] | None = None

    def __post_init__(self) -> None:
        self.open_gate.set()
        self.lock = threading.Lock()
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in one piece.
            wbufsize = -1

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                world._handle(self)

            do_GET = do_POST = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.open_gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def paths(self) -> list[str]:
        """What was asked: method and path below the API's."""
        return [f"{asked.method} {asked.path.removeprefix('/api/badges/v1/')}" for asked in self.asked]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        asked = Asked(
            handler.command, url.path, dict(parse_qsl(url.query)), dict(handler.headers), body, threading.get_ident()
        )
        self.open_gate.wait(30)
        with self.lock:
            self.asked.append(asked)
            if self.instead:
                status, headers, content = self.instead
            else:
                headers = {"Content-Type": "application/json"}
                try:
                    status, answer = self._answer(asked)
                except Problem as problem:
                    status, answer = problem.status, problem.document
                    headers = {"Content-Type": "application/problem+json"}
                content = json.dumps(answer).encode()
            broken = self.breaks > 0
            self.breaks -= broken
        if broken:
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("Authorization") != f"JWT {TOKEN}":
            raise Problem(401, "A token is needed: Authorization: JWT …, one that holds.")
        prefix = "/api/badges/v1/"
        if not asked.path.startswith(prefix):
            raise Problem(404, "There is nothing at this address.")
        parts = [unquote(part) for part in asked.path.removeprefix(prefix).strip("/").split("/")]
        match (asked.method, *parts):
            case ("POST", "badge-classes"):
                return self._create(asked)
            case ("GET", "badge-classes"):
                wanted = [(name, asked.query.get(name)) for name in ("slug", "issuing_component", "course_id")]
                return self._page(
                    asked,
                    [item for item in self.classes if all(not text or item[name] == text for name, text in wanted)],
                )
            case ("POST", "badge-classes", number, "award"):
                return self._award(self._class(number), asked)
            case ("GET", "badge-classes", number, "assertions"):
                badge_class, learner = self._class(number), self._learner(asked.query.get("username"))
                own = [item for key, who, item in self.assertions if (key, who) == (badge_class["id"], learner)]
                return self._page(asked, own[::-1])
            case ("GET", "assertions", "user", username):
                learner, course = self._learner(username), asked.query.get("course_id")
                courses = {item["id"]: item["course_id"] for item in self.classes}
                own = [
                    item
                    for key, who, item in self.assertions
                    if who == learner and (not course or courses[key] == course)
                ]
                return self._page(asked, own[::-1])
            case ("GET", "courses", course):
                if course not in self.courses:
                    raise Problem(404, "No course of this key is known here.")
                return 200, {"course_id": course, "issue_badges": self.courses[course]}
        raise Problem(404, "There is nothing at this address.")

    def _class(self, number: str) -> dict[str, Any]:
        for item in self.classes:
            if str(item["id"]) == number:
                return item
        raise Problem(404, "There is no badge class of this id.")

    def _learner(self, username: str | None) -> int:
        for number, name in self.learners.items():
            if name == username:
                return number
        raise Problem(404, "There is no learner of this username.")

    def _page(self, asked: Asked, items: list[Any]) -> tuple[int, Any]:
        size = min(int(asked.query.get("page_size", 10)), self.largest_page)
        page, pages = int(asked.query.get("page", 1)), max(1, -(-len(items) // size))
        if page > pages:
            raise Problem(404, f"page: there is no such page, the last one is {pages}.")
        following = f"{PUBLIC_URL}{asked.path}?{urlencode({**asked.query, 'page': page + 1})}"
        start = (page - 1) * size
        return 200, {
            "count": len(items),
            "num_pages": pages,
            "current_page": page,
            "start": start,
            "next": following if page < pages else None,
            "previous": None,
            "results": items[start : start + size],
        }

    def _create(self, asked: Asked) -> tuple[int, Any]:
        media_type = asked.headers.get("Content-Type", "")
        if not media_type.startswith("multipart/form-data"):
            raise Problem(415, "Send multipart/form-data with the image as a file.")
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        form = parser.parsebytes(f"Content-Type: {media_type}\r\n\r\n".encode() + asked.body)
        texts: dict[str, str] = {}
        image = b""
        for part in form.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if name == "image" and part.get_filename():
                image = content
            else:
                texts[name] = content.decode()
        for name in ("slug", "display_name", "description", "criteria"):
            if not texts.get(name):
                raise Problem(400, f"{name}: must not be empty", name)
        if not image.startswith(PNG):
            raise Problem(400, "image: not a PNG", "image")
        key = {name: texts.get(name, "").lower() for name in ("slug", "issuing_component")}
        key["course_id"] = texts.get("course_id") or None
        for item in self.classes:
            if all(item[name] == text for name, text in key.items()):
                return 200, item
        rest = {name: texts.get(name, "") for name in ("mode", "display_name", "description", "criteria")}
        number = len(self.classes) + 1
        item = {"id": number, **key, **rest, "image_url": f"{PUBLIC_URL}/ob2/badges/{number}/image.png"}
        self.classes.append({**item, "backend": None, "backend_id": None})
        return 201, self.classes[-1]

    def _award(self, badge_class: dict[str, Any], asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("Content-Type") != "application/json":
            raise Problem(415, "Send application/json.")
        body = json.loads(asked.body)
        if ("username" in body) == ("user_id" in body):
            raise Problem(400, "username: expected either this or user_id", "username")
        learner = body["user_id"] if "user_id" in body else self._learner(body["username"])
        if learner not in self.learners:
            raise Problem(404, "There is no learner of this id.")
        evidence = body.get("evidence_url")
        if evidence is not None and not evidence.startswith(("http://", "https://")):
            raise Problem(400, "evidence_url: expected http or https", "evidence_url")
        for key, who, item in self.assertions:
            if (key, who) == (badge_class["id"], learner):
                return 200, item
        number = len(self.assertions) + 1
        if "wait" not in asked.query or self.slow_awards:
            self.slow_awards -= self.slow_awards > 0
            return 202, {"id": f"award-{number}", "state": "pending", "reason": None, "attempts": 0}
        names = ("slug", "issuing_component", "display_name", "course_id", "description", "criteria", "image_url")
        assertion = {
            "badge_class": {name: badge_class[name] for name in names},
            "image_url": f"{PUBLIC_URL}/ob2/assertions/{number}/image.png",
            "assertion_url": f"{PUBLIC_URL}/ob2/assertions/{number}",
            "created": f"2026-11-24T12:00:{number % 60:02}Z",
        }
        self.assertions.append((badge_class["id"], learner, assertion))
        return 200, assertion
