"""From a request to its files."""

from typing import Any

from PIL import Image

from app.sandbox.images.drawing import Drawn, draw_all
from app.sandbox.images.lettering import Lettering
from tests.sandbox.support import asked, opened

LETTERING = Lettering()


def drawn(prompt: str = "A fox", **fields: Any) -> Drawn:
    return draw_all(asked(prompt, **fields), LETTERING)


def test_as_many_images_as_asked_and_no_two_alike() -> None:
    found = drawn(n=3, quality="low")
    assert len({opened(image).tobytes() for image in found.images}) == 3
    assert found.partials == ()


def test_partials_are_files_of_the_same_format_and_size() -> None:
    found = drawn(stream=True, partial_images=3, output_format="jpeg", size="1536x1024")
    assert [opened(partial).format for partial in found.partials] == ["JPEG"] * 3
    assert {opened(file).size for file in (*found.partials, *found.images)} == {(1536, 1024)}


def test_directives_are_not_drawn() -> None:
    assert drawn("A fox [sandbox: delay=1s]") == drawn("A fox")


def test_a_prompt_of_nothing_but_directives_is_drawn_all_the_same() -> None:
    assert opened(drawn("[sandbox: delay=1s]").images[0]).size == (1024, 1024)


def test_gifs_move() -> None:
    found = drawn(model="gpt-image-2.6-flare", output_format="gif", frame_count=3, frame_duration_ms=120)
    image = opened(found.images[0])
    assert isinstance(image, Image.Image)
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == ("GIF", (1024, 1024), 3)
    assert image.info["duration"] == 120
