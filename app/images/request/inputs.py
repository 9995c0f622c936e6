"""The images of an edit: how many, how large, of what kind, and what fits together, in OpenAI's words. Pure; reads no
file: image_head.py does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.errors import InvalidRequest
from app.images.catalog.model_spec import INPUT_IMAGES_MAX, ModelSpec
from app.images.request.checks import USER_ERROR, refusal
from app.images.request.image_head import ImageHead, sniff

IMAGE_BYTES_MAX = 50_000_000 - 1  # OpenAI: less than 50 MB each
MASK_BYTES_MAX = 4_000_000 - 1
IMAGE, MASK, MARKUP = "image", "mask", "markup"
ROLES = (IMAGE, MASK, MARKUP)


class InputRole(NamedTuple):
    """What an image is in its request: `kind`, and for an image its number from 1."""

    kind: str
    number: int = 1

    @property
    def shown(self) -> str:
        return f"image {self.number}" if self.kind == IMAGE else self.kind

    @property
    def bytes_max(self) -> int:
        return MASK_BYTES_MAX if self.kind == MASK else IMAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images that came with an edit, by their heads; None for one that stays behind a URL."""

    images: Sequence[ImageHead | None]
    mask: ImageHead | None = None
    markup: ImageHead | None = None


def check_count(number: int) -> None:
    """As soon as the image of that number begins."""
    if number > INPUT_IMAGES_MAX:
        message = f"array too long. Expected an array with maximum length {INPUT_IMAGES_MAX}, but got more instead."
        raise refusal(IMAGE, "array_above_max_length", f"Invalid 'image': {message}")


def check_start(role: InputRole, start: bytes) -> None:
    """As soon as the first bytes of an image are there."""
    kind = sniff(start)
    if kind is None:
        raise not_an_image(role)
    if role.kind != IMAGE and kind != "png":
        raise refusal(role.kind, "invalid_image_file", f"The {role.kind} must be a PNG file, not {kind}.", USER_ERROR)


def check_size(role: InputRole, size: int) -> None:
    """As often as bytes of it come."""
    if size > role.bytes_max:
        largest = (role.bytes_max + 1) // 1_000_000
        message = f"Invalid image file for {role.shown}: it must be smaller than {largest} MB."
        raise refusal(role.kind, "invalid_image_file", message, USER_ERROR)


def check_inputs(inputs: Inputs, spec: ModelSpec) -> None:
    """What is left to be checked once everything is there."""
    if not inputs.images:
        raise refusal(IMAGE, "missing_required_parameter", "Missing required parameter: 'image'.")
    assert spec.edits is not None, "normalize has seen it"
    if len(inputs.images) > spec.edits.images_max:
        message = f"This model takes at most {spec.edits.images_max} images, but got {len(inputs.images)} instead."
        raise refusal(IMAGE, "array_above_max_length", f"Invalid 'image': array too long. {message}")
    if inputs.markup is not None and not spec.edits.markup:
        raise refusal(MARKUP, "unknown_parameter", "Unknown parameter: 'markup'. This model takes no markup.")
    if inputs.mask is not None and inputs.markup is not None:
        raise refusal(MARKUP, "invalid_value", "Send either 'mask' or 'markup', not both.", USER_ERROR)
    for kind, head in ((MASK, inputs.mask), (MARKUP, inputs.markup)):
        if head is not None:
            _check_overlay(kind, head, inputs.images[0])


def not_an_image(role: InputRole) -> InvalidRequest:
    message = f"Invalid image file or mode for {role.shown}, please check your image file."
    return refusal(role.kind, "invalid_image_file", f"{message} PNG, JPEG and WebP are read.", USER_ERROR)


def _check_overlay(kind: str, head: ImageHead, first: ImageHead | None) -> None:
    if not head.has_alpha:
        message = f"The {kind} has no alpha channel: its transparent pixels say what to change."
        raise refusal(kind, "invalid_image_file", message, USER_ERROR)
    if first is None:
        return
    size, wanted = (head.width, head.height), (first.width, first.height)
    # A photo may be stored lying on its side; how it is turned is not read here.
    fits = size == wanted or (first.format != "png" and size == wanted[::-1])
    if not fits:
        message = f"The {kind} is {size[0]}x{size[1]}, the first image {wanted[0]}x{wanted[1]}: both must be alike."
        raise refusal(kind, "invalid_value", message, USER_ERROR)
