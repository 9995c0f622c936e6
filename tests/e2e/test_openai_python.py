"""The unmodified openai-python SDK, sync, async and streaming, through a real gateway to a real sandbox."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from PIL import Image

from app.sandbox.server import SandboxServer
from tests.servers import Key, RunningGateway, fetch_json

MODEL = "gpt-image-2"
CHEAP: dict[str, Any] = {"model": MODEL, "size": "1024x1024", "quality": "low"}


@pytest.fixture
def key(gateway: RunningGateway) -> Key:
    return gateway.store.key()


@pytest.fixture
def client(gateway: RunningGateway, key: Key) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url, api_key=key.text) as client:
        yield client


def image(b64_json: str | None) -> Image.Image:
    assert b64_json is not None
    opened = Image.open(io.BytesIO(base64.b64decode(b64_json)))
    opened.load()
    return opened


def audit_is_clean(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    gateway.store.settled()
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_an_image_is_bought_and_recorded(
    gateway: RunningGateway, sandbox: SandboxServer, client: openai.OpenAI, key: Key
) -> None:
    answer = client.images.with_raw_response.generate(prompt="a lighthouse at dusk", **CHEAP)
    images = answer.parse()
    assert images.data is not None
    assert images.usage is not None
    assert image(images.data[0].b64_json).size == (1024, 1024)
    assert images.usage.output_tokens == 196
    assert float(answer.headers["x-gateway-estimated-cost-usd"]) >= 0.00588
    audit_is_clean(gateway, sandbox)
    [row] = gateway.store.rows()
    assert row["id"] == answer.headers["x-request-id"]
    assert (row["key_id"], row["model"], row["state"], row["outcome"]) == (
        key.id,
        "openai/gpt-image-2",
        "settled",
        "completed",
    )
    bill = fetch_json(sandbox.bill_url)
    assert row["charged_nanousd"] == bill["generations"][0]["cost_nanousd"]
    assert row["charged_nanousd"] <= row["held_nanousd"]


def test_two_images_differ_and_carry_real_alpha(client: openai.OpenAI) -> None:
    images = client.images.generate(
        prompt="two foxes", model="gpt-image-1.5", n=2, size="1024x1024", quality="low", background="transparent"
    )
    assert images.data is not None
    first, second = (image(item.b64_json) for item in images.data)
    assert first.tobytes() != second.tobytes()
    assert first.mode == "RGBA"
    assert first.getchannel("A").getextrema()[0] == 0


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_every_format_opens(client: openai.OpenAI, output_format: str) -> None:
    asked: dict[str, Any] = {**CHEAP, "output_format": output_format}
    images = client.images.generate(prompt="a house", **asked)
    assert image(images.data[0].b64_json).format == output_format.upper()


def test_partial_images_stream_before_the_whole_one(
    gateway: RunningGateway, sandbox: SandboxServer, client: openai.OpenAI
) -> None:
    events = list(client.images.generate(prompt="a house", stream=True, partial_images=2, **CHEAP))
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert events[-1].usage.output_tokens == 196 + 200
    assert all(image(event.b64_json).size == (1024, 1024) for event in events)
    audit_is_clean(gateway, sandbox)


async def test_the_async_client(gateway: RunningGateway, sandbox: SandboxServer, key: Key) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=key.text) as client:
        images = await client.images.generate(prompt="a house", **CHEAP)
        assert images.data is not None
        assert image(images.data[0].b64_json)
        stream = await client.images.generate(prompt="a house", stream=True, **CHEAP)
        types = [event.type async for event in stream]
    assert types[-1] == "image_generation.completed"
    audit_is_clean(gateway, sandbox)


def test_what_an_old_client_sends_is_mapped_and_told(client: openai.OpenAI) -> None:
    answer = client.images.with_raw_response.generate(
        prompt="a house",
        model="dall-e-3",
        size="1792x1024",
        quality="standard",
        style="vivid",
        response_format="b64_json",
    )
    told = answer.headers["x-gateway-normalized"]
    assert "model=dall-e-3->gpt-image-2" in told
    assert "quality=standard->medium" in told
    assert "style=dropped" in told
    assert "response_format=dropped" in told
    images = answer.parse()
    assert images.data is not None
    assert image(images.data[0].b64_json).size == (1792, 1024)


def test_faults_of_the_request_raise_the_sdks_own_errors(client: openai.OpenAI, sandbox: SandboxServer) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(prompt="a house", model=MODEL, size="1920x1080")
    assert refused.value.param == "size"
    assert "1920x1088" in refused.value.message
    with pytest.raises(openai.NotFoundError) as unknown:
        client.images.generate(prompt="a house", model="gpt-image-99")
    assert unknown.value.code == "model_not_found"
    assert fetch_json(sandbox.bill_url)["generations"] == []


def test_a_wrong_key_raises_authentication_error(gateway: RunningGateway) -> None:
    with (
        openai.OpenAI(base_url=gateway.url, api_key="sk-zg-nobody-" + "x" * 43) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.images.generate(prompt="a house", model=MODEL)
    assert refused.value.code == "invalid_api_key"


def test_a_used_up_quota_is_refused_at_once_and_never_retried(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    key = gateway.store.key("images:1/day")
    with openai.OpenAI(base_url=gateway.url, api_key=key.text) as client:
        client.images.generate(prompt="a house", **CHEAP)
        with pytest.raises(openai.RateLimitError) as refused:
            client.images.generate(prompt="a house", **CHEAP)
    assert refused.value.code == "insufficient_quota"
    assert "images:1/day" in refused.value.message
    assert gateway.metric("zenmux_gateway_refusals_total", reason="insufficient_quota") == 1
    assert len(fetch_json(sandbox.bill_url)["generations"]) == 1


def test_models_are_listed_as_far_as_the_key_may_use_them(gateway: RunningGateway) -> None:
    key = gateway.store.key(models=("openai/gpt-image-2",))
    with openai.OpenAI(base_url=gateway.url, api_key=key.text) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve("openai/gpt-image-2").id == MODEL
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.images.generate(prompt="a house", model="gpt-image-1.5")
    assert refused.value.code == "model_not_allowed"


def test_a_stream_that_fails_raises_in_the_sdk(client: openai.OpenAI) -> None:
    for directive in ("no-completed", "error-event", "cut=0.5", "reset"):
        with pytest.raises(openai.APIError):
            list(
                client.with_options(max_retries=0).images.generate(
                    prompt=f"a house [sandbox: {directive}]",
                    stream=True,
                    partial_images=1,
                    **CHEAP,
                )
            )
