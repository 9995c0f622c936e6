"""From a valid request to image files. Slow: meant for a worker thread."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageEnhance

from app.sandbox.images.art import Brief, draw, image_file, unfinished
from app.sandbox.images.editing import Sources, canvas_of
from app.sandbox.images.lettering import Lettering
from app.sandbox.requests.asked import Asked

NO_SOURCES = Sources()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The files of one answer: finished images, and before them the unfinished ones, roughest first."""

    images: tuple[bytes, ...]
    partials: tuple[bytes, ...]


def draw_all(asked: Asked, lettering: Lettering, inputs: Sources = NO_SOURCES) -> Drawn:
    """Every image of the request, in its size, format, background and compression; an edit over its inputs."""
    images, partials = [], []
    canvas = canvas_of(inputs, (asked.width, asked.height))
    for number in range(1, asked.n + 1):
        image = draw(_brief(asked, number), lettering, canvas)
        for stage in range(asked.partial_images):
            rough = unfinished(image, stage, asked.partial_images)
            partials.append(image_file(rough, asked.output_format, asked.compression))
        if asked.output_format == "gif":
            images.append(_animated(image, asked))
        else:
            images.append(image_file(image, asked.output_format, asked.compression))
    return Drawn(tuple(images), tuple(partials))


def _brief(asked: Asked, number: int) -> Brief:
    notes = [asked.spec.name, asked.size, asked.quality]
    if asked.operation == "edit":
        notes.insert(0, "edit of 1 image" if len(asked.inputs) == 1 else f"edit of {len(asked.inputs)} images")
    if asked.n > 1:
        notes.append(f"{number} of {asked.n}")
    return Brief(
        text=asked.text or "sandbox",
        width=asked.width,
        height=asked.height,
        quality=asked.quality,
        note=" · ".join(notes),
        number=number,
        transparent=asked.background == "transparent",
    )


def _animated(image: Image.Image, asked: Asked) -> bytes:
    """A GIF in which the image becomes brighter frame by frame. All frames differ, or they would be joined."""

    def frames() -> Iterator[Image.Image]:
        for number in range(asked.frames):
            yield ImageEnhance.Brightness(image).enhance(0.6 + 0.4 * (number + 1) / asked.frames)

    first, *rest = frames()
    buffer = BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=asked.frame_milliseconds, loop=0, optimize=False
    )
    return buffer.getvalue()
