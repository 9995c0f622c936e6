"""normalize: the measured table of refusals, the order of checks, models by every name, what is sent and reported."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.database.schema import ledger_tables
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.images.catalog.catalog import CatalogError, load_catalog
from app.images.catalog.model_spec import MODEL_ID_MAX, RECORDED_WORD_MAX
from app.images.request.normalize import ImageRequest, RequestPolicy, normalize
from app.images.request.parameters import DOCUMENTED
from tests.days import TODAY

CATALOG = load_catalog()
USER_ERROR = "image_generation_user_error"
OMITTED = object()


def policy(
    *,
    lenient: bool = False,
    default: str | None = None,
    successor: str | None = None,
    unlisted_hold: int | None = None,
    override: str | None = None,
) -> RequestPolicy:
    catalog = CATALOG if override is None else load_catalog(override)
    return RequestPolicy(catalog, lenient, default, successor, unlisted_hold)


STRICT, LENIENT = policy(), policy(lenient=True)
PASSING = policy(lenient=True, unlisted_hold=50_000_000)


def refused(fields: dict[str, Any], rules: RequestPolicy = STRICT) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        normalize(fields, rules, TODAY)
    return caught.value


def asked(**fields: Any) -> dict[str, Any]:
    """A good request with some fields changed; OMITTED takes one away."""
    changed = {"model": "gpt-image-2", "prompt": "a fox"} | fields
    return {name: value for name, value in changed.items() if value is not OMITTED}


# The table of wire-facts 2.7, row by row: field, value, code, message; the type is the usual one unless named.
MEASURED = [
    ("model", OMITTED, "missing_required_parameter", "Missing required parameter: 'model'."),
    ("model", None, "invalid_type", "Invalid type for 'model': expected a string, but got null instead."),
    ("model", 123, "invalid_type", "Invalid type for 'model': expected a string, but got an integer instead."),
    ("surprise", 1, "unknown_parameter", "Unknown parameter: 'surprise'."),
    ("response_format", "b64_json", "unknown_parameter", "Unknown parameter: 'response_format'."),
    ("response_format", "url", "unknown_parameter", "Unknown parameter: 'response_format'."),
    ("response_format", None, "unknown_parameter", "Unknown parameter: 'response_format'."),
    ("style", "vivid", "unknown_parameter", "Unknown parameter: 'style'."),
    ("input_fidelity", "high", "unknown_parameter", "Unknown parameter: 'input_fidelity'."),
    ("mask", None, "unknown_parameter", "Unknown parameter: 'mask'."),
    ("images", [], "unknown_parameter", "Unknown parameter: 'images'."),
    ("prompt", OMITTED, "missing_required_parameter", "Missing required parameter: 'prompt'."),
    ("prompt", None, "invalid_type", "Invalid type for 'prompt': expected a string, but got null instead."),
    (
        "prompt",
        "",
        "empty_string",
        "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead.",
    ),
    (
        "prompt",
        "狐" * 32_001,
        "string_above_max_length",
        "Invalid 'prompt': string too long. Expected a string with maximum length 32000, but got a string with "
        "length 32001 instead.",
    ),
    (
        "n",
        0,
        "integer_below_min_value",
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        "n",
        11,
        "integer_above_max_value",
        "Invalid 'n': integer above maximum value. Expected a value <= 10, but got 11 instead.",
    ),
    ("n", 1.5, "invalid_type", "Invalid type for 'n': expected an integer, but got a decimal number instead."),
    ("n", "2", "invalid_type", "Invalid type for 'n': expected an integer, but got a string instead."),
    ("n", True, "invalid_type", "Invalid type for 'n': expected an integer, but got a boolean instead."),
    ("n", [], "invalid_type", "Invalid type for 'n': expected an integer, but got an array instead."),
    ("n", {}, "invalid_type", "Invalid type for 'n': expected an integer, but got an object instead."),
    ("output_compression", -1, "integer_below_min_value",
     "Invalid 'output_compression': integer below minimum value. Expected a value >= 0, but got -1 instead."),
    ("output_compression", 101, "integer_above_max_value",
     "Invalid 'output_compression': integer above maximum value. Expected a value <= 100, but got 101 instead."),
    ("partial_images", -1, "integer_below_min_value",
     "Invalid 'partial_images': integer below minimum value. Expected a value >= 0, but got -1 instead."),
    ("partial_images", 4, "integer_above_max_value",
     "Invalid 'partial_images': integer above maximum value. Expected a value <= 3, but got 4 instead."),
    ("quality", "ultra", "invalid_value",
     "Invalid value: 'ultra'. Supported values are: 'low', 'medium', 'high', and 'auto'."),
    ("quality", "standard", "invalid_value",
     "Invalid value: 'standard'. Supported values are: 'low', 'medium', 'high', and 'auto'."),
    ("quality", "hd", "invalid_value",
     "Invalid value: 'hd'. Supported values are: 'low', 'medium', 'high', and 'auto'."),
    ("output_format", "bmp", "invalid_value",
     "Invalid value: 'bmp'. Supported values are: 'png', 'webp', and 'jpeg'."),
    ("moderation", "high", "invalid_value", "Invalid value: 'high'. Supported values are: 'auto' and 'low'."),
    ("background", "blue", "invalid_value",
     "Invalid value: 'blue'. Supported values are: 'transparent', 'opaque', and 'auto'."),
    ("size", 1024, "invalid_type", "Invalid type for 'size': expected a string, but got an integer instead."),
    ("stream", "yes", "invalid_type", "Invalid type for 'stream': expected a boolean, but got a string instead."),
    ("stream", 1, "invalid_type", "Invalid type for 'stream': expected a boolean, but got an integer instead."),
    ("output_format", None, "invalid_type",
     "Invalid type for 'output_format': expected a string, but got null instead."),
    ("moderation", None, "invalid_type",
     "Invalid type for 'moderation': expected a string, but got null instead."),
    ("background", None, "invalid_type",
     "Invalid type for 'background': expected a string, but got null instead."),
    ("user", None, "invalid_type", "Invalid type for 'user': expected a string, but got null instead."),
    ("safety_identifier", None, "invalid_type",
     "Invalid type for 'safety_identifier': expected a string, but got null instead."),
]  # fmt: skip


@pytest.mark.parametrize(("param", "value", "code", "message"), MEASURED)
def test_refusals_as_measured(param: str, value: object, code: str, message: str) -> None:
    error = refused(asked(**{param: value}))
    assert (error.param, error.code, error.kind, error.message) == (param, code, "invalid_request_error", message)


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        ("size", "bogus", "Invalid size 'bogus'. Expected WIDTHxHEIGHT, for example '1824x1024'."),
        (
            "size",
            "9x9",
            "Invalid size '9x9'. Width and height must both be divisible by 16. The nearest valid size is '816x816'.",
        ),
        (
            "size",
            "256x256",
            "Invalid size '256x256'. Requested resolution is below the current minimum pixel budget. "
            "The nearest valid size is '816x816'.",
        ),
        (
            "size",
            "1920x1080",
            "Invalid size '1920x1080'. Width and height must both be divisible by 16. "
            "The nearest valid size is '1920x1088'.",
        ),
        (
            "size",
            "3840x3840",
            "Invalid size '3840x3840'. Requested resolution is above the current maximum pixel budget. "
            "The nearest valid size is '2880x2880'.",
        ),
        ("background", "transparent", "Transparent background is not supported for this model."),
    ],
)
def test_refusals_of_the_image_models_own_kind(param: str, value: str, message: str) -> None:
    error = refused(asked(**{param: value}))
    assert (error.param, error.code, error.kind, error.message) == (param, "invalid_value", USER_ERROR, message)


@pytest.mark.parametrize("rules", [STRICT, LENIENT])
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"stream": True, "n": 2}, "input", "unsupported_parameter"),
        ({"output_compression": 50}, "output_compression", "invalid_png_output_compression"),
        ({"output_format": "png", "output_compression": 0}, "output_compression", "invalid_png_output_compression"),
    ],
)
def test_values_that_are_valid_alone_and_not_together(
    fields: dict[str, Any], param: str, code: str, rules: RequestPolicy
) -> None:
    error = refused(asked(**fields), rules)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize("name", ["gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"])
def test_models_of_fixed_sizes_name_them(name: str) -> None:
    error = refused(asked(model=name, size="1254x836"))
    assert (error.param, error.code, error.kind) == ("size", "invalid_value", "invalid_request_error")
    assert error.message == (
        "Invalid value: '1254x836'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'."
    )


@pytest.mark.parametrize("rules", [STRICT, LENIENT])
@pytest.mark.parametrize(
    "name",
    ["gpt-image-9", "", "GPT-Image-2", "openai/gpt-image-2:azure", "azure/gpt-image-2", " gpt-image-2", "\ud83d"],
)
def test_a_model_that_does_not_exist(name: str, rules: RequestPolicy) -> None:
    with pytest.raises(ModelNotFound) as caught:
        normalize(asked(model=name), rules, TODAY)
    assert caught.value.message.startswith("The model '")
    assert caught.value.message.endswith("' does not exist.")
    caught.value.message.encode("utf-8")


def test_a_retired_model_is_refused_in_strict_mode_with_the_way_out() -> None:
    with pytest.raises(ModelNotFound, match=r"^The model 'dall-e-3' does not exist\. .*'gpt-image-2'"):
        normalize(asked(model="dall-e-3"), STRICT, TODAY)


@pytest.mark.parametrize("param", ["n", "output_compression", "partial_images", "quality", "size", "stream"])
@pytest.mark.parametrize("rules", [STRICT, LENIENT])
def test_nulls_that_mean_omitted(param: str, rules: RequestPolicy) -> None:
    request = normalize(asked(**{param: None}), rules, TODAY)
    assert request == normalize(asked(), rules, TODAY)
    assert param not in request.fields


@pytest.mark.parametrize("rules", [STRICT, LENIENT])
@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "   "},
        {"prompt": "狐" * 32_000},
        {"user": 123},
        {"user": ""},
        {"user": "u" * 512},
        {"safety_identifier": "s" * 128},
        {"n": 10},
        {"quality": "auto", "size": "auto", "background": "auto", "moderation": "auto"},
        {"moderation": "low", "background": "opaque"},
        {"output_format": "png", "output_compression": 100},
        {"output_compression": 100},
        {"output_format": "jpeg", "output_compression": 0},
        {"output_format": "webp", "output_compression": 50},
        {"partial_images": 3},
        {"stream": True, "n": 1, "partial_images": 3},
        {"stream": False, "n": 10},
        {"size": "1792x1024"},
        {"model": "gpt-image-2.5-flare", "quality": "max", "background": "transparent", "output_format": "webp"},
        {"model": "gpt-image-2.5-sunburst", "quality": "xhigh", "background": "transparent"},
        {"model": "gpt-image-2.6-flare", "complexity": "low"},
        {"model": "gpt-image-2.6-flare", "output_format": "gif", "frame_count": 2, "frame_duration_ms": 1},
        {"model": "gpt-image-1.5", "size": "1024x1536", "background": "transparent"},
    ],
)
def test_what_is_accepted_is_sent_as_it_came(fields: dict[str, Any], rules: RequestPolicy) -> None:
    request = normalize(asked(**fields), rules, TODAY)
    assert request.fields == asked(**fields) | {"model": request.model.id}
    assert request.changes == ()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"model": 1}, {"style": "vivid"}),
        ({"style": "vivid"}, {"prompt": ""}),
        ({"surprise": 1}, {"prompt": OMITTED}),
        ({"prompt": ""}, {"n": 0}),
        ({"prompt": OMITTED}, {"n": 0}),
        ({"n": 0}, {"size": "bogus"}),
        ({"n": 0}, {"quality": "ultra"}),
        ({"n": 0}, {"stream": "yes"}),
        ({"size": "bogus"}, {"quality": "ultra"}),
        ({"stream": "yes"}, {"output_format": "png", "output_compression": 5}),
    ],
)
def test_the_order_of_checks(first: dict[str, Any], then: dict[str, Any]) -> None:
    alone = refused(asked(**first))
    for fields in (asked(**first, **then), asked(**then, **first)):
        error = refused(fields)
        assert (error.param, error.code, error.message) == (alone.param, alone.code, alone.message)


@pytest.mark.parametrize("name", ["bogus", "dall-e-3"])
def test_the_model_is_looked_for_before_anything_else(name: str) -> None:
    with pytest.raises(ModelNotFound):
        normalize({"model": name, "style": 1, "n": 0}, STRICT, TODAY)


@pytest.mark.parametrize(
    "name",
    ["gpt-image-2", "openai/gpt-image-2"],
)
def test_the_full_id_is_sent(name: str) -> None:
    request = normalize(asked(model=name), STRICT, TODAY)
    assert request.fields == {"model": "openai/gpt-image-2", "prompt": "a fox"}
    assert request.changes == ()


@pytest.mark.parametrize("name", ["gpt-image-2-2026-04-21", "openai/gpt-image-2-2026-04-21"])
def test_a_snapshot_is_reported(name: str) -> None:
    request = normalize(asked(model=name), STRICT, TODAY)
    assert request.model.id == "openai/gpt-image-2"
    assert request.changes == (f"model={name}->gpt-image-2",)


def test_a_missing_model_takes_the_default_and_says_so() -> None:
    request = normalize({"prompt": "a fox"}, policy(default="gpt-image-2.5-flare"), TODAY)
    assert request.fields["model"] == "openai/gpt-image-2.5-flare"
    assert request.changes == ("model=omitted->gpt-image-2.5-flare",)
    error = refused(asked(model=None), policy(default="gpt-image-2"))
    assert error.code == "invalid_type", "null is not an omission here: measured so"


def test_a_default_that_is_retired_means_its_successor_in_lenient_mode() -> None:
    request = normalize({"prompt": "a fox"}, policy(lenient=True, default="dall-e-3"), TODAY)
    assert request.model.name == "gpt-image-2"


class TestModelsThatEnd:
    """gpt-image-1.5 ends on 2026-12-01."""

    LAST, ENDED = date(2026, 11, 30), date(2026, 12, 1)
    OLD = (
        "gpt-image-1.5",
        "openai/gpt-image-1.5",
        "gpt-image-1.5-2025-12-16",
        "gpt-image-1-mini",
        "chatgpt-image-latest",
    )

    @pytest.mark.parametrize("name", OLD)
    @pytest.mark.parametrize("rules", [STRICT, LENIENT])
    def test_until_the_day_before_it_is_itself(self, name: str, rules: RequestPolicy) -> None:
        request = normalize(asked(model=name), rules, self.LAST)
        assert request.model == CATALOG.find(name)

    @pytest.mark.parametrize("name", OLD)
    @pytest.mark.parametrize("day", [ENDED, date(2027, 3, 1)])
    def test_from_the_day_on_lenient_mode_means_its_successor_and_says_so(self, name: str, day: date) -> None:
        request = normalize(asked(model=name, background="transparent"), LENIENT, day)
        assert request.model.name == "gpt-image-2.5-sunburst"
        assert request.fields["model"] == "openai/gpt-image-2.5-sunburst"
        assert request.changes == (f"model={name}->gpt-image-2.5-sunburst",)

    @pytest.mark.parametrize("name", OLD)
    def test_from_the_day_on_strict_mode_refuses_it_and_names_the_successor(self, name: str) -> None:
        with pytest.raises(ModelNotFound) as caught:
            normalize(asked(model=name), STRICT, self.ENDED)
        assert caught.value.message == (
            f"The model '{name}' does not exist. It ended on 2026-12-01: use 'gpt-image-2.5-sunburst'."
        )

    def test_its_successor_has_rules_of_its_own(self) -> None:
        normalize(asked(model="gpt-image-1.5", size="1536x1024", quality="high"), LENIENT, self.ENDED)
        modern = normalize(asked(model="gpt-image-1.5", size="1792x1024", quality="hd"), LENIENT, self.ENDED)
        assert modern.size == "1792x1024", "mapped for models of fixed sizes only"
        assert modern.quality == "high"

    def test_the_operators_choice_wins(self) -> None:
        chosen = policy(lenient=True, successor="gpt-image-2.5-flare")
        assert normalize(asked(model="gpt-image-1.5"), chosen, self.ENDED).model.name == "gpt-image-2.5-flare"
        assert normalize(asked(model="dall-e-3"), chosen, self.ENDED).model.name == "gpt-image-2.5-flare"
        passed = policy(lenient=True, successor="acme/new", unlisted_hold=10**9)
        assert normalize(asked(model="gpt-image-1.5"), passed, self.ENDED).model.name == "acme/new"

    def test_a_chosen_successor_that_has_ended_itself_is_passed_over(self) -> None:
        chosen = policy(lenient=True, successor="gpt-image-1-mini")
        assert normalize(asked(model="gpt-image-1.5"), chosen, self.ENDED).model.name == "gpt-image-2.5-sunburst"
        assert normalize(asked(model="dall-e-3"), chosen, self.LAST).model.name == "gpt-image-1-mini"
        assert normalize(asked(model="dall-e-3"), chosen, self.ENDED).model.name == "gpt-image-2"

    @pytest.mark.parametrize("lenient", [True, False])
    def test_where_every_successor_has_ended_the_model_is_refused(self, *, lenient: bool) -> None:
        rules = policy(
            lenient=lenient,
            override='retired = ["gpt-image-2.5-sunburst"]\n[models."gpt-image-2"]\nends_on = 2026-11-01\n',
        )
        with pytest.raises(ModelNotFound, match=r"It ended on 2026-12-01: nothing takes its place\.$"):
            normalize(asked(model="gpt-image-1.5"), rules, self.ENDED)
        with pytest.raises(ModelNotFound, match=r"It is retired: nothing takes its place\.$"):
            normalize(asked(model="dall-e-3"), rules, self.ENDED)

    def test_a_default_that_has_ended(self) -> None:
        chosen = policy(lenient=True, default="gpt-image-1.5")
        request = normalize({"prompt": "a fox"}, chosen, self.ENDED)
        assert request.changes == ("model=omitted->gpt-image-2.5-sunburst",)
        with pytest.raises(ModelNotFound):
            normalize({"prompt": "a fox"}, policy(default="gpt-image-1.5"), self.ENDED)


@pytest.mark.parametrize(
    ("default", "successor", "lenient"),
    [
        ("bogus", "gpt-image-2", True),
        (None, "bogus", True),
        (None, "dall-e-2", True),
        ("dall-e-3", "gpt-image-2", False),
    ],
)
def test_a_policy_that_names_no_model_is_refused_at_once(default: str | None, successor: str, *, lenient: bool) -> None:
    with pytest.raises(CatalogError, match="cannot be served"):
        policy(default=default, successor=successor, lenient=lenient)


def test_what_the_request_says_of_itself() -> None:
    request = normalize(asked(n=1, size="1024x1024", quality="low", stream=True, partial_images=2), STRICT, TODAY)
    assert request.operation == "generation"
    assert (request.n, request.size, request.quality) == (1, "1024x1024", "low")
    assert (request.stream, request.partial_images, request.frames, request.input_image_count) == (True, 2, 1, 0)
    bare = normalize(asked(), STRICT, TODAY)
    assert (bare.n, bare.size, bare.quality, bare.stream, bare.partial_images) == (1, "auto", "auto", False, 0)


def test_the_prompt_is_not_in_the_repr() -> None:
    assert "fox" not in repr(normalize(asked(), STRICT, TODAY))


def test_the_callers_fields_are_left_alone() -> None:
    fields = asked(model="dall-e-3", quality="hd", style="vivid", n=None)
    before = dict(fields)
    normalize(fields, LENIENT, TODAY)
    assert fields == before


class TestUnlistedModels:
    """Models the operator lets pass without knowing them."""

    def test_it_is_passed_with_its_own_words(self) -> None:
        fields = {
            "model": "qwen/qwen-image-2.0", "prompt": "a fox", "size": "1328x1328", "quality": "hd", "seed": 7,
            "style": "vivid", "watermark": False, "background": "blue",
        }  # fmt: skip
        request = normalize(fields, PASSING, TODAY)
        assert request.fields == fields
        assert request.changes == ("seed=forwarded", "watermark=forwarded")
        assert (request.model.listed, request.model.id) == (False, "qwen/qwen-image-2.0")

    @pytest.mark.parametrize(
        ("param", "value", "code"),
        [
            ("prompt", "", "empty_string"),
            ("prompt", 5, "invalid_type"),
            ("n", "2", "invalid_type"),
            ("n", 11, "integer_above_max_value"),
            ("n", None, None),
            ("size", ["1024x1024"], "invalid_type"),
            ("size", "x" * 65, "string_above_max_length"),
            ("quality", "\udc00", "invalid_value"),
            ("stream", "yes", "invalid_type"),
            ("seed", float("nan"), "invalid_value"),
            ("seed", 10**30, "invalid_value"),
            ("options", {"a": ["\ud800"]}, "invalid_value"),
            ("options", {"\ud800": 1}, "invalid_value"),
            ("provider", {"fallback": "openai/gpt-image-2"}, "unknown_parameter"),
            ("svg", {"model": "gpt-6"}, "unknown_parameter"),
            ("a b", 1, "unknown_parameter"),
        ],
    )
    def test_types_are_checked_all_the_same(self, param: str, value: object, code: str | None) -> None:
        fields = asked(model="qwen/qwen-image-2.0", **{param: value})
        if code is None:
            assert param not in normalize(fields, PASSING, TODAY).fields
        else:
            assert refused(fields, PASSING).code == code

    @pytest.mark.parametrize(
        "name",
        ["gpt-image-9:azure", "openai/gpt-image-2:azure", "GPT-IMAGE-2", "OpenAI/gpt-image-2", "azure/gpt-image-2",
         "openai/gpt-image-2-2026-04-21:x", "DALL-E-3", "a b", "a/b/c", "", "x" * 200, "../etc", "qwen/\u202e"],
    )  # fmt: skip
    def test_no_other_spelling_of_a_listed_model_passes_and_no_odd_name(self, name: str) -> None:
        with pytest.raises(ModelNotFound):
            normalize(asked(model=name), PASSING, TODAY)

    def test_the_longest_names_fit_the_records(self) -> None:
        longest = f"{'p' * 40}/{'m' * 79}"
        assert normalize(asked(model=longest), PASSING, TODAY).model.id == longest
        with pytest.raises(ModelNotFound):
            normalize(asked(model=f"{longest}m"), PASSING, TODAY)
        widths = {column.name: getattr(column.type, "length", None) for column in ledger_tables.reservations.c}
        assert widths["model"] == MODEL_ID_MAX == len(longest)
        assert widths["size"] == widths["quality"] == RECORDED_WORD_MAX

    @pytest.mark.parametrize("param", ["size", "quality"])
    def test_a_word_of_the_callers_own_fits_the_records(self, param: str) -> None:
        fits = asked(model="qwen/qwen-image-2.0", **{param: "x" * RECORDED_WORD_MAX})
        assert getattr(normalize(fits, PASSING, TODAY), param) == "x" * RECORDED_WORD_MAX
        for word in ("x" * (RECORDED_WORD_MAX + 1), "a\x00b", "a\nb"):
            error = refused(asked(model="qwen/qwen-image-2.0", **{param: word}), PASSING)
            assert error.param == param
            assert error.message.isprintable()

    def test_strict_mode_passes_the_model_but_not_what_it_never_heard_of(self) -> None:
        rules = policy(unlisted_hold=1)
        assert normalize(asked(model="qwen/qwen-image-2.0"), rules, TODAY).model.listed is False
        assert refused(asked(model="qwen/qwen-image-2.0", seed=7), rules).code == "unknown_parameter"


class TestUnknownParameters:
    """Forwarded in lenient mode to a model the catalog marks open; refused everywhere else."""

    OPEN = '[models."gpt-image-2"]\nopen = true\n'

    def test_an_open_model_gets_them_reported(self) -> None:
        request = normalize(asked(seed=7, extra={"a": [1, None]}), policy(lenient=True, override=self.OPEN), TODAY)
        assert request.fields == {
            "model": "openai/gpt-image-2", "prompt": "a fox", "seed": 7, "extra": {"a": [1, None]}
        }  # fmt: skip
        assert request.changes == ("seed=forwarded", "extra=forwarded")

    @pytest.mark.parametrize("rules", [policy(override=OPEN), LENIENT, STRICT])
    def test_strict_mode_and_closed_models_refuse_them(self, rules: RequestPolicy) -> None:
        error = refused(asked(seed=7), rules)
        assert (error.param, error.code, error.message) == ("seed", "unknown_parameter", "Unknown parameter: 'seed'.")

    @pytest.mark.parametrize(
        "param",
        ["mask", "images", "input_fidelity", "complexity", "svg", "provider", "Provider", "PROVIDER", "models",
         "Models", "route", "Route", "fallback", "Fallbacks", "N", "Model", "Size", "QUALITY", "Partial_Images"],
    )  # fmt: skip
    def test_what_is_known_to_be_refused_or_unbounded_is_never_forwarded(self, param: str) -> None:
        assert refused(asked(**{param: {}}), policy(lenient=True, override=self.OPEN)).code == "unknown_parameter"

    def test_there_is_a_bound(self) -> None:
        many = {f"p{i}": i for i in range(33)}
        assert refused(asked(**many), policy(lenient=True, override=self.OPEN)).param == "p32"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "a \ud83d fox"}, "prompt"),
        ({"user": "\udc00"}, "user"),
        ({"safety_identifier": "\udc00"}, "safety_identifier"),
        ({"quality": "\ud800"}, "quality"),
        ({"size": "\ud800"}, "size"),
        ({"\ud800": 1}, "?"),
        ({"n": 10**5000}, "n"),
        ({"n": -(10**5000)}, "n"),
        ({"user": 10**5000}, "user"),
        ({"n": float("nan")}, "n"),
        ({"output_compression": float("inf")}, "output_compression"),
        ({"size": "9" * 10_000}, "size"),
        ({"quality": "q" * 10_000}, "quality"),
        ({"k" * 10_000: 1}, "k" * 64 + "…"),
        ({"line\nbreak": 1}, "line?break"),
    ],
)
@pytest.mark.parametrize("rules", [STRICT, LENIENT])
def test_hostile_values_get_a_short_clear_error(fields: dict[str, Any], param: str, rules: RequestPolicy) -> None:
    error = refused(asked(**fields), rules)
    assert error.param == param
    assert len(error.message) < 300
    assert error.message.isprintable()
    (error.message + str(error.param)).encode("utf-8")


NAMES = sorted(DOCUMENTED | {"svg", "provider", "seed"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(
        ["auto", "low", "high", "hd", "max", "png", "jpeg", "gif", "svg", "transparent", "1024x1024", "256x256",
         "1792x1024", "url", "b64_json", "gpt-image-2", "openai/gpt-image-2.6-flare", "gpt-image-1.5", "dall-e-3",
         "qwen/qwen-image-2.0", "\ud800"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
JSON_OBJECTS = st.dictionaries(st.sampled_from(NAMES) | st.text(st.characters()), VALUES, max_size=8)
GOOD_FIELDS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["gpt-image-2", "openai/gpt-image-2.5-flare", "gpt-image-2.6-flare", "gpt-image-1.5", "dall-e-3", "x/y"]
        ),
        "prompt": st.text(min_size=1, max_size=50),
    },
    optional={
        "n": st.none() | st.integers(1, 10),
        "size": st.sampled_from([None, "auto", "1024x1024", "256x256", "1792x1024", "2048x2048"]),
        "quality": st.sampled_from([None, "auto", "low", "high", "hd", "standard", "max"]),
        "style": st.sampled_from([None, "vivid"]),
        "response_format": st.sampled_from([None, "b64_json", "url"]),
        "background": st.sampled_from(["auto", "opaque", "transparent"]),
        "output_format": st.sampled_from(["png", "webp", "jpeg", "gif"]),
        "output_compression": st.none() | st.integers(0, 100),
        "stream": st.none() | st.booleans(),
        "partial_images": st.none() | st.integers(0, 3),
        "user": st.integers(0, 1000) | st.text(max_size=5),
        "seed": st.integers(0, 9),
    },
)
POLICIES = st.sampled_from([STRICT, LENIENT, PASSING, policy(default="gpt-image-2")])


def outcome(fields: dict[str, object], rules: RequestPolicy) -> ImageRequest | GatewayError:
    try:
        return normalize(fields, rules, TODAY)
    except GatewayError as error:
        return error


@settings(max_examples=200)
@given(JSON_OBJECTS | GOOD_FIELDS, POLICIES)
def test_any_json_is_normalized_or_refused_in_words_that_can_be_sent(
    fields: dict[str, object], rules: RequestPolicy
) -> None:
    result = outcome(fields, rules)
    if isinstance(result, ImageRequest):
        json.dumps(result.fields, ensure_ascii=False, allow_nan=False).encode("utf-8")
        assert "".join(result.changes).isascii()  # a header is read as Latin-1 by some, as UTF-8 by others
        assert result.fields["model"] == result.model.id
        return
    result.message.encode("utf-8")
    assert len(result.message) < 400
    if isinstance(result, InvalidRequest):
        assert result.code
        assert result.param is not None
        result.param.encode("utf-8")


@settings(max_examples=200)
@given(GOOD_FIELDS, POLICIES)
def test_normalizing_again_changes_nothing(fields: dict[str, object], rules: RequestPolicy) -> None:
    once = outcome(fields, rules)
    if not isinstance(once, ImageRequest):
        return
    again = normalize(once.fields, rules, TODAY)
    assert again.fields == once.fields
    assert all(change.endswith("=forwarded") for change in again.changes)
    assert (again.model, again.n, again.size, again.quality) == (once.model, once.n, once.size, once.quality)
