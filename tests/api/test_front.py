"""The outermost door: what goes straight to its handler, and what goes through FastAPI."""

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from app.api.front import Front
from app.api.services import event_of
from app.errors import InvalidRequest, StoreUnavailable
from app.telemetry.event import Outcome, RequestEvent


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("elsewhere")(scope, receive, send)


async def straight(_: Request) -> Response:
    return PlainTextResponse("straight")


async def refused(_: Request) -> Response:
    raise InvalidRequest("Invalid 'n'.", param="n", code="invalid_type")


async def unavailable(_: Request) -> Response:
    raise StoreUnavailable("Try again.")


async def reserved_then_failed(request: Request) -> Response:
    """As an exchange does: its settlement has said how the request ended when its error comes out."""
    event = event_of(request)
    event.is_reserved, event.outcome = True, Outcome.UPSTREAM_FAILED
    raise StoreUnavailable("Try again.")


FRONT = Front(
    elsewhere,
    {"/straight": straight, "/refused": refused, "/unavailable": unavailable, "/reserved": reserved_then_failed},
)


async def ask(path: str, method: str = "POST") -> tuple[int, bytes, RequestEvent]:
    """Status, body, and what the request's event says."""
    event = RequestEvent("req_1", path, 0.0)
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "state": {"event": event}}
    await FRONT(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent), event


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("/straight", "POST", b"straight"),
        ("/straight", "GET", b"elsewhere"),
        ("/straight/", "POST", b"elsewhere"),
        ("/other", "POST", b"elsewhere"),
    ],
)
async def test_only_a_post_to_its_very_path_goes_straight(path: str, method: str, body: bytes) -> None:
    assert (await ask(path, method))[1] == body


async def test_an_error_is_answered_and_noted() -> None:
    status, body, event = await ask("/refused")
    assert (status, event.refusal, event.error_code, event.outcome) == (
        400,
        "invalid_type",
        "invalid_type",
        Outcome.REJECTED,
    )
    assert b'"param":"n"' in body
    status, _, event = await ask("/unavailable")
    assert (status, event.refusal, event.outcome) == (503, "store_unavailable", Outcome.UNAVAILABLE)


async def test_of_what_was_reserved_only_the_exchange_says_how_it_ended() -> None:
    status, _, event = await ask("/reserved")
    assert (status, event.error_code, event.outcome) == (503, "store_unavailable", Outcome.UPSTREAM_FAILED)
