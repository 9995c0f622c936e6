"""Text is fitted into its box, in letters that exist."""

import pytest

from app.sandbox.images.lettering import Lettering, fit_text

LETTERING = Lettering()
LONG = "A lighthouse on a cliff at dusk, painted in watercolour, with a small red boat coming home through the fog"


@pytest.mark.parametrize("text", ["Fox", LONG, LONG * 6, "x" * 300, "灯塔在悬崖上" * 20, "a  b\n\tc"])
@pytest.mark.parametrize("box", [(800, 700), (1200, 300), (300, 1200)])
def test_lines_fit_the_box(text: str, box: tuple[int, int]) -> None:
    block = fit_text(text, LETTERING, box)
    assert block.height <= box[1]
    assert all(0 < block.font.getlength(line) <= box[0] for line in block.lines)


def test_no_letter_is_lost_while_there_is_room() -> None:
    block = fit_text(LONG, LETTERING, (800, 700))
    assert " ".join(block.lines) == LONG
    assert "".join(fit_text("x" * 300, LETTERING, (800, 700)).lines) == "x" * 300


def test_short_texts_are_larger() -> None:
    assert fit_text("Fox", LETTERING, (800, 700)).font.size > fit_text(LONG * 6, LETTERING, (800, 700)).font.size


def test_very_long_texts_end_in_an_ellipsis() -> None:
    block = fit_text("word " * 6000, LETTERING, (800, 700))
    assert block.lines[-1].endswith("…")
    assert block.font.size >= 12


def test_a_box_too_small_for_anything_gets_one_line() -> None:
    assert len(fit_text(LONG, LETTERING, (14, -40)).lines) == 1


@pytest.mark.parametrize("text", ["naïve façade", "księżyc", "Маяк", "Λάμπα", "— “€” …", "☃ →"])
def test_the_shipped_font_has_the_letters(text: str) -> None:
    font = LETTERING.at(20, text)
    missing = bytes(font.getmask("\uffff"))
    assert font.getname()[0] == "DejaVu Sans"
    assert all(bytes(font.getmask(letter)) != missing for letter in text if letter != " ")


@pytest.mark.parametrize("text", ["灯塔", "\x00\x07", "مرحبا", "👩‍👩‍👧", "\u0301" * 50, "\U0010fffd"])
def test_letters_nobody_has_break_nothing(text: str) -> None:
    assert fit_text(text, LETTERING, (800, 700)).lines
