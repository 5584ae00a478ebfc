"""Accolade's HTTP API, as far as badging needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.auth import AuthBase

from .errors import BadgingError

#: A JWT, or what gives one that holds at the moment.
Token = str | Callable[[], str]

#: What a page of a list holds at most; the largest that the API gives.
_PAGE_SIZE = 100


class _Authorization(AuthBase):
    """Sets the header; as an `AuthBase`, so that no `.netrc` puts another one in its place."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._token() if callable(self._token) else self._token
        request.headers["Authorization"] = f"JWT {token}"
        return request


class Client:
    """Asks Accolade. One may serve all threads: each thread has connections of its own.

    A request whose connection breaks is sent once more: no request of this API does harm when it comes twice.
    A request that takes too long is not.
    """

    def __init__(self, url: str, token: Token, *, timeout: float = 10.0) -> None:
        """`url` is where Accolade listens (`http://accolade:8080`), without the API's path. `timeout` is in
        seconds: for a connection, and for each wait for a part of the answer."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("url: expected http://… or https://…")
        if timeout <= 0:
            raise ValueError("timeout: expected more than 0 seconds")
        self._base = url.rstrip("/") + "/api/badges/v1/"
        self._authorization = _Authorization(token)
        self._timeout = timeout
        self._of_thread = threading.local()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Get an object; the path is below `/api/badges/v1/`."""
        return self._ask("GET", path, query=query)[1]

    def get_all(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Go through a list, page by page.

        Of `next` only the page's number is taken: Accolade names itself by its public address there, which may
        be another than the one that is asked, and which gets no token.
        """
        page: str | None = "1"
        seen = set()
        while page is not None:
            if page in seen:
                raise BadgingError("Accolade's list does not end: a page names itself or an earlier one as the next.")
            seen.add(page)
            try:
                body = self.get(path, {**(query or {}), "page_size": str(_PAGE_SIZE), "page": page})
            except BadgingError as error:
                # The list became shorter meanwhile: there is no such page any more.
                if error.status == 404 and page != "1":
                    return
                raise
            results = body.get("results")
            if not isinstance(results, list):
                raise BadgingError("Accolade answered something else than a list.")
            yield from results
            following = body.get("next")
            page = parse_qs(urlsplit(following).query).get("page", [None])[-1] if following else None

    def post(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        patience: float = 0.0,
    ) -> tuple[int, dict[str, Any]]:
        """Post JSON or a form with files; the status and the answer. `patience` is how many seconds longer
        than others this request may take."""
        return self._ask("POST", path, query=query, json=json, data=form, files=files, patience=patience)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        patience: float = 0.0,
        **body: Any,
    ) -> tuple[int, dict[str, Any]]:
        def send() -> requests.Response:
            return self._session().request(
                method,
                self._base + path,
                params=query,
                auth=self._authorization,
                timeout=(self._timeout, self._timeout + patience),
                # The token is for this address and no other.
                allow_redirects=False,
                **body,
            )

        try:
            try:
                response = send()
            except requests.Timeout:
                raise
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                response = send()
        except requests.Timeout as error:
            raise BadgingError(f"Accolade did not answer in time ({self._timeout + patience:g} seconds).") from error
        except requests.RequestException as error:
            raise BadgingError(f"Accolade cannot be reached ({type(error).__name__}).") from error
        return response.status_code, _read(response)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["Accept"] = "application/json"
            session.headers["User-Agent"] = "accolade-badging"
            self._of_thread.session = session
        return session


def _read(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    status = response.status_code
    if 200 <= status < 300 and isinstance(body, dict):
        return body
    if 200 <= status < 300:
        raise BadgingError("Accolade's answer is not a JSON object; is this the address of Accolade?", status=status)
    problem = body if isinstance(body, dict) else {}
    detail, field = problem.get("detail"), problem.get("field")
    raise BadgingError(
        detail if isinstance(detail, str) and detail else f"Accolade answered {status} {response.reason}.",
        status=status,
        field=field if isinstance(field, str) else None,
    )
