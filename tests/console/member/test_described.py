"""What a page says of the images of an edit, judged as the images themselves would be."""

import pytest

from app.admin.texts.snippets import EditFiles
from app.console.member.described import described_inputs
from app.console.web.forms import Form
from app.errors import InvalidRequest
from app.images.request.inputs import IMAGE_BYTES_MAX, MASK_BYTES_MAX
from tests.image_files import image_file

PNG, JPEG = image_file()[:12].hex(), image_file(kind="JPEG")[:12].hex()


def form(*images: str, mask: str = "") -> Form:
    return Form([("prompt", "x"), *(("input_image", image) for image in images), ("input_mask", mask)])


def refused(*images: str, mask: str = "") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        described_inputs(form(*images, mask=mask))
    return error.value


def test_images_and_a_mask_become_heads_and_names() -> None:
    assert described_inputs(form()) is None
    found = described_inputs(
        form(f"{PNG} 900 600x400 my boat.png", f"{JPEG} 5 1x2 b.jpg", mask=f"{PNG} 9 600x400 m.png")
    )
    assert found is not None
    heads = [(each.format, each.width, each.height) for each in found.inputs.images if each]
    assert heads == [("png", 600, 400), ("jpeg", 1, 2)]
    assert found.inputs.mask is not None
    assert (found.inputs.mask.width, found.inputs.mask.has_alpha) == (600, True)
    assert found.files == EditFiles(["my boat.png", "b.jpg"], "m.png")


def test_what_the_api_refuses_is_refused_in_its_words() -> None:
    gif = image_file(kind="GIF")[:12].hex()
    assert "image 2, please check" in refused(f"{PNG} 1 1x1 a", f"{gif} 1 1x1 b").message
    assert refused(f"{PNG} {IMAGE_BYTES_MAX + 1} 1x1 a").message.endswith("smaller than 50 MB.")
    assert refused(f"{PNG} 1 1x1 a", mask=f"{PNG} {MASK_BYTES_MAX + 1} 1x1 m").message.endswith("smaller than 4 MB.")
    assert refused(f"{PNG} 1 1x1 a", mask=f"{JPEG} 1 1x1 m").message == "The mask must be a PNG file, not jpeg."
    assert refused(*[f"{PNG} 1 1x1 a"] * 17).code == "array_above_max_length"
    assert refused("89504 1 1x1 a").param == "image"


@pytest.mark.parametrize("text", ["x", f"{PNG} 1 1x1", f"{PNG} -1 1x1 a", f"{PNG}ff 1 1x1 a", f"{PNG} 1 ax1 a"])
def test_what_no_page_of_ours_says_is_refused(text: str) -> None:
    assert "did not describe image 1 well" in refused(text).message


def test_a_name_is_bounded() -> None:
    assert "did not describe" in refused(f"{PNG} 1 1x1 {'a' * 256}").message
