"""Which letters can be drawn, in which font, and how a text is fitted into a box. Reads font files, nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import ImageFont

_SHIPPED: Final = Path(__file__).with_name("DejaVuSans.ttf")
# The shipped font has no Chinese, Japanese or Korean. If the machine has one of these, such prompts are legible too.
_FALLBACKS: Final = (
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc",
    "Arial Unicode.ttf", "malgun.ttf", "YuGothM.ttc",
)  # fmt: skip
_MISSING: Final = "\uffff"  # no font has it, so every font draws its symbol for a missing letter
_LETTERS_MAX: Final = 700  # of a prompt; more would be too small to read
_LETTER_PIXELS_MIN: Final = 12
_LEADING: Final = 1.32
_SHRINK: Final = 0.9


@dataclass(frozen=True, slots=True)
class Block:
    """A text layout: its lines, their font, and the line height in pixels."""

    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont
    leading: float

    @property
    def height(self) -> float:
        return self.leading * len(self.lines)


class Lettering:
    """The available fonts, the preferred one first. Safe to share between threads: every use makes its own font
    object.
    """

    def __init__(self, own_font: Path | None = None) -> None:
        """Raises OSError when `own_font` is not a font."""
        self._fonts = [] if own_font is None else [ImageFont.truetype(own_font)]
        self._fonts.append(ImageFont.truetype(_SHIPPED))
        for name in _FALLBACKS:
            try:
                self._fonts.append(ImageFont.truetype(name))
            except OSError:
                continue

    def at(self, pixels: int, text: str = "") -> ImageFont.FreeTypeFont:
        """The first font that has most of the letters of `text`, at this size."""
        letters = {letter for letter in text if not letter.isspace()}
        font = min(self._fonts, key=lambda font: _missing(font, letters)) if letters else self._fonts[0]
        return font.font_variant(size=pixels)


def _missing(font: ImageFont.FreeTypeFont, letters: set[str]) -> int:
    unknown = bytes(font.getmask(_MISSING))
    return sum(bytes(font.getmask(letter)) == unknown for letter in letters)


def fit_text(text: str, lettering: Lettering, box: tuple[int, int]) -> Block:
    """`text` in the largest letters that fit into `box` (width, height). A text that is still too long is cut."""
    text = " ".join(text.split())
    if len(text) > _LETTERS_MAX:
        text = text[: _LETTERS_MAX - 1].rstrip() + "…"
    pixels = max(_LETTER_PIXELS_MIN, min(box) // 9)
    family = lettering.at(pixels, text)
    while True:
        font, leading = family.font_variant(size=pixels), pixels * _LEADING
        lines = tuple(_wrapped(text, font, box[0]))
        if len(lines) * leading <= box[1]:
            return Block(lines, font, leading)
        if pixels == _LETTER_PIXELS_MIN:
            return Block(lines[: max(1, int(box[1] / leading))], font, leading)
        pixels = max(_LETTER_PIXELS_MIN, int(pixels * _SHRINK))


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """Lines no wider than `width`, broken between words, and inside a word only when it is wider than a line."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}".lstrip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        *pieces, line = _broken(word, font, width)
        yield from pieces
    if line:
        yield line


def _broken(word: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    piece = ""
    for letter in word:
        if piece and font.getlength(piece + letter) > width:
            yield piece
            piece = ""
        piece += letter
    yield piece
