"""Keeps the images of a passing answer as files, each behind a link: what answers of both kinds share."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import orjson

from app.errors import FilesUnavailable, GatewayError, StoreUnavailable
from app.exchange.downstream import Downstream, EarlyHead, EventEnd
from app.files.link_secrets import LinkSecrets
from app.files.store.index import Kind, Owner, StoredFile
from app.files.store.store import FileStore
from app.files.store.writer import FileWriter
from app.identity.keys.authentication import Caller
from app.images.request.image_head import SNIFFED_BYTES, sniff
from app.images.request.normalize import ImageRequest

_UNKNOWN = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Hosting:
    """Where images are kept, and how links to them are made. `seconds`: how long they live."""

    files: FileStore
    links: LinkSecrets
    seconds: float


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Keeps the images of one request. `base` is what its links begin with; `are_chosen`: the request asks for links,
    and they are not just the default.
    """

    hosting: Hosting
    base: str
    owner: Owner
    request_id: str
    are_chosen: bool

    async def create(self) -> FileWriter:
        """A file for one image. Raises FilesUnavailable."""
        return await self.hosting.files.create(Kind.IMAGE, self.owner, self.request_id, _UNKNOWN, self.hosting.seconds)

    def link(self, stored: StoredFile) -> bytes:
        """The link to it, as JSON."""
        link = self.hosting.links.link(self.base, stored.id, stored.content_type, stored.expires_at)
        return orjson.dumps(link)

    async def delete(self, stored: StoredFile) -> None:
        with suppress(FilesUnavailable, StoreUnavailable):  # it expires
            await self.hosting.files.delete(stored.id)


def image_files(hosting: Hosting | None, request: ImageRequest, caller: Caller, request_id: str) -> ImageFiles | None:
    """Where the images of that request go; None if it is answered with base64."""
    if hosting is None or request.link_base is None:
        return None
    owner = Owner(caller.key_id, caller.user_id)
    return ImageFiles(hosting, request.link_base, owner, request_id, are_chosen=request.is_format_chosen)


class WithLinks:
    """What both kinds of answers share: a Downstream in front of another, and the file of the image that passes."""

    def __init__(self, inner: Downstream, images: ImageFiles, first: FileWriter) -> None:
        self._inner = inner
        self._images = images
        self._spare: FileWriter | None = first  # its disk was asked before anything was bought
        self._file: FileWriter | None = None
        self._start_of_image = b""

    @property
    def left(self) -> bool:
        return self._inner.left

    @property
    def event_end(self) -> EventEnd | None:
        return self._inner.event_end

    @event_end.setter
    def event_end(self, value: EventEnd | None) -> None:
        self._inner.event_end = value

    async def end_early(self, error: GatewayError) -> None:
        await self._inner.end_early(error)

    def watch(self, on_leave: Callable[[], None]) -> None:
        self._inner.watch(on_leave)

    def begin_early(self, head: EarlyHead) -> None:
        self._inner.begin_early(head)

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        self._inner.keep_alive(seconds, at_boundary)

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        """Gives up every file that is not whole."""
        for file in (self._spare, self._file):
            if file is not None:
                await file.abort()

    async def _begin_file(self) -> None:
        self._file, self._spare = self._spare, None
        self._start_of_image = b""
        if self._file is None:
            self._file = await self._images.create()

    async def _write_file(self, data: bytes) -> None:
        assert self._file is not None
        if len(self._start_of_image) < SNIFFED_BYTES:
            self._start_of_image += data[:SNIFFED_BYTES]
            self._file.content_type = content_type_of(self._start_of_image)
        await self._file.write(data)

    async def _give_up_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await file.abort()


def content_type_of(start: bytes) -> str:
    """The type of an image that begins so, by its bytes alone."""
    if start.startswith(b"GIF8"):
        return "image/gif"
    kind = sniff(start)
    return _UNKNOWN if kind is None else f"image/{kind}"
