"""Every header the document tells of can be read by the pages that may call."""

import httpx2
from httpx2 import ASGITransport
from starlette.responses import PlainTextResponse

from app.api.cors import Cors
from app.api.openapi.headers import OF_IMAGES, header_components, header_refs


def test_each_reference_leads_to_a_header() -> None:
    for reference in header_refs(*OF_IMAGES).values():
        assert reference["$ref"].rsplit("/", 1)[-1] in header_components()


async def test_pages_may_read_every_header_that_is_told_of() -> None:
    gateway = Cors(PlainTextResponse("an answer"), ("*",))
    async with httpx2.AsyncClient(transport=ASGITransport(gateway), base_url="http://gateway") as client:
        answer = await client.get("/", headers={"origin": "https://studio.example"})
    readable = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    # How a key is sent, and the methods there are, are for people who write clients.
    assert header_components().keys() - readable == {"www-authenticate", "allow"}
