"""What one request asks for, after every rule of ZenMux and of the model is checked. Pure. Written separately from the
gateway's own checks on purpose, so that a rule misread there does not pass here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.images.catalog.catalog import Catalog, ModelSpec
from app.images.catalog.sizes import SizeBounds, SizeList, parse_size
from app.sandbox.requests.directives import STREAM_ONLY, DirectiveError, Directives, parse_directives
from app.sandbox.requests.refusals import openai, user_error, zenmux
from app.sandbox.requests.values import boolean, integer, word, wrong_type, wrong_word

INTEGERS: Final = ("n", "output_compression", "partial_images", "frame_count", "frame_duration_ms")
BOOLEANS: Final = ("stream",)
IMAGES_MAX: Final = 16
AUTO_SIZE: Final = "1024x1024"
AUTO_QUALITY: Final = "medium"

_ROUTING: Final = "provider"  # ZenMux's own field; documented for chat, accepted everywhere
_EDIT_PARAMETERS: Final = frozenset({"image", "images", "mask", "markup", "input_fidelity"})
_DRAWABLE: Final = ("png", "webp", "jpeg", "gif")
_EDGE_MAX: Final = 4096  # of models without a list of sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A valid request. `auto` is decided: `size`, `quality` and `background` are what the answer will say.

    `text` is the prompt without its directives. `inputs` are (width, height) of the images to be edited.
    """

    spec: ModelSpec
    operation: str
    prompt: str
    text: str
    directives: Directives
    n: int
    size: str
    width: int
    height: int
    quality: str
    background: str
    output_format: str
    compression: int
    stream: bool
    partial_images: int
    frames: int
    frame_milliseconds: int
    inputs: tuple[tuple[int, int], ...]
    input_fidelity: str


