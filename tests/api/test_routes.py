"""The one table of paths: every way to write one, and what is said of those that are none."""

import httpx2
import pytest
from httpx2 import ASGITransport

from app.api.routes import API, OTHERS, advice, canonical
from app.configuration.reading import check
from app.main import create_app
from app.settings.settings import Settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((path, path) for path in (*API, *OTHERS)),
        ("/v1/images/generations/", "/v1/images/generations"),
        ("//v1/images/generations", "/v1/images/generations"),
        ("/v1//images//generations//", "/v1/images/generations"),
        ("/images/generations", "/v1/images/generations"),
        ("//images/generations", "/v1/images/generations"),
        ("/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/models/gpt-image-2", "/v1/models/gpt-image-2"),
        ("/v1/models/openai/gpt-image-2/", "/v1/models/openai/gpt-image-2"),
        ("/usage/", "/v1/usage"),
        ("/healthz/", "/healthz"),
        ("/v1/v1/images/generations", "/v1/v1/images/generations"),
        ("/v1/healthz", "/v1/healthz"),
        ("/", "/"),
        ("//", "//"),
        ("/elsewhere/", "/elsewhere/"),
    ],
)
def test_a_path_is_put_into_the_form_of_the_table(written: str, meant: str) -> None:
    assert canonical(written) == meant
    assert canonical(meant) == meant


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/images/generation", "/v1/images/generations"),
        ("/v1/image/generations", "/v1/images/generations"),
        ("/v1/v1/images/generations", "/v1/images/generations"),
        ("/api/v1/images/generations/", "/v1/images/generations"),
        ("/openai/deployments/gpt-image-2/images/generations", "/v1/images/generations"),
        ("/v1/v1/models", "/v1/models"),
        ("/v1/chat/completions", "This gateway makes images: POST /v1/images/generations"),
        ("/v1/responses", "This gateway makes images"),
        ("/v1/nothing", "/docs"),
        ("/" + "a/" * 30_000, "/docs"),
    ],
)
def test_a_wrong_path_is_told_which_one_was_probably_meant(path: str, named: str) -> None:
    assert named in advice(path)


async def test_the_table_has_every_route_there_is() -> None:
    gateway = create_app(check(Settings(_env_file=None)).configuration)
    async with httpx2.AsyncClient(transport=ASGITransport(gateway), base_url="http://gateway") as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert {path for path in paths if "{" not in path} == {*API, *OTHERS}
