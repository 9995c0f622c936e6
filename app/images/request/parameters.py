"""The parameters of an image generation: what each value may be on a model, and which values go together. The first
fault is refused in OpenAI's words and order. Changes nothing.
"""

import re
from collections.abc import Callable, Mapping

from app.errors import InvalidRequest
from app.images.catalog.model_spec import AUTO, RECORDED_WORD_MAX, ModelSpec
from app.images.catalog.sizes import AnySize, SizeList, parse_size
from app.images.request.checks import (
    USER_ERROR,
    check_boolean,
    check_choice,
    check_integer,
    check_sound,
    check_text,
    listed,
    refusal,
    shown,
    wrong_type,
)

INPUT_FIDELITY = "input_fidelity"  # of edits alone
FRAMES_MAX = 16
NULL_MEANS_OMITTED = frozenset({"n", "output_compression", "partial_images", "quality", "size", "stream"})
DOCUMENTED = frozenset(
    {
        *("prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression"),
        *("moderation", "stream", "partial_images", "user", "safety_identifier", "complexity", "frame_count"),
        *("frame_duration_ms", "style", "response_format", "image", "images", "mask", "markup", "input_fidelity"),
    }
)
"""Names the gateway knows on some model or route: on a model without them they are refused, never forwarded."""

_UNBOUNDED = frozenset(  # a second model or another route: their cost is not held
    {"svg", "provider", "providers", "fallback", "fallbacks", "models", "route", "routing"}
)
_NEVER_FORWARDED = DOCUMENTED | _UNBOUNDED
_FORWARDED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_FORWARDED_MAX = 32
USER_MAX = 512
SAFETY_IDENTIFIER_MAX = 128
FRAME_DURATION_MS_MAX = 655_350
COMPLEXITIES = ("low", "medium", "high")
_COMPRESSIBLE = ("jpeg", "webp")
_SEE_THROUGH = ("png", "webp")


def check_names(
    fields: Mapping[str, object], spec: ModelSpec, *, may_forward: bool, is_edit: bool = False
) -> tuple[str, ...]:
    """The names the model is not known to take but may be sent all the same; InvalidRequest for the first other."""
    if fields.keys() <= spec.parameters:
        return ()
    unknown = [name for name in fields if name not in spec.parameters and not (is_edit and name == INPUT_FIDELITY)]
    for name in unknown:
        # In any case of letters: some JSON readers take `N` for `n`.
        forwarded = may_forward and spec.open and name.lower() not in _NEVER_FORWARDED
        if not forwarded or not _FORWARDED_NAME.fullmatch(name):
            raise refusal(name, "unknown_parameter", f"Unknown parameter: '{shown(name)}'.")
    if len(unknown) > _FORWARDED_MAX:
        name = unknown[_FORWARDED_MAX]
        raise refusal(name, "unknown_parameter", f"At most {_FORWARDED_MAX} unknown parameters are forwarded.")
    return tuple(unknown)


def check_prompt(given: Mapping[str, object], spec: ModelSpec) -> None:
    """The one parameter that every request has."""
    if "prompt" not in given:
        raise refusal("prompt", "missing_required_parameter", "Missing required parameter: 'prompt'.")
    check_text("prompt", given["prompt"], spec.prompt_chars_max, shortest=1)


def check_values(given: Mapping[str, object], spec: ModelSpec) -> None:
    """Each value but the prompt by itself: n, then the rest in the order of _CHECKS, then what is forwarded."""
    for name, check in _CHECKS.items():
        if name in given:
            check(name, given[name], spec)
    for name, value in given.items():
        if name not in _CHECKS and name != "prompt":
            check_sound(name, value)


def check_together(given: Mapping[str, object], spec: ModelSpec) -> None:
    """Rules between values that are valid alone. A model of unknown formats decides for itself."""
    if given.get("stream") is True and given.get("n", 1) != 1:
        # Measured this way, `input` included.
        raise refusal("input", "unsupported_parameter", "Streaming is only supported with n=1.", USER_ERROR)
    if not spec.output_formats:
        return
    output_format = given.get("output_format", "png")
    compression = given.get("output_compression", 100)
    if output_format == "png" and compression != 100:
        message = "Compression less than 100 is not supported for PNG output; use output_format 'jpeg' or 'webp'."
        raise refusal("output_compression", "invalid_png_output_compression", message)
    if given.get("background") == "transparent" and output_format not in _SEE_THROUGH:
        message = f"Transparent background needs output_format {_either(_SEE_THROUGH)}, not '{output_format}'."
        raise refusal("background", "invalid_value", message, USER_ERROR)
    if output_format == "gif":
        _check_gif(given)
    for name in ("frame_count", "frame_duration_ms"):
        if name in given and output_format != "gif":
            raise refusal(name, "unsupported_parameter", f"'{name}' is only supported with output_format 'gif'.")


