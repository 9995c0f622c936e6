"""Token figures: every worked value, the extremes over all sizes, and that the hold is never below the truth."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.catalog.catalog import ModelSpec, load_catalog
from app.images.catalog.model_spec import AreaTokens
from app.images.catalog.sizes import SizeBounds
from app.images.cost.tokens import hold_tokens, output_tokens, output_tokens_max, output_tokens_min
from app.images.cost.usage import Usage
from app.images.request.image_head import ImageHead
from app.images.request.inputs import Inputs
from app.images.request.normalize import ImageRequest, RequestPolicy, normalize
from tests.days import TODAY

CATALOG = load_catalog()
POLICY = RequestPolicy(CATALOG, lenient=False, default_model=None, successor_model="gpt-image-2",
                       unknown_model_hold_nanousd=None)  # fmt: skip


def model(name: str) -> ModelSpec:
    spec = CATALOG.find(name)
    assert spec is not None
    return spec


def request(**fields: object) -> ImageRequest:
    return normalize({"model": "gpt-image-2", "prompt": "a fox"} | fields, POLICY, TODAY)


def valid_sizes() -> Iterator[str]:
    rule = model("gpt-image-2").sizes
    assert isinstance(rule, SizeBounds)
    for width in range(16, 3841, 16):
        for height in range(16, 3841, 16):
            if rule.fault(width, height) is None:
                yield f"{width}x{height}"


VALID_SIZES = tuple(valid_sizes())

# size: gpt-image-2 low, medium, high; gpt-image-2.5 low, medium, high, xhigh, max
WORKED = {
    "1024x1024": (196, 1756, 7024, 196, 439, 1756, 3122, 7024),
    "1536x1024": (158, 1372, 5488, 158, 343, 1372, 2459, 5488),
    "1024x1536": (158, 1372, 5488, 158, 343, 1372, 2459, 5488),
    "1792x1024": (139, 1243, 5063, 139, 323, 1243, 2271, 5063),
    "2048x1152": (157, 1413, 5650, 157, 367, 1413, 2511, 5650),
    "2048x2048": (397, 3568, 14272, 397, 892, 3568, 6343, 14272),
    "2560x1440": (205, 1843, 7370, 205, 478, 1843, 3276, 7370),
    "3584x2048": (337, 3027, 12329, 337, 785, 3027, 5530, 12329),
    "3840x2160": (371, 3336, 13342, 371, 865, 3336, 5930, 13342),
    "2880x2880": (659, 5930, 23719, 659, 1483, 5930, 10542, 23719),
    "704x960": (129, 1124, 4496, 129, 289, 1124, 2013, 4496),
    "784x848": (160, 1408, 5693, 160, 352, 1408, 2516, 5693),
}
COLUMNS = (
    *(("gpt-image-2", quality) for quality in ("low", "medium", "high")),
    *(("gpt-image-2.5-sunburst", quality) for quality in ("low", "medium", "high", "xhigh", "max")),
)


@pytest.mark.parametrize(
    ("size", "name", "quality", "tokens"),
    [
        (size, name, quality, tokens)
        for size, row in WORKED.items()
        for (name, quality), tokens in zip(COLUMNS, row, strict=True)
    ],
)
def test_worked_values(size: str, name: str, quality: str, tokens: int) -> None:
    assert output_tokens(model(name), size, quality) == tokens


def test_flare_takes_what_sunburst_takes() -> None:
    assert model("gpt-image-2.5-flare").token_rule == model("gpt-image-2.5-sunburst").token_rule
    assert model("gpt-image-2.6-flare").token_rule == model("gpt-image-2.6-sunburst").token_rule


@pytest.mark.parametrize(
    ("name", "quality", "smallest", "largest"),
    [
        ("gpt-image-2", "low", 54, 659),
        ("gpt-image-2", "medium", 514, 5930),
        ("gpt-image-2", "high", 2061, 23719),
        ("gpt-image-2.5-sunburst", "medium", None, 1483),
        ("gpt-image-2.5-sunburst", "xhigh", None, 10542),
        ("gpt-image-2.5-sunburst", "max", 2061, 23719),
    ],
)
def test_extremes_over_all_sizes(name: str, quality: str, smallest: int | None, largest: int) -> None:
    figures = [output_tokens(model(name), size, quality) for size in VALID_SIZES]
    assert max(figures) == largest
    assert smallest is None or min(figures) == smallest
    assert output_tokens_max(model(name), "auto", quality) == largest, "auto is held to the dearest size"


def test_the_least_is_exact_for_a_named_size_and_below_every_size_for_auto() -> None:
    for name in ("gpt-image-2", "gpt-image-2.5-sunburst"):
        spec = model(name)
        assert isinstance(spec.token_rule, AreaTokens)
        for quality in spec.token_rule.base:
            figures = {size: output_tokens(spec, size, quality) for size in VALID_SIZES}
            assert all(output_tokens_min(spec, size, quality) == figure for size, figure in figures.items())
            least = output_tokens_min(spec, "auto", quality)
            assert 0.9 * min(figures.values()) <= least <= min(figures.values())


def test_halves_are_held_rounded_up_and_never_below_the_exact_figure() -> None:
    spec = model("gpt-image-2.5-sunburst")
    assert isinstance(spec.token_rule, AreaTokens)
    different = 0
    for size in VALID_SIZES:
        for quality in spec.token_rule.base:
            exact, held = output_tokens(spec, size, quality), output_tokens_max(spec, size, quality)
            assert held >= exact
            different += held != exact
    assert different == 362, "as many as were counted over all sizes and bases"


@pytest.mark.parametrize(
    ("quality", "size", "tokens"),
    [
        ("low", "1024x1024", 272), ("low", "1024x1536", 408), ("low", "1536x1024", 400),
        ("medium", "1024x1024", 1056), ("medium", "1024x1536", 1584), ("medium", "1536x1024", 1568),
        ("high", "1024x1024", 4160), ("high", "1024x1536", 6240), ("high", "1536x1024", 6208),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"])
def test_models_of_fixed_sizes(name: str, quality: str, size: str, tokens: int) -> None:
    assert output_tokens(model(name), size, quality) == tokens
    assert output_tokens_max(model(name), size, quality) == tokens


@pytest.mark.parametrize(
    ("name", "size", "quality", "tokens"),
    [
        ("gpt-image-2", "1024x1024", "auto", 7024),
        ("gpt-image-2", "auto", "low", 659),
        ("gpt-image-2", "auto", "auto", 23719),
        ("gpt-image-2.5-flare", "1024x1024", "auto", 7024),
        ("gpt-image-2.6-flare", "1024x1024", "auto", 8780),
        ("gpt-image-1.5", "auto", "auto", 6240),
        ("gpt-image-1.5", "auto", "low", 408),
        ("gpt-image-1.5", "1024x1024", "auto", 4160),
    ],
)
def test_auto_is_held_at_the_dearest_it_may_mean(name: str, size: str, quality: str, tokens: int) -> None:
    assert output_tokens_max(model(name), size, quality) == tokens


@pytest.mark.parametrize("size", ["1024x1024", "3840x2160", "auto"])
def test_auto_of_2_6_sunburst_is_known_to_be_high(size: str) -> None:
    spec = model("gpt-image-2.6-sunburst")
    high, omitted = output_tokens_max(spec, size, "high"), output_tokens_max(spec, size, "auto")
    assert omitted == high < output_tokens_max(spec, size, "max")


@pytest.mark.parametrize(
    ("size", "quality", "measured"),
    [("1536x1024", "low", 664), ("1536x1024", "high", 1353), ("3840x2160", "high", 3337)],
)
def test_the_figures_of_2_6_are_above_what_was_measured(size: str, quality: str, measured: int) -> None:
    assert output_tokens_max(model("gpt-image-2.6-flare"), size, quality) >= measured


@pytest.mark.parametrize("quality", ["low", "medium"])
def test_the_figures_of_2_6_allow_four_times_2_5(quality: str) -> None:
    for size in WORKED:
        older = output_tokens(model("gpt-image-2.5-flare"), size, quality)
        assert output_tokens_max(model("gpt-image-2.6-flare"), size, quality) >= 4 * older


@pytest.mark.parametrize(
    ("name", "size", "quality"),
    [
        ("gpt-image-2", "auto", "low"),
        ("gpt-image-2", "1024x1024", "auto"),
        ("gpt-image-2", "1024x1024", "max"),
        ("gpt-image-1.5", "1024x1024", "auto"),
        ("gpt-image-1.5", "1792x1024", "low"),
    ],
)
def test_there_is_no_exact_figure_for_what_is_not_fixed(name: str, size: str, quality: str) -> None:
    with pytest.raises(ValueError, match="no "):
        output_tokens(model(name), size, quality)


def test_the_hold_is_per_image_times_n() -> None:
    held = hold_tokens(request(size="1024x1024", quality="low", n=4))
    assert held == Usage(input_text_tokens=4 * (16 + len("a fox")), output_image_tokens=4 * 196)


@pytest.mark.parametrize(
    ("fields", "partial_images"),
    [
        ({}, 0),
        ({"partial_images": 2}, 2),
        ({"stream": True}, 3),
        ({"stream": True, "partial_images": None}, 3),
        ({"stream": True, "partial_images": 0}, 0),
        ({"stream": True, "partial_images": 1}, 1),
        ({"stream": False}, 0),
    ],
)
def test_partial_images_take_100_tokens_each(fields: dict[str, object], partial_images: int) -> None:
    held = hold_tokens(request(size="1024x1024", quality="low", **fields))
    assert held.output_image_tokens == 196 + 100 * partial_images


def test_a_gif_is_held_as_so_many_images_as_it_has_frames() -> None:
    common = {"model": "gpt-image-2.6-flare", "size": "1024x1024", "quality": "high", "output_format": "gif"}
    image = output_tokens_max(model("gpt-image-2.6-flare"), "1024x1024", "high")
    assert hold_tokens(request(**common, frame_count=4)).output_image_tokens == 4 * image
    assert hold_tokens(request(**common)).output_image_tokens == 16 * image, "omitted: the most there may be"


def test_text_beside_the_image_is_held_at_the_price_of_images() -> None:
    # Measured on gpt-image-1.5: 272 image tokens and 209 of text.
    held = hold_tokens(request(model="gpt-image-1.5", size="1024x1024", quality="low"))
    assert held.output_image_tokens == 272 + 2000


PNG = ImageHead("png", 64, 64, has_alpha=False)
OVERLAY = ImageHead("png", 64, 64, has_alpha=True)


@pytest.mark.parametrize(
    ("fields", "inputs", "tokens"),
    [
        ({}, Inputs([PNG]), 1536),
        ({"n": 3}, Inputs([PNG, PNG]), 9216),
        ({"n": 3}, Inputs([PNG, None]), 9216),  # behind an address: as any other
        ({"n": 3}, Inputs([PNG, PNG], mask=OVERLAY), 9216),
        ({"n": 10}, Inputs([PNG] * 16), 245_760),
        ({"model": "gpt-image-2.5-flare"}, Inputs([PNG]), 1536),
        ({"model": "gpt-image-2.5-flare", "n": 3}, Inputs([PNG, PNG], markup=OVERLAY), 9216),
        ({"model": "gpt-image-2.6-flare", "n": 2}, Inputs([PNG]), 3072),
        ({"model": "gpt-image-1.5", "n": 3}, Inputs([PNG, PNG]), 42_000),
        ({"model": "gpt-image-1.5", "n": 3, "input_fidelity": "low"}, Inputs([PNG, PNG]), 42_000),
        ({"model": "gpt-image-1.5", "n": 3, "input_fidelity": "high"}, Inputs([PNG, PNG], mask=OVERLAY), 42_000),
        ({"model": "gpt-image-1-mini", "input_fidelity": "low"}, Inputs([PNG]), 7000),
        ({"model": "chatgpt-image-latest"}, Inputs([PNG] * 16), 112_000),
    ],
)
def test_each_image_sent_in_is_held_for_each_that_is_drawn(
    fields: dict[str, object], inputs: Inputs, tokens: int
) -> None:
    """A mask and a markup add nothing, and nothing else of the hold is another than that of a generation."""
    common = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"} | fields
    held = hold_tokens(normalize(common, POLICY, TODAY, inputs))
    common.pop("input_fidelity", None)
    assert held == replace(hold_tokens(normalize(common, POLICY, TODAY)), input_image_tokens=tokens)


@pytest.mark.parametrize("prompt", ["fox", "狐" * 50, "🦊" * 50, "é" * 7])
def test_text_is_held_by_its_bytes(prompt: str) -> None:
    assert hold_tokens(request(prompt=prompt)).input_text_tokens == 16 + len(prompt.encode("utf-8"))


@given(st.sampled_from(VALID_SIZES), st.sampled_from(COLUMNS))
def test_auto_is_never_held_below_a_size_or_quality_it_may_mean(size: str, column: tuple[str, str]) -> None:
    spec, quality = model(column[0]), column[1]
    exact = output_tokens(spec, size, quality)
    for held_size in (size, "auto"):
        for held_quality in (quality, "auto"):
            assert output_tokens_max(spec, held_size, held_quality) >= exact
