"""Images as they come: refused as soon as anything is known against them, found again when all is there."""

from pathlib import Path

import pytest
from blake3 import blake3

from app.api.edits.collecting import Collector
from app.errors import BodyTooLarge, InvalidRequest
from tests.api.edits.asking import upload_in
from tests.image_files import image_file, mask_file


async def write(collector: Collector, data: bytes) -> None:
    await collector.write(data)
    await collector.end()


async def test_images_are_known_by_their_heads(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        collector = Collector(upload, 1_000_000)
        for kind, file in (
            ("image", image_file((64, 64), "WEBP")),
            ("mask", mask_file()),
            ("image", image_file((8, 9))),
        ):
            collector.begin(kind)
            await write(collector, file)
        inputs = await collector.inputs()
        assert [(head.format, head.width) for head in inputs.images if head] == [("webp", 64), ("png", 8)]
        assert inputs.mask is not None
        assert inputs.mask.has_alpha
        assert inputs.markup is None


async def test_each_image_has_the_digest_of_its_own_bytes(tmp_path: Path) -> None:
    files = [image_file((64, 64), "WEBP"), image_file((8, 9)) + b"x" * 300_000, image_file((9, 8))]
    async with upload_in(tmp_path) as upload:
        collector = Collector(upload, 1_000_000)
        for file in files:
            collector.begin("image")
            await write(collector, file)
        assert [image.digest for image in collector.images] == [blake3(file).digest() for file in files]


async def test_unknown_ones_are_told_later_what_they_are(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        collector = Collector(upload, 1_000_000)
        for file in (mask_file(), image_file(kind="JPEG")):
            collector.begin_unknown()
            await write(collector, file)
        with pytest.raises(InvalidRequest, match="stands where no image belongs"):
            collector.assign([("image", 1)])
        with pytest.raises(InvalidRequest, match="used twice"):
            collector.assign([("image", 1), ("mask", 1)])
        with pytest.raises(InvalidRequest, match="must be a PNG"):
            Collector.assign(collector, [("image", 0), ("mask", 1)])


async def test_faults_are_told_at_once(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        collector = Collector(upload, 100)
        collector.begin("image")
        await collector.write(image_file()[:60])
        with pytest.raises(BodyTooLarge):
            await collector.write(b"x" * 41)
        collector.begin("image")
        with pytest.raises(InvalidRequest, match="image 2"):
            await collector.write(b"not an image")


async def test_a_head_that_lies_is_found_in_the_end(tmp_path: Path) -> None:
    async with upload_in(tmp_path) as upload:
        collector = Collector(upload, 1000)
        collector.begin("image")
        await write(collector, image_file()[:20])
        with pytest.raises(InvalidRequest, match="image 1"):
            await collector.inputs()
