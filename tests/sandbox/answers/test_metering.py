"""Tokens, against bills, usage objects and measurements that were published."""

import itertools
from typing import Any

import pytest

from app.images.catalog.catalog import load_catalog
from app.images.cost.tokens import hold_tokens
from app.images.request.normalize import RequestPolicy, normalize
from app.sandbox.answers.metering import meter, patches, text_tokens, tiles
from tests.days import TODAY
from tests.sandbox.support import asked


@pytest.mark.parametrize(
    ("size", "quality", "tokens"),
    [
        ("1024x1024", "low", 196), ("1024x1024", "high", 7024), ("1536x1024", "high", 5488),
        ("3584x2048", "high", 12329), ("704x960", "high", 4496), ("784x848", "high", 5693),
    ],
)  # fmt: skip
def test_output_is_what_was_billed(size: str, quality: str, tokens: int) -> None:
    assert meter(asked(size=size, quality=quality)).output_image_tokens == tokens


def test_fixed_sizes_come_from_the_table() -> None:
    request = asked(model="gpt-image-1.5", size="1536x1024", quality="medium")
    assert meter(request).output_tokens == 1568


def test_images_partials_frames_and_the_directive_multiply() -> None:
    assert meter(asked(quality="low", n=3)).output_tokens == 3 * 196
    assert meter(asked(quality="low", stream=True, partial_images=2)).output_tokens == 196 + 200
    plain, hundredfold = meter(asked(quality="low")), meter(asked("A fox [sandbox: usage=100x]", quality="low"))
    assert hundredfold.output_tokens == 100 * plain.output_tokens
    one = meter(asked(model="gpt-image-2.6-flare", quality="low")).output_tokens
    gif = asked(model="gpt-image-2.6-flare", quality="low", output_format="gif", frame_count=4)
    assert meter(gif).output_tokens == 4 * one


@pytest.mark.parametrize(
    ("width", "height", "tokens"), [(1024, 1024, 1024), (1536, 1024, 1536), (341, 512, 704), (1179, 2556, 1482)]
)
def test_input_images_take_the_measured_patches(width: int, height: int, tokens: int) -> None:
    assert patches(width, height) == tokens


def test_input_images_stay_within_what_a_gateway_holds() -> None:
    edges = (1, 100, 512, 1000, 1179, 2556, 4000, 10_000)
    for width, height in itertools.product(edges, edges):
        assert 1 <= patches(width, height) <= 1536
        assert 65 < tiles(width, height, "high") <= 7000


def test_tiles_of_the_older_models() -> None:
    assert tiles(1024, 1024, "low") == 65 + 129
    assert tiles(1536, 1024, "low") == 65 + 2 * 129
    assert tiles(1024, 1024, "high") == 65 + 129 + 4160


def test_edits_count_their_images() -> None:
    usage = meter(asked(operation="edit", inputs=[(1024, 1024), (341, 512)], quality="low"))
    assert usage.input_image_tokens == 1024 + 704


@pytest.mark.parametrize("prompt", ["x", "A fox in the snow", "Лиса", "灯塔" * 40, "😀" * 9])
def test_text_stays_within_the_safe_bound(prompt: str) -> None:
    assert 6 < text_tokens(prompt) <= 16 + len(prompt)


def test_no_healthy_answer_uses_more_than_the_gateway_holds() -> None:
    catalog = load_catalog()
    policy = RequestPolicy(catalog, True, None, "gpt-image-2", None)
    for spec in catalog.models:
        for quality, stream in itertools.product((*spec.qualities, None), (False, True)):
            fields: dict[str, Any] = {"model": spec.name, "prompt": "Лиса 灯塔", "quality": quality, "stream": stream}
            fields |= {"partial_images": 3} if stream else {"n": 3}
            held = hold_tokens(normalize(fields, policy, TODAY))
            used = meter(asked(str(fields.pop("prompt")), **fields))
            assert used.input_tokens <= held.input_tokens
            assert used.output_tokens <= held.output_tokens, (spec.name, quality)
