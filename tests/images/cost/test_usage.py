"""Reading a provider's usage: what is itemised counts as such, what is not falls to what it can only be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.cost.usage import Usage, parse_usage

REAL = {
    "input_tokens": 18,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 18},
    "output_tokens": 196,
    "output_tokens_details": {"image_tokens": 196, "text_tokens": 0},
    "total_tokens": 214,
}


def test_a_real_answer_of_gpt_image_2() -> None:
    usage = parse_usage(REAL)
    assert usage == Usage(input_text_tokens=18, output_image_tokens=196)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (18, 196, 214)


def test_a_real_answer_of_gpt_image_1_5_with_text_beside_the_image() -> None:
    reported = {
        "input_tokens": 48, "input_tokens_details": {"image_tokens": 0, "text_tokens": 48}, "output_tokens": 481,
        "output_tokens_details": {"image_tokens": 272, "text_tokens": 209}, "total_tokens": 529,
    }  # fmt: skip
    assert parse_usage(reported) == Usage(48, 0, 209, 272)


@pytest.mark.parametrize("images_sent", [False, True])
@pytest.mark.parametrize(
    ("details", "text", "image"),
    [
        (None, 0, 372),
        ({}, 0, 372),
        ("odd", 0, 372),
        ({"text_tokens": 0}, 0, 372),
        ({"text_tokens": 0, "image_tokens": 0}, 0, 372),
        ({"text_tokens": 72}, 72, 300),
        ({"image_tokens": 300}, 0, 372),
        ({"text_tokens": 72, "image_tokens": 300}, 72, 300),
        ({"text_tokens": 10, "image_tokens": 300}, 10, 362),
        ({"text_tokens": 300, "image_tokens": 300}, 72, 300),
        ({"text_tokens": 9999}, 372, 0),
        ({"image_tokens": 9999}, 0, 372),
        ({"text_tokens": -1, "image_tokens": True}, 0, 372),
    ],
)
def test_output_that_is_not_itemised_is_image(details: object, text: int, image: int, *, images_sent: bool) -> None:
    reported = {"input_tokens": 0, "output_tokens": 372, "output_tokens_details": details}
    usage = parse_usage(reported, images_sent=images_sent)
    assert usage == Usage(output_text_tokens=text, output_image_tokens=image)


@pytest.mark.parametrize(
    ("details", "images_sent", "text", "image"),
    [
        (None, False, 50, 0),
        ({}, False, 50, 0),
        ({"text_tokens": 0, "image_tokens": 0}, False, 50, 0),
        ({"text_tokens": 10}, False, 50, 0),
        ({"image_tokens": 40}, False, 10, 40),
        ({"text_tokens": 10, "image_tokens": 40}, False, 10, 40),
        (None, True, 0, 50),
        ({"text_tokens": 10}, True, 10, 40),
        ({"image_tokens": 30}, True, 0, 50),
        ({"text_tokens": 10, "image_tokens": 40}, True, 10, 40),
    ],
)
def test_input_that_is_not_itemised_is_text_unless_images_were_sent(
    details: object, text: int, image: int, *, images_sent: bool
) -> None:
    reported = {"input_tokens": 50, "output_tokens": 0, "input_tokens_details": details}
    assert parse_usage(reported, images_sent=images_sent) == Usage(text, image)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        {},
        [],
        "usage",
        5,
        {"input_tokens": 1},
        {"output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": True},
        {"input_tokens": 1, "output_tokens": float("nan")},
        {"input_tokens": 1, "output_tokens": -0.5},
        {"input_tokens": "one", "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": "1e3"},
        {"total_tokens": 207},
    ],
)
def test_what_makes_no_sense_is_no_usage(reported: object) -> None:
    assert parse_usage(reported) is None


@pytest.mark.parametrize(
    "reported",
    [
        {"input_tokens": 11.0, "output_tokens": 196.0},
        {"input_tokens": 10.2, "output_tokens": 195.92},
        {"input_tokens": "11", "output_tokens": "195.5"},
        {"prompt_tokens": 11, "completion_tokens": 196},
        {"total_tokens": 207, "output_tokens": 196},
        {"total_tokens": 207.0, "input_tokens": 11, "output_tokens": None},
    ],
)
def test_every_spelling_with_one_meaning_counts(reported: object) -> None:
    assert parse_usage(reported) == Usage(input_text_tokens=11, output_image_tokens=196)


@pytest.mark.parametrize("absurd", [2**63, 10**400, 1e300, float("inf"), "9" * 400])
def test_an_absurd_count_is_a_large_one(absurd: object) -> None:
    usage = parse_usage({"input_tokens": absurd, "output_tokens": absurd})
    assert usage is not None
    assert usage.total_tokens == 2 * 10**12


def test_zero_is_a_value() -> None:
    assert parse_usage({"input_tokens": 0, "output_tokens": 0}) == Usage()


COUNTS = st.integers(0, 10**6)
DETAILS = st.none() | st.fixed_dictionaries({}, optional={"text_tokens": COUNTS, "image_tokens": COUNTS})


@given(COUNTS, DETAILS, COUNTS, DETAILS, st.booleans())
def test_the_totals_are_always_kept(
    input_tokens: int, input_details: object, output_tokens: int, output_details: object, images_sent: bool
) -> None:
    usage = parse_usage(
        {
            "input_tokens": input_tokens,
            "input_tokens_details": input_details,
            "output_tokens": output_tokens,
            "output_tokens_details": output_details,
        },
        images_sent=images_sent,
    )
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (input_tokens, output_tokens)
    assert min(usage.input_text_tokens, usage.input_image_tokens) >= 0
    assert min(usage.output_text_tokens, usage.output_image_tokens) >= 0
