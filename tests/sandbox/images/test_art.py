"""Images show the prompt, in the size, colours and file that were asked for."""

from itertools import pairwise
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFilter, ImageStat

from app.sandbox.images.art import Brief, draw, image_file, unfinished
from app.sandbox.images.lettering import Lettering
from tests.sandbox.support import opened

LETTERING = Lettering()


def drawn(text: str = "A fox in the snow", width: int = 512, height: int = 384, **rest: Any) -> Image.Image:
    return draw(Brief(text, width, height, rest.pop("quality", "low"), "gpt-image-2", **rest), LETTERING)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of a channel, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


def detail(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L").filter(ImageFilter.FIND_EDGES)).mean[0]


@pytest.mark.parametrize("size", [(512, 384), (384, 1152), (16, 16)])
def test_images_have_the_asked_size(size: tuple[int, int]) -> None:
    assert drawn(width=size[0], height=size[1]).size == size


def test_the_same_prompt_gives_the_same_image() -> None:
    assert drawn().tobytes() == drawn().tobytes()


def test_another_prompt_and_another_number_give_another_image() -> None:
    assert difference(drawn(), drawn("A lighthouse")) > 5
    images = [drawn(number=number) for number in (1, 2, 3)]
    assert difference(images[0], images[1]) > 10
    assert difference(images[1], images[2]) > 10


@pytest.mark.parametrize("text", ["A fox in the snow", "x" * 2000, "word " * 500])
def test_the_prompt_is_white_on_something_darker(text: str) -> None:
    image = drawn(text, 1024, 1024)
    middle = image.crop((92, 92, 932, 860)).convert("L").histogram()
    assert sum(middle[250:]) > 2000  # letters
    assert sum(middle[:200]) > 0.5 * sum(middle)  # and what they stand on


def test_the_words_themselves_are_drawn() -> None:
    # Same colours (the seed is the text), so what differs is nothing but letters.
    assert difference(drawn("A fox"), drawn("A fox", number=9)) > 0
    with_words, note = (
        drawn("A fox in the snow"),
        draw(Brief("A fox in the snow", 512, 384, "low", "another note"), LETTERING),
    )
    box = ImageChops.difference(with_words, note).getbbox()
    assert box is not None
    assert box[1] > 384 / 2  # the note stands in the footer


def test_transparent_images_have_real_alpha() -> None:
    alpha = drawn(transparent=True).getchannel("A")
    assert alpha.getpixel((0, 0)) == 0
    assert alpha.getpixel((256, 192)) == 255
    assert any(alpha.histogram()[1:255])  # a soft edge
    assert drawn().mode == "RGB"


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_partial_images_grow_sharper_and_never_reach_the_whole(stages: int) -> None:
    image = drawn(width=1024, height=1024)
    partials = [unfinished(image, stage, stages) for stage in range(stages)]
    details = [detail(partial) for partial in partials] + [detail(image)]
    assert all(rough < finer for rough, finer in pairwise(details))
    distances = [difference(partial, image) for partial in partials]
    assert all(finer < 0.8 * rough for rough, finer in pairwise(distances))
    assert distances[-1] > 0.5
    assert all(partial.size == image.size for partial in partials)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_files_are_of_their_format_and_look_alike(image_format: str) -> None:
    image = drawn()
    read = opened(image_file(image, image_format, 90))
    assert (read.format, read.size) == (image_format.upper(), image.size)
    assert difference(read, image) < 3


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_compression_makes_files_smaller(image_format: str) -> None:
    sizes = [len(image_file(drawn(), image_format, compression)) for compression in (0, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.8 * sizes[2]


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_alpha_survives_the_file(image_format: str) -> None:
    assert opened(image_file(drawn(transparent=True), image_format, 100)).getchannel("A").getextrema() == (0, 255)


def test_higher_quality_shows_more_lights() -> None:
    assert difference(drawn(quality="low"), drawn(quality="high")) > 1
