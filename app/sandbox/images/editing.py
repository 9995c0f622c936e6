"""What an edit begins with: the images sent in, fitted to the size asked for, and the mask that says what may change.
Slow: meant for a worker thread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from PIL import Image, ImageOps


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of the images sent in, None for what stands behind a URL; and of the mask."""

    images: Sequence[IO[bytes] | None] = ()
    mask: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Canvas:
    """The inputs in the size of the answer. `kept` is white where the mask keeps what is there; None: all may go."""

    image: Image.Image
    kept: Image.Image | None

    def keep(self, drawn: Image.Image) -> Image.Image:
        """`drawn`, but only where the mask lets it show."""
        return drawn if self.kept is None else Image.composite(self.image, drawn, self.kept)


def canvas_of(inputs: Sources, size: tuple[int, int]) -> Canvas | None:
    """One image fills the canvas, several are its tiles; None without any that can be opened."""
    images = [image for file in inputs.images if (image := _opened(file, size)) is not None]
    if not images:
        return None
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    canvas = Image.new("RGB", size, "#ffffff")
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        left, top = size[0] * column // across, size[1] * row // down
        right, bottom = size[0] * (column + 1) // across, size[1] * (row + 1) // down
        canvas.paste(ImageOps.fit(image.convert("RGB"), (right - left, bottom - top)), (left, top))
    mask = _opened(inputs.mask, None)
    kept = None if mask is None else mask.convert("RGBA").getchannel("A").resize(size, Image.Resampling.NEAREST)
    return Canvas(canvas, kept)


def _opened(file: IO[bytes] | None, size: tuple[int, int] | None) -> Image.Image | None:
    if file is None:
        return None
    file.seek(0)
    try:
        with Image.open(file) as image:
            if size is not None:
                image.draft("RGB", size)  # a large JPEG is read in an eighth of its size
            image.load()
            return image.copy()
    except (OSError, ValueError, SyntaxError):  # its head was right, and the rest is not
        return None
