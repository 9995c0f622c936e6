"""The JSON schema of an image request, made from the rules of the listed models, and examples that those rules
accept. Says what at least one model takes. A refusal names the models and the combinations. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from app.errors import GatewayError
from app.images.catalog.model_spec import AUTO, RECORDED_WORD_MAX, ModelSpec
from app.images.catalog.sizes import AnySize, SizeList
from app.images.request.compatibility import OLD_PARAMETERS, OLD_QUALITIES
from app.images.request.normalize import RequestPolicy, models_of, normalize
from app.images.request.parameters import (
    COMPLEXITIES,
    FRAME_DURATION_MS_MAX,
    FRAMES_MAX,
    NULL_MEANS_OMITTED,
    SAFETY_IDENTIFIER_MAX,
    USER_MAX,
)

Schema = dict[str, Any]

_SIZE = "([1-9][0-9]{0,5}x[1-9][0-9]{0,5}|auto)"
_OTHERS = "Parameters that the gateway does not know are forwarded where the model is open to them."
_FORMAT = "How images come: as base64, or as links that end after a while. Answered by the gateway, never sent on."
_DROPPED = "Of older clients: dropped, and `x-gateway-normalized` says so."

# Tried on each model in turn: an example is one that some model takes as it stands.
_WISHES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "one_image": ("One image.", {"size": "1024x1024", "quality": "low"}),
    "several": (
        "Several images as WebP.",
        {"n": 2, "size": "1024x1024", "quality": "low", "output_format": "webp", "output_compression": 80},
    ),
    "stream": (
        "A stream with partial images.",
        {"size": "1024x1024", "quality": "low", "stream": True, "partial_images": 2},
    ),
    "transparent": (
        "No background.",
        {"size": "1024x1024", "quality": "low", "background": "transparent", "output_format": "png"},
    ),
    "animated": (
        "A GIF of four frames.",
        {"size": "1024x1024", "quality": "low", "output_format": "gif", "frame_count": 4, "frame_duration_ms": 200},
    ),
}
_OLD_CLIENT = {
    "model": "dall-e-3",
    "quality": "hd",
    "size": "1792x1024",
    "style": "vivid",
    "response_format": "b64_json",
}


def generation_schema(policy: RequestPolicy) -> Schema:
    """The body of an image generation. Every model refuses what this schema refuses."""
    specs = models_of(policy)
    names = set().union(*(spec.parameters for spec in specs))
    properties = {name: make(_taking(name, specs), policy) for name, make in _SCHEMAS.items() if name in names}
    properties |= {name: {} for name in sorted(names - properties.keys())}
    for name in NULL_MEANS_OMITTED & properties.keys():
        properties[name] = _or_null(properties[name])
    if policy.lenient:
        properties |= {name: _old(name) for name in OLD_PARAMETERS if name not in properties}
    forwards = policy.lenient and any(spec.open for spec in specs)
    return {
        "type": "object",
        "required": ["prompt"] if policy.default_model else ["prompt", "model"],
        "properties": properties,
        "additionalProperties": forwards,
    } | ({"description": _OTHERS} if forwards else {})


def generation_examples(policy: RequestPolicy) -> dict[str, Any]:
    """Requests that are accepted as they stand, by name."""
    examples: dict[str, Any] = {}
    for name, (summary, fields) in _WISHES.items():
        found = next(_accepted(fields, policy), None)
        if found is not None:
            examples[name] = {"summary": summary, "value": found}
    old = {"prompt": _PROMPT, **_OLD_CLIENT}
    if policy.lenient and _accepts(old, policy):
        examples["older_client"] = {"summary": "What older clients send, which lenient mode translates.", "value": old}
    return examples


_PROMPT = "A lighthouse at dusk, in watercolour"


def _accepted(fields: Mapping[str, Any], policy: RequestPolicy) -> Iterator[dict[str, Any]]:
    for spec in policy.catalog.models:
        if spec.ends_on is not None:
            continue  # an example stays good whatever the day
        request = {"model": spec.name, "prompt": _PROMPT, **fields}
        if _accepts(request, policy):
            yield request


def _accepts(fields: Mapping[str, Any], policy: RequestPolicy) -> bool:
    try:
        normalize(fields, policy, date.max)
    except GatewayError:
        return False
    return True


def _taking(name: str, specs: Iterable[ModelSpec]) -> list[ModelSpec]:
    return [spec for spec in specs if name in spec.parameters]


def _or_null(schema: Schema) -> Schema:
    nullable = schema | {"type": [schema["type"], "null"]}
    return nullable | {"enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _old(name: str) -> Schema:
    if name == "response_format":
        return {"type": ["string", "null"], "enum": ["b64_json", "url", None], "description": _FORMAT}
    return {"deprecated": True, "description": _DROPPED}


def _words(specs: Sequence[ModelSpec], of: Callable[[ModelSpec], Iterable[str]], longest: int) -> Schema:
    """One of the words of any of the models; any word where one of them names none."""
    if not all(of(spec) for spec in specs):
        return _any_word(longest)
    return {"type": "string", "enum": list(dict.fromkeys(word for spec in specs for word in of(spec)))}


def _any_word(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest, "pattern": r"^[^\x00-\x1f\x7f]*$"}


def _prompt(specs: Sequence[ModelSpec], _: RequestPolicy) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": max(spec.prompt_chars_max for spec in specs)}


def _model(_: Sequence[ModelSpec], policy: RequestPolicy) -> Schema:
    known = [spec.name for spec in policy.catalog.models[:3]]
    schema: Schema = {"type": "string", "description": "A name that `GET /v1/models` lists, or an alias of one."}
    return schema | ({"examples": known} if known else {})


def _n(specs: Sequence[ModelSpec], _: RequestPolicy) -> Schema:
    # No `default`: generated clients take a field that has one for a required one.
    most = max(spec.n_max for spec in specs)
    return {"type": "integer", "minimum": 1, "maximum": most, "description": "1 where it is left out."}


def _size(specs: Sequence[ModelSpec], _: RequestPolicy) -> Schema:
    if any(isinstance(spec.sizes, AnySize) for spec in specs):
        return _any_word(RECORDED_WORD_MAX) | {"examples": ["1024x1024", AUTO]}
    listed = dict.fromkeys(size for spec in specs if isinstance(spec.sizes, SizeList) for size in spec.sizes.values)
    about = "WIDTHxHEIGHT in pixels, or auto; a size that a model does not draw is refused with the nearest it does."
    return {
        "type": "string",
        "pattern": f"^{_SIZE}$",
        "maxLength": 13,
        "description": about,
        "examples": [*(listed or {"1024x1024": None}), AUTO],
    }


def _quality(specs: Sequence[ModelSpec], policy: RequestPolicy) -> Schema:
    schema = _words(specs, lambda spec: spec.qualities, RECORDED_WORD_MAX)
    if policy.lenient and "enum" in schema:
        today = {old: new for old, new in OLD_QUALITIES.items() if new in schema["enum"]}
        schema["enum"] += [old for old in today if old not in schema["enum"]]
        if today:
            schema["description"] = "; ".join(f"{old} means {new}" for old, new in today.items()) + "."
    return schema


def _within(lowest: int, highest: int) -> Callable[[Sequence[ModelSpec], RequestPolicy], Schema]:
    return lambda _, __: {"type": "integer", "minimum": lowest, "maximum": highest}


def _partial_images(specs: Sequence[ModelSpec], _: RequestPolicy) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": max(spec.partial_images_max for spec in specs)}


def _choices(of: Callable[[ModelSpec], Iterable[str]]) -> Callable[[Sequence[ModelSpec], RequestPolicy], Schema]:
    return lambda specs, _: _words(specs, of, 64)


def _text(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest}


_SCHEMAS: Mapping[str, Callable[[Sequence[ModelSpec], RequestPolicy], Schema]] = {
    "prompt": _prompt,
    "model": _model,
    "n": _n,
    "size": _size,
    "quality": _quality,
    "background": _choices(lambda spec: spec.backgrounds),
    "output_format": _choices(lambda spec: spec.output_formats),
    "output_compression": _within(0, 100),
    "moderation": _choices(lambda spec: spec.moderations),
    "stream": lambda _, __: {"type": "boolean", "description": "true: images come as a stream of events."},
    "partial_images": _partial_images,
    "user": lambda _, __: {
        "anyOf": [_text(USER_MAX), {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}],
    },
    "safety_identifier": lambda _, __: _text(SAFETY_IDENTIFIER_MAX),
    "complexity": lambda _, __: {"type": "string", "enum": list(COMPLEXITIES)},
    "frame_count": _within(2, FRAMES_MAX),
    "frame_duration_ms": _within(1, FRAME_DURATION_MS_MAX),
}
