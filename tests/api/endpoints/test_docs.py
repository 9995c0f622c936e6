"""/docs: every route is on the page, and a browser needs nothing and tells nothing beyond this server."""

import re
from html.parser import HTMLParser

import httpx2
from httpx2 import ASGITransport

from app.api.endpoints.docs import page
from app.configuration.reading import check
from app.main import create_app
from app.settings.settings import Settings

GATEWAY = create_app(check(Settings(_env_file=None)).configuration)


class Addresses(HTMLParser):
    """Every address the page names, and every element that runs or fetches something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self.elements: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.found += [value for name, value in attrs if name in ("href", "src", "action", "srcset")]


async def test_the_page_lists_every_route_with_its_fields() -> None:
    async with httpx2.AsyncClient(transport=ASGITransport(GATEWAY), base_url="http://gateway") as client:
        answer = await client.get("/docs")
        document = (await client.get("/openapi.json")).json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    listed = set(re.findall(r"<h2><code>([A-Z]+ \S+)</code>", answer.text))
    assert listed == {f"{method.upper()} {path}" for path, ways in document["paths"].items() for method in ways}
    assert "POST /v1/images/generations" in listed
    assert "<code>prompt</code> (required)" in answer.text


async def test_the_page_needs_and_tells_nobody_else() -> None:
    async with httpx2.AsyncClient(transport=ASGITransport(GATEWAY), base_url="http://gateway") as client:
        answer = await client.get("/docs")
    parser = Addresses()
    parser.feed(answer.text)
    assert parser.found == ["openapi.json"]
    assert parser.elements.isdisjoint({"script", "link", "img", "iframe", "base", "object", "form"})
    assert "//" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")


def test_what_the_document_says_cannot_become_markup() -> None:
    operation = {"description": "<script>alert(1)</script>", "responses": {"200": {"description": "<b>"}}}
    html = page({"info": {"title": "<i>", "version": "1"}, "paths": {"/<u>": {"get": operation}}})
    assert not re.search(r"<(script|b|i|u)>", html)
