"""What an edit takes, as JSON and as a form: the parameters of a generation and the images beside them. Pure."""

from typing import Any

from app.api.openapi.parameters import Schema, generation_schema
from app.images.catalog.model_spec import INPUT_FIDELITIES, INPUT_IMAGES_MAX
from app.images.request.normalize import RequestPolicy, models_of

_BINARY: Schema = {"type": "string", "format": "binary"}
_IMAGE = "PNG, JPEG or WebP, smaller than 50 MB."
_OVERLAYS = {
    "mask": "A PNG as large as the first image, smaller than 4 MB: where it is transparent, the image may change.",
    "markup": "A PNG as large as the first image, drawn over it. Not beside a mask.",
}
# The smallest PNG there is.
_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)


def edit_schema(policy: RequestPolicy) -> Schema:
    """An edit as JSON."""
    reference = {
        "type": "object",
        "required": ["image_url"],
        "properties": {
            "image_url": {
                "type": "string",
                "pattern": "^data:[a-z/+.-]*;base64,",
                "description": f"A data URL. {_IMAGE}",
            }
        },
        "additionalProperties": False,
    }
    images = {"type": "array", "minItems": 1, "maxItems": INPUT_IMAGES_MAX, "items": reference}
    overlays = {name: reference | {"description": about} for name, about in _overlays(policy).items()}
    schema = _shared(policy)
    more = {"images": images, **overlays}
    return schema | {"required": [*schema["required"], "images"], "properties": schema["properties"] | more}


def edit_form_schema(policy: RequestPolicy) -> Schema:
    """An edit as a form. Every value of a form is text; empty ones are left out."""
    schema = _shared(policy)
    files: Schema = {
        "image": _BINARY | {"description": f"One image. {_IMAGE}"},
        "image[]": {
            "type": "array",
            "maxItems": INPUT_IMAGES_MAX,
            "items": _BINARY,
            "description": f"Several. {_IMAGE}",
        },
        **{name: _BINARY | {"description": about} for name, about in _overlays(policy).items()},
    }
    return schema | {"properties": schema["properties"] | files}


def edit_examples(policy: RequestPolicy) -> dict[str, Any]:
    """Edits as JSON that are accepted as they stand, by name."""
    model = next((spec.name for spec in policy.catalog.models if spec.edits and spec.ends_on is None), None)
    if model is None:
        return {}
    value = {"model": model, "prompt": "Make it snow", "quality": "low", "images": [{"image_url": _PIXEL}]}
    return {"one_image": {"summary": "One image, as a data URL.", "value": value}}


def _shared(policy: RequestPolicy) -> Schema:
    schema = generation_schema(policy)
    words = dict.fromkeys(word for spec in models_of(policy) if spec.edits for word in spec.edits.input_fidelity)
    accepted = list(INPUT_FIDELITIES) if policy.lenient else list(words)
    more: Schema = {"input_fidelity": {"type": "string", "enum": accepted}} if accepted else {}
    return schema | {"properties": schema["properties"] | more}


def _overlays(policy: RequestPolicy) -> dict[str, str]:
    takes_markup = any(spec.edits and spec.edits.markup for spec in models_of(policy))
    return {name: about for name, about in _OVERLAYS.items() if name == "mask" or takes_markup}
