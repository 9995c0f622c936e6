"""Draws the stand-in's images: the prompt, legible, on a soft background that depends on the prompt. Slow, and the same
for the same request: meant for a worker thread.
"""

import hashlib
import io
import random
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from app.sandbox.images.editing import Canvas
from app.sandbox.images.lettering import Lettering, fit_text

_SKETCH_EDGE: Final = 192  # lights and shadows are soft, so they are painted small and enlarged
_LIGHTS: Final = {"low": 3, "medium": 5, "high": 8, "xhigh": 10, "max": 12}
_MARGIN: Final = 0.09  # of the shorter edge
_PNG_OPTIONS: Final = {"compress_level": 1, "compress_type": 3}  # Z_RLE: on gradients both faster and smaller
_SHADOW_OPACITY: Final = 0.6

# From dark to light; white letters are legible on all of them.
_PALETTES: Final = (
    ("#2b1d63", "#7a3ca0", "#d95d78", "#f0a070"),
    ("#08304f", "#11678a", "#2ea0a8", "#8fd0bd"),
    ("#10332f", "#1e6e54", "#57995f", "#bcc376"),
    ("#3c1026", "#962434", "#d65c36", "#eda850"),
    ("#301048", "#761c6e", "#c43c78", "#ec8c92"),
    ("#1c243a", "#3c5474", "#7694ac", "#b9c6ce"),
    ("#0e1e42", "#145c6e", "#48a48c", "#b4d28c"),
    ("#0f1232", "#2a2e7c", "#5c58b8", "#a79ce0"),
)


@dataclass(frozen=True, slots=True)
class Brief:
    """What one image shows. `number` counts the images of a request from 1; `note` is in the footer."""

    text: str
    width: int
    height: int
    quality: str
    note: str
    number: int = 1
    transparent: bool = False


def draw(brief: Brief, lettering: Lettering, canvas: Canvas | None = None) -> Image.Image:
    """The finished image: RGB, or RGBA with real alpha when transparent. The same brief gives the same pixels.

    An edit is lettered over its `canvas`; where a mask keeps the rest, what may change is drawn anew.
    """
    image = canvas.image.copy() if canvas is not None and canvas.kept is None else _background(brief)
    _write(image, brief, lettering)
    if canvas is not None:
        image = canvas.keep(image)
    if brief.transparent:
        image.putalpha(_card(brief.width, brief.height))
    return image


def unfinished(image: Image.Image, stage: int, stages: int) -> Image.Image:
    """The image as partial image `stage` (from 0) of `stages` shows it: sharper each time, but never finished."""
    coarseness = 4 ** (stages - stage)
    size = (max(1, image.width // coarseness), max(1, image.height // coarseness))
    return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)


def image_file(image: Image.Image, image_format: str, compression: int) -> bytes:
    """The file: `png`, `jpeg` or `webp`. `compression` is OpenAI's output_compression: 0 the smallest, 100 the best."""
    buffer = io.BytesIO()
    if image_format == "png":
        image.save(buffer, "PNG", **_PNG_OPTIONS)
    elif image_format == "jpeg":
        image.save(buffer, "JPEG", quality=max(1, min(compression, 95)))
    else:
        image.save(buffer, "WEBP", quality=compression, method=0)
    return buffer.getvalue()


def _background(brief: Brief) -> Image.Image:
    """Four corners of one palette that blend into each other, with lights over them."""
    seed = int.from_bytes(hashlib.sha256(brief.text.encode()).digest()[:8], "big")
    source = random.Random(seed + brief.number)  # noqa: S311 - decoration, not a secret
    dark, deep, bright, light = _PALETTES[(seed + brief.number) % len(_PALETTES)]
    rows = [[deep, light], [dark, bright]]
    if source.random() < 0.5:
        rows = [row[::-1] for row in rows]
    corners = Image.new("RGB", (2, 2))
    for y, row in enumerate(rows):
        for x, colour in enumerate(row):
            corners.paste(colour, (x, y, x + 1, y + 1))
    image = corners.resize((brief.width, brief.height), Image.Resampling.BICUBIC)
    image.paste("#ffffff", mask=_lights(brief, source).resize(image.size, Image.Resampling.BICUBIC))
    return image


def _lights(brief: Brief, source: random.Random) -> Image.Image:
    """Blurred discs, more of them for a higher quality, as a small mask."""
    scale = _SKETCH_EDGE / max(brief.width, brief.height)
    size = (max(8, round(brief.width * scale)), max(8, round(brief.height * scale)))
    lights = Image.new("L", size)
    for _ in range(_LIGHTS.get(brief.quality, 5)):
        radius = source.uniform(0.08, 0.38) * min(size)
        x, y = source.uniform(0, size[0]), source.uniform(0, size[1])
        disc = Image.new("L", size)
        ImageDraw.Draw(disc).ellipse((x - radius, y - radius, x + radius, y + radius), fill=source.randint(14, 30))
        lights = ImageChops.add(lights, disc.filter(ImageFilter.GaussianBlur(source.uniform(0.05, 0.3) * radius)))
    return lights


def _card(width: int, height: int) -> Image.Image:
    """The alpha of a transparent image: a card with round corners and a soft edge, nothing around it."""
    inset = round(min(width, height) * _MARGIN / 2)
    alpha = Image.new("L", (width, height))
    ImageDraw.Draw(alpha).rounded_rectangle(
        (inset, inset, width - inset, height - inset), radius=min(width, height) // 14, fill=255
    )
    return alpha.filter(ImageFilter.BoxBlur(1 + inset // 20))


def _write(image: Image.Image, brief: Brief, lettering: Lettering) -> None:
    """The prompt in the middle, a small line about the request at the bottom, white over a soft shadow."""
    short = min(brief.width, brief.height)
    margin, foot = round(short * _MARGIN), max(11, round(short / 48))
    right, bottom = brief.width - margin, brief.height - margin
    box = (brief.width - 2 * margin, brief.height - 2 * margin - 4 * foot)
    block = fit_text(brief.text, lettering, box)
    letters = Image.new("L", image.size)
    pen = ImageDraw.Draw(letters)
    top = margin + (box[1] - block.height) / 2
    for number, line in enumerate(block.lines):
        pen.text((margin, top + number * block.leading), line, font=block.font, fill=255)
    pen.line((margin, bottom - 2 * foot, right, bottom - 2 * foot), fill=110, width=max(1, foot // 12))
    small = lettering.at(foot)
    pen.text((margin, bottom), "sandbox", font=small, fill=225, anchor="ls")
    pen.text((right, bottom), brief.note, font=small, fill=225, anchor="rs")
    image.paste("#000000", mask=_shadow(letters, block.leading))
    image.paste("#ffffff", mask=letters)


def _shadow(letters: Image.Image, leading: float) -> Image.Image:
    step = max(1, max(letters.size) // (2 * _SKETCH_EDGE))
    soft = letters.reduce(step).filter(ImageFilter.GaussianBlur(max(1.0, leading / step / 7)))
    return soft.point([round(value * _SHADOW_OPACITY) for value in range(256)]).resize(letters.size)
