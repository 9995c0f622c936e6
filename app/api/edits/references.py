"""Where the images of a JSON edit stand, in every way clients write them. Pure; fetches and decodes nothing."""

from collections.abc import Mapping
from typing import NamedTuple

from app.errors import InvalidRequest
from app.images.request.checks import refusal, wrong_type
from app.images.request.inputs import IMAGE, MARKUP, MASK

_DATA_URL = "a data URL, as in data:image/png;base64,…"


class Reference(NamedTuple):
    """One image that a document names: what it is, and the URL that stands for it. `param` is where it was named."""

    kind: str
    param: str
    url: str


def take_references(fields: Mapping[str, object], *, lenient: bool) -> tuple[dict[str, object], list[Reference]]:
    """The fields without their images, and the images in their order. Raises InvalidRequest."""
    rest = dict(fields)
    images = rest.pop("images", None)
    single = rest.pop("image", None)
    if single is not None:
        if not lenient or images is not None:
            message = "Unknown parameter: 'image'. For application/json on /v1/images/edits, use 'images' (array)."
            raise refusal("image", "invalid_value", message)
        images = single
    if isinstance(images, str | dict) and lenient:
        images = [images]
    if images is not None and not isinstance(images, list):
        raise wrong_type("images", "an array of objects", images)
    if images == []:
        raise refusal("images", "empty_array", "Invalid 'images': empty array. Expected at least one image.")
    found = [_reference(IMAGE, f"images[{number}]", image, lenient) for number, image in enumerate(images or ())]
    for kind in (MASK, MARKUP):
        overlay = rest.pop(kind, None)
        if overlay is not None:
            found.append(_reference(kind, kind, overlay, lenient))
    return rest, found


def _reference(kind: str, param: str, image: object, lenient: bool) -> Reference:  # noqa: FBT001 - only called above
    if isinstance(image, str) and lenient:
        return Reference(kind, param, image)
    if not isinstance(image, dict):
        raise wrong_type(param, "an object", image)
    if "file_id" in image:
        message = f"This gateway keeps no files: instead of 'file_id', send 'image_url' with {_DATA_URL}."
        raise refusal(f"{param}.file_id", "unsupported_parameter", message)
    for name in image:
        if name != "image_url" and not (lenient and name in ("type", "detail")):
            raise refusal(f"{param}.{name}", "unknown_parameter", f"Unknown parameter: '{param}.{name[:64]}'.")
    url = image.get("image_url")
    if isinstance(url, dict) and lenient:  # as in chat
        url = url.get("url")
    if not isinstance(url, str):
        raise wrong_type(f"{param}.image_url", "a string", url)
    return Reference(kind, param, url)


def no_such_image(reference: Reference) -> InvalidRequest:
    """A reference that is neither a data URL in base64 nor an address that may be used."""
    return refusal(reference.param, "invalid_value", f"Invalid '{reference.param}': expected {_DATA_URL}.")


def remote_refused(reference: Reference) -> InvalidRequest:
    """An address, where none is used."""
    message = (
        f"This gateway fetches no images: in '{reference.param}', send {_DATA_URL}, or upload the file in a form. "
        "Its operator can allow addresses with GATEWAY_IMAGE_URLS."
    )
    return refusal(reference.param, "unsupported_value", message)


def too_many(reference: Reference) -> InvalidRequest:
    return refusal(reference.param, "array_above_max_length", "Invalid 'images': array too long.")
