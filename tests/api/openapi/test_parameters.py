"""The schema of an image request is the rules of the models: what it refuses every model refuses, and the other way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from app.api.openapi.parameters import generation_examples, generation_schema
from app.errors import GatewayError
from app.images.catalog.catalog import load_catalog
from app.images.catalog.sizes import parse_size
from app.images.request.normalize import RequestPolicy, normalize
from tests.days import TODAY

PROMPT = "a lighthouse"


def policy(*, lenient: bool = True, passes: bool = False, default: str | None = None, toml: str = "") -> RequestPolicy:
    return RequestPolicy(load_catalog(toml), lenient, default, "gpt-image-2", 10**9 if passes else None)


LENIENT, STRICT, PASSING = policy(), policy(lenient=False), policy(passes=True)
POLICIES = {
    "lenient": LENIENT,
    "strict": STRICT,
    "passing": PASSING,
    "passing strict": policy(lenient=False, passes=True),
}
# What a value needs beside it to be taken.
COMPANIONS: dict[str, list[dict[str, Any]]] = {
    "output_compression": [{}, {"output_format": "jpeg"}],
    "frame_count": [{"output_format": "gif"}],
    "frame_duration_ms": [{"output_format": "gif"}],
    "partial_images": [{"stream": True}],
    "n": [{}, {"model": "gpt-image-2"}],
}
WORDS = (
    *("low", "medium", "high", "xhigh", "max", "auto", "hd", "standard", "ultra", "", "transparent", "opaque", "white"),
    *("png", "jpeg", "jpg", "webp", "gif", "svg", "b64_json", "url", "vivid", "1024x1024", "1024X1024", "0x0", "1024"),
    *("256x256", "1792x1024", "1536x1024", "3840x2160", "1024x1024 ", "1024x1024\n", "x" * 16, "x" * 17, "x" * 128),
    *("x" * 129, "x" * 512, "x" * 513),
)
VALUES: tuple[Any, ...] = (
    *WORDS,
    *(None, True, False, 1.5, [], {}, ["low"], {"a": 1}),
    *(-1, 0, 1, 2, 3, 4, 10, 11, 16, 17, 100, 101, 655_350, 655_351, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1),
)
NAMES = (
    *("n", "size", "quality", "background", "output_format", "output_compression", "moderation", "stream"),
    *("partial_images", "user", "safety_identifier", "complexity", "frame_count", "frame_duration_ms"),
    *("style", "response_format"),
)


def accepted(fields: dict[str, Any], rules: RequestPolicy) -> bool:
    """Whether some model takes it."""
    unlisted = ["acme/new"] if rules.unknown_model_hold_nanousd else []
    for model in (*(spec.name for spec in rules.catalog.models), *unlisted):
        for companion in COMPANIONS.get(next(iter(fields), ""), [{}]):
            try:
                normalize({"model": model, "prompt": PROMPT, **companion, **fields}, rules, TODAY)
            except GatewayError:
                continue
            return True
    return False


@pytest.mark.parametrize("rules", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("name", NAMES)
def test_each_value_is_valid_where_some_model_takes_it_and_nowhere_else(name: str, rules: RequestPolicy) -> None:
    schema = Draft202012Validator(generation_schema(rules))
    # Of a parameter that nothing is known of, only what JSON in 64 bits can carry is forwarded.
    forwarded = generation_schema(rules)["properties"].get(name) == {}
    for value in VALUES:
        if forwarded and value in (2**63, -(2**63) - 1):
            continue
        valid = schema.is_valid({"model": "gpt-image-2", "prompt": PROMPT, name: value})
        if name == "size" and isinstance(value, str) and parse_size(value):
            assert valid, f"{value}: which of the sizes that are written so a model draws, a pattern does not tell"
        else:
            assert valid == accepted({name: value}, rules), (name, value)


@given(
    fields=st.dictionaries(st.sampled_from([*NAMES, "seed", "svg", "provider"]), st.sampled_from(VALUES), max_size=4)
)
def test_what_the_schema_refuses_every_model_refuses(fields: dict[str, Any]) -> None:
    for rules in (LENIENT, STRICT):
        body = {"model": "gpt-image-2.6-sunburst", "prompt": PROMPT, **fields}
        if not Draft202012Validator(generation_schema(rules)).is_valid(body):
            assert not accepted(fields, rules)


@pytest.mark.parametrize("prompt", ["", "x", "x" * 32_000, "x" * 32_001, None, 1, ["x"]])
def test_a_prompt(prompt: Any) -> None:
    schema = Draft202012Validator(generation_schema(LENIENT))
    assert schema.is_valid({"model": "gpt-image-2", "prompt": prompt}) == accepted({"prompt": prompt}, LENIENT)


def test_a_model_is_required_unless_there_is_a_default() -> None:
    assert generation_schema(LENIENT)["required"] == ["prompt", "model"]
    assert generation_schema(policy(default="gpt-image-2"))["required"] == ["prompt"]


def test_unknown_names_are_refused_unless_a_model_is_open_to_them() -> None:
    assert generation_schema(LENIENT)["additionalProperties"] is False
    assert generation_schema(PASSING)["additionalProperties"] is True
    assert generation_schema(POLICIES["passing strict"])["additionalProperties"] is False
    opened = policy(toml='[models."acme-1"]\nlike = "gpt-image-2"\nid = "acme/acme-1"\nopen = true\n')
    assert generation_schema(opened)["additionalProperties"] is True


def test_what_an_operator_adds_to_the_catalog_is_in_the_schema() -> None:
    added = (
        '[models."acme-1"]\nid = "acme/acme-1"\nqualities = ["ultra"]\nparameters = ["n", "seed", "quality"]\n'
        'n_max = 40\nhold_usd = "1"\n'
    )
    properties = generation_schema(policy(toml=added))["properties"]
    assert "ultra" in properties["quality"]["enum"]
    assert properties["n"]["maximum"] == 40
    assert properties["seed"] == {}


@pytest.mark.parametrize("rules", POLICIES.values(), ids=POLICIES)
def test_every_example_is_valid_and_accepted(rules: RequestPolicy) -> None:
    schema = Draft202012Validator(generation_schema(rules))
    examples = generation_examples(rules)
    assert {"one_image", "several", "stream", "transparent", "animated"} <= examples.keys()
    assert ("older_client" in examples) is rules.lenient
    for example in examples.values():
        schema.validate(example["value"])
        normalize(example["value"], rules, TODAY)


def test_an_example_that_no_model_takes_is_left_out() -> None:
    rules = policy(
        lenient=False,
        toml="".join(f'[models."{spec.name}"]\noutput_formats = ["png"]\n' for spec in LENIENT.catalog.models),
    )
    assert generation_examples(rules).keys() == {"one_image", "stream", "transparent"}