def check(fields: Mapping[str, object], operation: str, inputs: Sequence[tuple[int, int]], catalog: Catalog) -> Asked:
    """The request in `fields`, checked in the order OpenAI was seen to check. Raises SandboxRefusal."""
    spec = _model(fields, catalog)
    allowed = spec.parameters | {_ROUTING} | (_EDIT_PARAMETERS if operation == "edit" else frozenset())
    for name in fields:
        if name not in allowed and not spec.open:
            raise openai(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    prompt = _prompt(fields, spec)
    if operation == "edit":
        _check_inputs(inputs)
    n = integer(fields, "n", 1, spec.n_max, 1)
    stream = boolean(fields, "stream")
    if stream and n > 1:
        raise user_error("Streaming is only supported with n=1.", code="unsupported_parameter", param="input")
    size, width, height = _size(fields, spec)
    output_format = word(fields, "output_format", spec.output_formats, "png")
    if output_format not in _DRAWABLE:
        raise wrong_word("output_format", output_format, _DRAWABLE)
    if output_format == "gif" and stream:
        raise user_error("Streaming is not supported for output format 'gif'.", code="invalid_value", param="stream")
    word(fields, "moderation", spec.moderations, "auto")
    word(fields, "complexity", ("low", "medium", "high"), "high")
    directives, text = _directives(prompt, stream=stream)
    if output_format == "gif" and directives.body_bytes is not None:
        raise zenmux(400, "invalid_params", "Directive 'body' does not pad output format gif")
    return Asked(
        spec=spec,
        operation=operation,
        prompt=prompt,
        text=text,
        directives=directives,
        n=n,
        size=size,
        width=width,
        height=height,
        quality=_quality(fields, spec),
        background=_background(fields, spec, output_format),
        output_format=output_format,
        compression=_compression(fields, output_format),
        stream=stream,
        partial_images=integer(fields, "partial_images", 0, 3, 0) if stream else _unused_partials(fields),
        frames=integer(fields, "frame_count", 2, 16, 9) if output_format == "gif" else 1,
        frame_milliseconds=integer(fields, "frame_duration_ms", 20, 10_000, 200),
        inputs=tuple(inputs),
        input_fidelity=_input_fidelity(fields, spec),
    )


def _model(fields: Mapping[str, object], catalog: Catalog) -> ModelSpec:
    """The model, by any of its names, with or without a provider pinned after a colon: ZenMux's own checks."""
    name = fields.get("model")
    if name is None:
        raise zenmux(400, "invalid_params", "Parameter model is required")
    if not isinstance(name, str):
        raise zenmux(400, "invalid_params", f"Model {name} is not valid")
    spec = catalog.find(name.split(":", 1)[0])
    if spec is None:
        raise zenmux(404, "invalid_model", f"The model {name[:100]} does not exist")
    return spec


def _prompt(fields: Mapping[str, object], spec: ModelSpec) -> str:
    if "prompt" not in fields:
        raise openai("Missing required parameter: 'prompt'.", code="missing_required_parameter", param="prompt")
    prompt = fields["prompt"]
    if not isinstance(prompt, str):
        raise wrong_type("prompt", "a string", prompt)
    if not prompt:
        raise openai(
            "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty string instead.",
            code="empty_string", param="prompt",
        )  # fmt: skip
    if len(prompt) > spec.prompt_chars_max:
        raise zenmux(413, "invalid_params", "Prompt is too long")
    return prompt


def _directives(prompt: str, *, stream: bool) -> tuple[Directives, str]:
    try:
        directives, text = parse_directives(prompt)
    except DirectiveError as error:
        raise zenmux(400, "invalid_params", str(error)) from None
    if not stream and (directives.no_completed or directives.error_event):
        raise zenmux(400, "invalid_params", f"Directives {' and '.join(STREAM_ONLY)} need stream=true")
    return directives, text


def _check_inputs(inputs: Sequence[tuple[int, int]]) -> None:
    if not inputs:
        raise openai("Missing required parameter: 'image'.", code="missing_required_parameter", param="image")
    if len(inputs) > IMAGES_MAX:
        raise openai(
            f"Invalid 'image': array too long. Expected an array with maximum length {IMAGES_MAX}, but got an array "
            f"with length {len(inputs)} instead.", code="array_above_max_length", param="image",
        )  # fmt: skip


def _size(fields: Mapping[str, object], spec: ModelSpec) -> tuple[str, int, int]:
    """The size as written in the answer, and in pixels."""
    words = (*spec.sizes.values, "auto") if isinstance(spec.sizes, SizeList) else ()
    size = word(fields, "size", words, "auto", null_is_default=True)
    size = _auto_size(spec) if size == "auto" else size
    pixels = parse_size(size)
    fault = None
    if pixels is None:
        fault = "Expected WIDTHxHEIGHT, for example '1824x1024'."
    elif isinstance(spec.sizes, SizeBounds):
        fault = spec.sizes.fault(*pixels)
    elif max(pixels) > _EDGE_MAX:
        fault = f"The sandbox draws no edge above {_EDGE_MAX}."
    if pixels is None or fault is not None:
        raise user_error(f"Invalid size '{size}'. {fault}", code="invalid_value", param="size")
    return size, *pixels


def _auto_size(spec: ModelSpec) -> str:
    if isinstance(spec.sizes, SizeList) and AUTO_SIZE not in spec.sizes.values:
        return spec.sizes.values[0]
    return AUTO_SIZE


def _quality(fields: Mapping[str, object], spec: ModelSpec) -> str:
    quality = word(fields, "quality", spec.qualities, "auto", null_is_default=True)
    if quality != "auto":
        return quality
    if spec.auto_quality != "auto":
        return spec.auto_quality
    return AUTO_QUALITY if AUTO_QUALITY in spec.qualities or not spec.qualities else spec.qualities[0]


def _background(fields: Mapping[str, object], spec: ModelSpec, output_format: str) -> str:
    background = word(fields, "background", spec.backgrounds, "auto")
    if background != "transparent":
        return "opaque"
    if not spec.transparent_background:
        raise user_error(
            "Transparent background is not supported for this model.", code="invalid_value", param="background"
        )
    if output_format == "jpeg":
        raise user_error(
            "Transparent background is not supported for output format 'jpeg'.",
            code="invalid_value", param="background",
        )  # fmt: skip
    return background


def _compression(fields: Mapping[str, object], output_format: str) -> int:
    compression = integer(fields, "output_compression", 0, 100, 100)
    if output_format == "png" and compression < 100:
        raise openai(
            "Compression below 100 is not supported for output format 'png'.",
            code="invalid_png_output_compression", param="output_compression",
        )  # fmt: skip
    return compression


def _unused_partials(fields: Mapping[str, object]) -> int:
    """Partial images outside a stream: checked like any value, then not drawn."""
    integer(fields, "partial_images", 0, 3, 0)
    return 0


def _input_fidelity(fields: Mapping[str, object], spec: ModelSpec) -> str:
    fidelity = word(fields, "input_fidelity", ("high", "low"), "low")
    if "input_fidelity" in fields and not isinstance(spec.sizes, SizeList):
        raise openai(
            "The parameter 'input_fidelity' is not supported for this model.",
            code="invalid_input_fidelity_model", param="input_fidelity",
        )  # fmt: skip
    return fidelity