def _check_gif(given: Mapping[str, object]) -> None:
    if "output_compression" in given:
        message = f"'output_compression' needs output_format {_either(_COMPRESSIBLE)}, not 'gif'."
        raise refusal("output_compression", "unsupported_parameter", message)
    for name in ("stream", "partial_images"):
        if given.get(name):
            raise refusal(name, "unsupported_parameter", f"'{name}' is not supported with output_format 'gif'.")


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(f"'{word}'" for word in words)


def _n(name: str, value: object, spec: ModelSpec) -> None:
    check_integer(name, value, 1, spec.n_max)


def _size(name: str, value: object, spec: ModelSpec) -> None:
    rule = spec.sizes
    if isinstance(rule, AnySize):
        check_choice(name, value, (), RECORDED_WORD_MAX)
        return
    if isinstance(rule, SizeList):
        check_choice(name, value, (*rule.values, AUTO))
        return
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if value == AUTO:
        return
    size = parse_size(value)
    if size is None:
        raise _bad_size(value, "Expected WIDTHxHEIGHT, for example '1824x1024'.")
    fault = rule.fault(*size)
    if fault is not None:
        width, height = rule.nearest(*size) or size
        raise _bad_size(value, f"{fault} The nearest valid size is '{width}x{height}'.")


def _bad_size(size: str, sentence: str) -> InvalidRequest:
    return refusal("size", "invalid_value", f"Invalid size '{shown(size)}'. {sentence}", USER_ERROR)


def _quality(name: str, value: object, spec: ModelSpec) -> None:
    check_choice(name, value, spec.qualities, RECORDED_WORD_MAX)


def _background(name: str, value: object, spec: ModelSpec) -> None:
    if check_choice(name, value, spec.backgrounds) == "transparent" and not spec.transparent_background:
        raise refusal(name, "invalid_value", "Transparent background is not supported for this model.", USER_ERROR)


def _output_format(name: str, value: object, spec: ModelSpec) -> None:
    if value == "svg" and spec.output_formats and "svg" not in spec.output_formats:
        choices = f"Supported values are: {listed(spec.output_formats)}."
        why = "SVG is not offered: a second model writes it, at a cost nobody can bound in advance."
        raise refusal(name, "invalid_value", f"Invalid value: 'svg'. {choices} {why}")
    check_choice(name, value, spec.output_formats)


def _moderation(name: str, value: object, spec: ModelSpec) -> None:
    check_choice(name, value, spec.moderations)


def _stream(name: str, value: object, _: ModelSpec) -> None:
    check_boolean(name, value)


def _partial_images(name: str, value: object, spec: ModelSpec) -> None:
    check_integer(name, value, 0, spec.partial_images_max)


def _user(name: str, value: object, _: ModelSpec) -> None:
    if isinstance(value, int) and not isinstance(value, bool):  # measured: a number is accepted
        check_sound(name, value)
    else:
        check_text(name, value, USER_MAX)


def _safety_identifier(name: str, value: object, _: ModelSpec) -> None:
    check_text(name, value, SAFETY_IDENTIFIER_MAX)


def _input_fidelity(name: str, value: object, spec: ModelSpec) -> None:
    accepted = () if spec.edits is None else spec.edits.input_fidelity
    if not accepted:
        message = "The parameter 'input_fidelity' is not supported for this model: leave it out."
        raise refusal(name, "invalid_input_fidelity_model", message)
    check_choice(name, value, accepted)


def _complexity(name: str, value: object, _: ModelSpec) -> None:
    check_choice(name, value, COMPLEXITIES)


def _within(lowest: int, highest: int) -> Callable[[str, object, ModelSpec], None]:
    def check(name: str, value: object, _: ModelSpec) -> None:
        check_integer(name, value, lowest, highest)

    return check


_CHECKS: Mapping[str, Callable[[str, object, ModelSpec], None]] = {
    "n": _n,
    "size": _size,
    "quality": _quality,
    "background": _background,
    "output_format": _output_format,
    "output_compression": _within(0, 100),
    "moderation": _moderation,
    "stream": _stream,
    "partial_images": _partial_images,
    "user": _user,
    "safety_identifier": _safety_identifier,
    INPUT_FIDELITY: _input_fidelity,
    "complexity": _complexity,
    "frame_count": _within(2, FRAMES_MAX),
    "frame_duration_ms": _within(1, FRAME_DURATION_MS_MAX),
}
