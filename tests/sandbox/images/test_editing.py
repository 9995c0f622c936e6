"""Edits show what they were made of: the image under the letters, only what the mask frees, several as tiles."""

import io

from PIL import Image

from app.sandbox.images.drawing import draw_all
from app.sandbox.images.editing import Sources, canvas_of
from app.sandbox.images.lettering import Lettering
from tests.sandbox.support import asked, opened

SIZE = (1024, 1024)


def file_of(colour: str, size: tuple[int, int] = SIZE, kind: str = "PNG") -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer


def mask_of(free: tuple[int, int, int, int]) -> io.BytesIO:
    mask, buffer = Image.new("RGBA", SIZE, (0, 0, 0, 255)), io.BytesIO()
    mask.paste((0, 0, 0, 0), free)
    mask.save(buffer, "PNG")
    return buffer


def edited(inputs: Sources) -> Image.Image:
    request = asked(operation="edit", inputs=[SIZE], quality="low", size="1024x1024")
    return opened(draw_all(request, Lettering(), inputs).images[0])


def test_the_image_stands_under_the_letters() -> None:
    image = edited(Sources([file_of("#00ff00", (300, 900), "JPEG")]))
    small = image.resize((64, 64))
    pixels = zip(small.getchannel("R").tobytes(), small.getchannel("G").tobytes(), strict=True)
    green = sum(red < 60 < 200 < green for red, green in pixels)
    assert 2000 < green < 64 * 64  # most of it, and letters over it


def test_only_what_the_mask_frees_is_changed() -> None:
    image = edited(Sources([file_of("#00ff00")], mask_of((0, 0, 512, 1024))))
    assert image.crop((512, 0, 1024, 1024)).getcolors() == [(512 * 1024, (0, 255, 0))]
    assert (0, 255, 0) not in {colour for _, colour in image.crop((0, 0, 512, 1024)).getcolors(10**6) or []}


def test_several_images_are_tiles() -> None:
    canvas = canvas_of(Sources([file_of("#ff0000"), file_of("#00ff00"), file_of("#0000ff")]), (90, 60))
    assert canvas is not None
    assert canvas.kept is None
    corners = [canvas.image.getpixel(at) for at in ((5, 5), (85, 5), (5, 55), (85, 55))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_what_cannot_be_opened_is_left_out() -> None:
    assert canvas_of(Sources([None, io.BytesIO(b"\x89PNG no more")]), (90, 60)) is None
