"""What browsers are answered: preflights that are refused are refused in OpenAI's envelope, as everything else is."""

from typing import Any

import httpx2
import pytest
from httpx2 import ASGITransport
from starlette.responses import PlainTextResponse

from app.api.cors import Cors

PAGE = "https://studio.example"
ASKING = {"origin": PAGE, "access-control-request-method": "POST"}


async def ask(method: str, headers: dict[str, str]) -> httpx2.Response:
    gateway = Cors(PlainTextResponse("an answer"), (PAGE,))
    async with httpx2.AsyncClient(transport=ASGITransport(gateway), base_url="http://gateway") as client:
        return await client.request(method, "/v1/images/generations", headers=headers)


async def test_a_preflight_that_is_granted_is_the_frameworks() -> None:
    answer = await ask("OPTIONS", {**ASKING, "access-control-request-headers": "authorization"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert answer.headers["access-control-allow-headers"] == "authorization"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"origin": "https://evil.example"}, "origin"),
        ({"access-control-request-method": "TRACE"}, "method"),
        ({"access-control-request-private-network": "true"}, "private-network"),
    ],
)
async def test_a_preflight_that_is_refused_says_so_in_the_envelope(changed: dict[str, str], named: str) -> None:
    answer = await ask("OPTIONS", {**ASKING, **changed})
    told: dict[str, Any] = answer.json()["error"]
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert told.keys() == {"message", "type", "param", "code"}
    assert (told["type"], told["code"]) == ("invalid_request_error", "cors_not_allowed")
    assert named in told["message"]
    assert "evil" not in answer.headers.get("access-control-allow-origin", "")
    assert answer.headers["vary"].startswith("Origin")
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_an_answer_is_readable_by_that_page_alone() -> None:
    assert (await ask("POST", {"origin": PAGE})).headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-origin" not in (await ask("POST", {"origin": "https://evil.example"})).headers
