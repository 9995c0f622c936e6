"""Takes the images of a request as they come, however they are sent: refuses what cannot be an image as soon as that is
known, keeps the rest on disk, and knows where each lies. Knows no form and no JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import BodyTooLarge, InvalidRequest
from app.files.uploads import UploadFile
from app.images.request.image_head import SNIFFED_BYTES, ImageHead, ReadAt, read_head
from app.images.request.inputs import (
    IMAGE,
    MARKUP,
    MASK,
    InputRole,
    Inputs,
    check_count,
    check_size,
    check_start,
    not_an_image,
)


@dataclass(slots=True)
class Lying:
    """An image that lies in the upload; `digest`, the BLAKE3 of its bytes, is known once it is whole, `head`
    once all of them are."""

    role: InputRole
    offset: int
    size: int = 0
    start: bytes = b""
    head: ImageHead | None = None
    digest: bytes = b""
    url: str | None = None  # of one that ZenMux fetches: nothing of it lies here


class Collector:
    """The images of one request, written to `upload` one after the other. `bytes_max` bounds them together."""

    def __init__(self, upload: UploadFile, bytes_max: int) -> None:
        self.upload = upload
        self.images: list[Lying] = []
        self._bytes_max = bytes_max

    def begin(self, kind: str) -> None:
        """The next image. Raises InvalidRequest where it is one too many."""
        number = 1 + sum(image.role.kind == kind for image in self.images)
        self.images.append(Lying(_counted(kind, number), self.upload.size))

    def begin_unknown(self) -> None:
        """The next image, of which `assign` tells later what it is."""
        self.images.append(Lying(InputRole(IMAGE, 1 + len(self.images)), self.upload.size))

    def begin_remote(self, url: str) -> None:
        """The next image, which stays behind its address."""
        self.images.append(Lying(InputRole(IMAGE, 1 + len(self.images)), self.upload.size, url=url))

    def assign(self, places: Sequence[tuple[str, int]]) -> None:
        """What each image is: kind, and its place among the images begun; in the order in which they go on. Raises
        InvalidRequest where one cannot be that, or is left over."""
        if sorted(place for _, place in places) != list(range(len(self.images))):
            message = "A data URL stands where no image belongs, or one image is used twice."
            raise InvalidRequest(message, param=None, code="invalid_value")
        begun, self.images = self.images, []
        for kind, place in places:
            image = begun[place]
            image.role = _counted(kind, 1 + sum(other.role.kind == kind for other in self.images))
            if image.url is None:
                check_start(image.role, image.start)
                check_size(image.role, image.size)
            self.images.append(image)

    async def write(self, data: bytes | memoryview) -> None:
        """More of the last image. Raises InvalidRequest, BodyTooLarge, UploadsFull."""
        image = self.images[-1]
        if len(image.start) < SNIFFED_BYTES:
            image.start += data[: SNIFFED_BYTES - len(image.start)]
            if len(image.start) == SNIFFED_BYTES:
                check_start(image.role, image.start)
        image.size += len(data)
        check_size(image.role, image.size)
        if self.upload.size + len(data) > self._bytes_max:
            raise BodyTooLarge(f"The images are larger than {self._bytes_max} bytes together.")
        await self.upload.write(data)

    async def end(self) -> None:
        """The last image is whole. Raises InvalidRequest where it is too short to be one, and UploadsFull."""
        image = self.images[-1]
        if len(image.start) < SNIFFED_BYTES:
            raise not_an_image(image.role)
        image.digest = await self.upload.take_digest()

    async def inputs(self) -> Inputs:
        """All images by their heads. Raises InvalidRequest for the first that is none."""
        await self.upload.run(self._read_heads)
        for image in self.images:
            if image.head is None and image.url is None:
                raise not_an_image(image.role)
        overlays = {image.role.kind: image.head for image in self.images if image.role.kind != IMAGE}
        heads = [image.head for image in self.images if image.role.kind == IMAGE]
        return Inputs(heads, overlays.get(MASK), overlays.get(MARKUP))

    def _read_heads(self, read: ReadAt) -> None:
        for image in self.images:
            if image.url is None:
                image.head = read_head(_within(image, read), image.size)


def _counted(kind: str, number: int) -> InputRole:
    if kind == IMAGE:
        check_count(number)
    elif number > 1:
        raise InvalidRequest(f"Send one {kind}.", param=kind, code="duplicate_parameter")
    return InputRole(kind, number)


def _within(image: Lying, read: ReadAt) -> ReadAt:
    def read_at(offset: int, size: int) -> bytes:
        return read(image.offset + offset, max(0, min(size, image.size - offset)))

    return read_at
