"""The images of an edit as the page describes them, so that they need not be sent to be told what the edit costs. Pure.

Nothing is bought by it: when the images come, they are read and checked as the API does.
"""

import re
from dataclasses import dataclass

from app.admin.texts.snippets import EditFiles
from app.console.web.forms import Form
from app.errors import InvalidRequest
from app.images.request.image_head import ImageHead, sniff
from app.images.request.inputs import IMAGE, MASK, InputRole, Inputs, check_count, check_size, check_start

IMAGES, MASK_FIELD = "input_image", "input_mask"
# The first bytes as hex, the file's size, width and height, and its name.
_DESCRIPTION = re.compile(r"((?:[0-9a-f]{2}){0,12}) ([0-9]{1,15}) ([0-9]{1,9})x([0-9]{1,9}) (.{1,255})")


@dataclass(frozen=True, slots=True)
class Described:
    """What an edit is made of: the heads of its images, as far as a browser knows them, and the names of its files."""

    inputs: Inputs
    files: EditFiles


def described_inputs(form: Form) -> Described | None:
    """The images that the form describes; None where there is none. Raises InvalidRequest for the first that the API
    would refuse, in its words."""
    images = form.all(IMAGES)
    if not images:
        return None
    check_count(len(images))
    found = [_read(text, InputRole(IMAGE, number)) for number, text in enumerate(images, 1)]
    mask = form.get(MASK_FIELD)
    head, name = _read(mask, InputRole(MASK)) if mask else (None, None)
    return Described(Inputs([each for each, _ in found], head), EditFiles([each for _, each in found], name))


def _read(text: str, role: InputRole) -> tuple[ImageHead, str]:
    match = _DESCRIPTION.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"The page did not describe {role.shown} well.", param=role.kind, code="invalid_value")
    start, size, width, height, name = match.groups()
    head = bytes.fromhex(start)
    check_start(role, head)
    check_size(role, int(size))
    kind = sniff(head)
    assert kind is not None, "check_start has seen it"
    # Whether there is alpha is seen when the file comes; the page paints masks that have it.
    return ImageHead(kind, int(width), int(height), has_alpha=True), name
