"""Prices are exact integers, an unknown price is visible, and no answer costs more than its request was held at."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import GatewayError
from app.images.catalog.catalog import Catalog, ModelSpec, load_catalog
from app.images.catalog.model_spec import AUTO, AreaTokens, TableTokens
from app.images.catalog.sizes import SizeBounds, SizeList, parse_size
from app.images.cost.pricing import estimate, least_estimate, price
from app.images.cost.tokens import PARTIAL_IMAGE_TOKENS, output_tokens
from app.images.cost.usage import Usage, parse_usage
from app.images.request.normalize import ImageRequest, RequestPolicy, normalize
from tests.days import TODAY

CATALOG = load_catalog(
    '[models.image]\nid = "qwen/image"\nprices = { per_image = "0.0289" }\n'
    '[models.unpriced]\nlike = "gpt-image-2"\nid = "x/unpriced"\nhold_usd = "0.75"\n'
)
POLICY = RequestPolicy(CATALOG, lenient=True, default_model=None, successor_model="gpt-image-2",
                       unknown_model_hold_nanousd=50_000_000)  # fmt: skip


def model(name: str, catalog: Catalog = CATALOG) -> ModelSpec:
    spec = catalog.find(name)
    assert spec is not None
    return spec


def request(**fields: object) -> ImageRequest:
    return normalize({"model": "gpt-image-2", "prompt": "a fox"} | fields, POLICY, TODAY)


@pytest.mark.parametrize(
    ("name", "usage", "nanousd"),
    [
        ("gpt-image-2", Usage(), 0),
        ("gpt-image-2", Usage(input_text_tokens=18, output_image_tokens=196), 18 * 5000 + 196 * 30_000),
        # Items of a ZenMux bill: 37,457 tokens for $1.12371, 9,100 for $0.0728.
        ("gpt-image-2", Usage(output_image_tokens=37_457), 1_123_710_000),
        ("gpt-image-2", Usage(input_image_tokens=9_100), 72_800_000),
        ("gpt-image-2", Usage(output_text_tokens=10), 300_000),  # no text price: text costs what images cost
        ("gpt-image-1.5", Usage(48, 0, 209, 272), 48 * 5000 + 209 * 10_000 + 272 * 32_000),
        ("gpt-image-1-mini", Usage(1, 1, 1, 1), 2000 + 2500 + 8000 + 8000),
    ],
)
def test_price_by_the_token(name: str, usage: Usage, nanousd: int) -> None:
    assert price(usage, 1, model(name)) == nanousd
    assert price(usage, 7, model(name)) == nanousd, "the number of images is in the tokens already"


def test_price_by_the_image() -> None:
    assert price(Usage(output_image_tokens=5000), 3, model("image")) == 3 * 28_900_000
    held = estimate(request(model="image", n=3, quality="hd", size="7x7"))
    assert (held.images, held.nanousd, held.priced) == (3, 86_700_000, True)


def test_an_unknown_price_is_none_and_the_hold_is_what_the_operator_set() -> None:
    assert price(Usage(output_image_tokens=5000), 1, model("unpriced")) is None
    held = estimate(request(model="unpriced", n=2, size="1024x1024", quality="high"))
    assert (held.nanousd, held.priced) == (1_500_000_000, False)
    assert held.usage.output_image_tokens == 2 * 7024


def test_an_unlisted_model_is_held_at_the_operators_amount_for_each_image() -> None:
    unlisted = request(model="bfl/flux-9", n=4)
    assert price(Usage(output_image_tokens=5000), 4, unlisted.model) is None
    held = estimate(unlisted)
    assert (held.images, held.nanousd, held.priced) == (4, 200_000_000, False)
    assert held.usage.output_image_tokens == 4 * 23_719


@pytest.mark.parametrize(
    ("fields", "tokens", "nanousd"),
    [
        ({"size": "1024x1024", "quality": "low"}, 21 + 196, 21 * 5000 + 196 * 30_000),
        ({"size": "1024x1024", "quality": "high", "n": 2}, 2 * (21 + 7024), 2 * (21 * 5000 + 7024 * 30_000)),
        ({"size": "1024x1024", "quality": "low", "stream": True}, 21 + 496, 21 * 5000 + 496 * 30_000),
        ({}, 21 + 23_719, 21 * 5000 + 23_719 * 30_000),
    ],
)
def test_the_estimate_is_the_price_of_the_hold(fields: dict[str, object], tokens: int, nanousd: int) -> None:
    held = estimate(request(**fields))
    assert (held.tokens, held.nanousd, held.priced) == (tokens, nanousd, True)
    assert held.usage.total_tokens == held.tokens


def drawn(data: st.DataObject, asked: ImageRequest) -> tuple[str, str]:
    """A size and a quality the model may choose for what the request leaves to it."""
    spec, rule = asked.model, asked.model.token_rule
    assert isinstance(rule, AreaTokens | TableTokens)
    qualities = sorted(rule.base if isinstance(rule, AreaTokens) else rule.by_quality)
    quality = spec.auto_quality if asked.quality == AUTO else asked.quality
    if quality == AUTO:
        quality = data.draw(st.sampled_from(qualities))
    if asked.size != AUTO:
        return asked.size, quality
    if isinstance(spec.sizes, SizeList):
        return data.draw(st.sampled_from(spec.sizes.values)), quality
    assert isinstance(spec.sizes, SizeBounds)
    # Also sizes that no caller may ask for: the model was seen to choose such.
    width = data.draw(st.integers(1, spec.sizes.edge_max))
    return f"{width}x{data.draw(st.integers(1, min(spec.sizes.edge_max, spec.sizes.pixels_max // width)))}", quality


@settings(max_examples=300)
@given(
    data=st.data(),
    fields=st.fixed_dictionaries(
        {
            "model": st.sampled_from([spec.name for spec in CATALOG.models if spec.name not in ("image", "unpriced")]),
            "prompt": st.text(min_size=1, max_size=60),
        },
        optional={
            "n": st.integers(1, 10),
            "size": st.sampled_from(["auto", "1024x1024", "1536x1024", "2880x2880", "1408x480", "784x848"]),
            "quality": st.sampled_from(["auto", "low", "medium", "high", "xhigh", "max"]),
            "stream": st.booleans(),
            "partial_images": st.integers(0, 3),
            "output_format": st.sampled_from(["png", "gif"]),
            "frame_count": st.integers(2, 16),
        },
    ),
)
@example(data=None, fields={"model": "gpt-image-2", "prompt": "🦊" * 60, "size": "1024x1024", "quality": "low"})
def test_no_answer_costs_more_than_was_held(data: st.DataObject | None, fields: dict[str, object]) -> None:
    try:
        asked = normalize(fields, POLICY, TODAY)
    except GatewayError:
        return
    size, quality = drawn(data, asked) if data else (asked.size, asked.quality)
    frames = data.draw(st.integers(1, asked.frames)) if data else asked.frames
    partial_images = data.draw(st.integers(0, asked.partial_images)) if data else asked.partial_images
    text_beside = data.draw(st.integers(0, asked.model.text_output_tokens_max)) if data else 0
    image = output_tokens(asked.model, size, quality) * frames + PARTIAL_IMAGE_TOKENS * partial_images
    # The dearest tokenizer makes a token of every byte; 6 more were measured around it; n may multiply both.
    input_tokens = asked.n * (len(asked.prompt.encode()) + 6)
    output_tokens_ = asked.n * (image + text_beside)
    held = estimate(asked)
    whole = {"input_tokens": input_tokens, "output_tokens": output_tokens_}
    itemised = whole | {
        "input_tokens_details": {"text_tokens": input_tokens, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": asked.n * text_beside, "image_tokens": asked.n * image},
    }
    zeroed = whole | {"input_tokens_details": {"text_tokens": 0, "image_tokens": 0}, "output_tokens_details": {}}
    for reported in (whole, itemised, zeroed):
        usage = parse_usage(reported)
        assert usage is not None
        cost = price(usage, asked.n, asked.model)
        assert cost is not None
        assert cost <= held.nanousd
        assert usage.total_tokens <= held.tokens
        edges = parse_size(size)
        bounds = asked.model.sizes
        if edges and isinstance(bounds, SizeBounds) and bounds.fault(*edges):
            continue  # the least is that of the documented sizes
        least = least_estimate(asked)
        assert least.nanousd <= cost
        assert least.tokens <= usage.total_tokens


@pytest.mark.parametrize(
    ("fields", "tokens", "nanousd"),
    [
        ({"size": "1024x1024", "quality": "low"}, 196, 196 * 30_000),
        ({"size": "1024x1024", "quality": "high", "n": 2, "stream": False}, 2 * 7024, 2 * 7024 * 30_000),
        ({"size": "1024x1024"}, 196, 196 * 30_000),
        ({"model": "gpt-image-1.5", "quality": "low"}, 272, 272 * 32_000),
        (
            {"model": "gpt-image-2.6-flare", "size": "1024x1024", "quality": "low"},
            0,
            0,
        ),  # only an upper figure is known
        ({"model": "image", "n": 3}, 0, 86_700_000),
        ({"model": "unpriced", "size": "1024x1024", "quality": "low"}, 196, 0),
        ({"model": "bfl/flux-9"}, 0, 0),
    ],
)
def test_the_least_that_a_whole_answer_costs(fields: dict[str, object], tokens: int, nanousd: int) -> None:
    least = least_estimate(request(**fields))
    assert (least.tokens, least.nanousd) == (tokens, nanousd)
