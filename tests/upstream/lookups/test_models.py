"""The image models that ZenMux lists: what is sent, what is read, and what is said when nothing can be read."""

import json
from decimal import Decimal
from typing import Any

import pytest

from app.errors import RemoteFailure
from app.settings.settings import Settings
from app.upstream.lookups.models import ListedModel, ListedPrice, fetch_models, read_models
from tests.upstream.raw_server import Connection, answered, serve

GPT_IMAGE_2 = {  # as ZenMux documents it
    "id": "openai/gpt-image-2",
    "object": "model",
    "output_modalities": ["image"],
    "pricings": {"prompt": [{"value": 5, "unit": "perMTokens", "currency": "USD"}]},
}
CHAT = {"id": "openai/gpt-5", "output_modalities": ["text"], "pricings": {"prompt": "whatever"}}


def body_of(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def settings_for(url: str) -> Settings:
    return Settings(_env_file=None, zenmux_base_url=f"{url}/api/v1", zenmux_api_key="sk-ai-v1-secret")


async def no_wait(_: float) -> None:
    """Not in a test."""


async def test_it_asks_once_and_sends_no_key() -> None:
    async def good(connection: Connection) -> None:
        await connection.send(answered(body_of(GPT_IMAGE_2)))

    async with serve(good) as server:
        found = await fetch_models(settings_for(server.url))
    assert found == [ListedModel("openai/gpt-image-2", (ListedPrice("prompt", Decimal(5), "perMTokens"),))]
    [request] = server.requests
    assert request.startswith(b"GET /api/v1/models HTTP/1.1\r\n")
    assert b"secret" not in request


@pytest.mark.parametrize(
    ("status", "tries", "says"),
    [
        ("404 No", 1, "There is no list of models below ZENMUX_BASE_URL (404)"),
        ("403 No", 1, "does not tell which models it has (403)."),
        ("503 No", 3, "does not tell which models it has (503); try again later."),
    ],
)
async def test_a_refusal_is_said(status: str, tries: int, says: str) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.send(answered(b"{}", status=status))

    async with serve(refuse) as server:
        with pytest.raises(RemoteFailure) as caught:
            await fetch_models(settings_for(server.url), no_wait)
    assert says in caught.value.message
    assert len(server.requests) == tries


def test_only_models_that_make_images_are_read_each_once() -> None:
    listed = read_models(body_of(CHAT, GPT_IMAGE_2, {**GPT_IMAGE_2, "pricings": {}}, {"id": "x/y"}))
    assert [model.id for model in listed] == ["openai/gpt-image-2"]
    assert listed[0].prices


@pytest.mark.parametrize("pricings", [None, {}, {"prompt": []}])
def test_a_model_may_have_no_price(pricings: Any) -> None:
    assert read_models(body_of({**GPT_IMAGE_2, "pricings": pricings})) == [ListedModel("openai/gpt-image-2", ())]


def test_prices_are_exact() -> None:
    body = body_of(GPT_IMAGE_2).replace(b'"value": 5', b'"value": 0.0289')
    assert read_models(body)[0].prices[0].usd == Decimal("0.0289")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"nonsense", b'{"data": {}}', b"[" * 100_000, b'{"data": "x"}'])
def test_what_is_no_list_is_said(body: bytes) -> None:
    with pytest.raises(RemoteFailure, match="list of models cannot be read: "):
        read_models(body)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        {**GPT_IMAGE_2, "id": None},
        {**GPT_IMAGE_2, "id": "x" * 121},
        {**GPT_IMAGE_2, "id": "a\x1b[2J"},
        {**GPT_IMAGE_2, "output_modalities": 5},
        {**GPT_IMAGE_2, "pricings": [5]},
        {**GPT_IMAGE_2, "pricings": {"prompt": 5}},
        {**GPT_IMAGE_2, "pricings": {"prompt": [{"value": 5}]}},
        {**GPT_IMAGE_2, "pricings": {"prompt": [{"value": "NaN", "unit": "perMTokens"}]}},
        {**GPT_IMAGE_2, "pricings": {"prompt": [{"value": -1, "unit": "perMTokens"}]}},
        {**GPT_IMAGE_2, "pricings": {"prompt": [{"value": 1, "unit": "perMTokens", "currency": "CNY"}]}},
        {**GPT_IMAGE_2, "pricings": {"prompt": [{"value": 1, "unit": "perMTokens"}] * 51}},
        {**GPT_IMAGE_2, "pricings": {"a\x1b[2J": [{"value": 1, "unit": "perMTokens"}]}},
    ],
)
def test_an_entry_that_cannot_be_read_is_named(wrong: Any) -> None:
    with pytest.raises(RemoteFailure, match=r"entry 1: "):
        read_models(body_of(GPT_IMAGE_2, wrong))


def test_a_list_far_too_long_is_not_read() -> None:
    with pytest.raises(RemoteFailure, match="far too long"):
        read_models(body_of(*([{}] * 10_001)))
