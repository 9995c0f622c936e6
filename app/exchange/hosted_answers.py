"""Answers with links: takes the images out of a passing answer, keeps each as a file, and puts a link to it there.

A document is sent when its images are safe. Where a file cannot be kept after all, the caller gets base64 as if no link
had been asked for, and a header says so: what was bought is never lost to a full disk.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from app.errors import FilesUnavailable, GatewayError, StoreUnavailable
from app.exchange.downstream import Downstream
from app.exchange.hosting import ImageFiles, WithLinks
from app.files.store.writer import FileWriter
from app.images.answers.hosting import DocumentImages, EventImages, ImageBytes, ImageMark, Piece, Undecodable

_HELD_BYTES_MAX = 1_048_576  # of a document's text: links, usage and revised prompts are a few KiB
_WINDOW_BYTES = 65_536  # of an answer, read at a time: while a file is written, so much more is in memory
_NORMALIZED = b"x-gateway-normalized"
_FELL_BACK = b"response_format=url->b64_json"


@asynccontextmanager
async def with_links(downstream: Downstream, images: ImageFiles, *, is_stream: bool) -> AsyncIterator[Downstream]:
    """`downstream`, which gets links. Where no image can be kept it is left as it is, or, if its caller chose links,
    FilesUnavailable is raised at once.
    """
    try:
        first = await images.create()
    except FilesUnavailable:
        if images.are_chosen:
            raise
        yield downstream
        return
    hosted = (_StreamWithLinks if is_stream else _DocumentWithLinks)(downstream, images, first)
    try:
        yield hosted
    finally:
        await hosted.aclose()


class _DocumentWithLinks(WithLinks):
    """A document, held until its images are safe."""

    def __init__(self, inner: Downstream, images: ImageFiles, first: FileWriter) -> None:
        super().__init__(inner, images, first)
        self.headers: list[tuple[bytes, bytes]] = []
        self._reader = DocumentImages()
        self._status = 200
        self._is_begun = False
        self._held: list[bytes | FileWriter] = []
        self._held_bytes = 0
        self._is_base64 = False  # it is sent as it came
        self._unencoded = b""
        self._is_lost = False  # not even that

    @property
    def started(self) -> bool:
        return self._is_begun or self._inner.started

    async def start(self, status: int, content_length: int | None) -> None:  # noqa: ARG002 - it gets another length
        self._status, self._is_begun = status, True

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:  # noqa: ARG002 - it ends in `finish`
        for start in range(0, len(chunk), _WINDOW_BYTES):
            await self._take_all(self._reader.feed(chunk[start : start + _WINDOW_BYTES]))

    async def finish(self) -> None:
        await self._take_all(self._reader.flush())
        if self._is_lost:
            return
        if not self._is_base64:
            body = b"".join(
                [
                    part if isinstance(part, bytes) else b'"url":' + self._images.link(await part.commit())
                    for part in self._held
                ]
            )
            self._inner.headers = self.headers
            await self._inner.start(self._status, len(body))
            await self._inner.write(body, is_whole=True)
        await self._inner.finish()

    async def fail(self, error: GatewayError) -> None:
        """Nothing was sent yet, as a rule: then the caller gets the error instead, and no link to what came before."""
        self._is_begun = False
        for part in self._held:
            if isinstance(part, FileWriter):
                await self._images.delete(await part.commit())
        self._held.clear()
        await self._inner.fail(error)

    async def _take_all(self, pieces: list[Piece]) -> None:
        try:
            for piece in pieces:
                if not self._is_lost:
                    await self._take(piece)
        except (FilesUnavailable, StoreUnavailable):
            # What was written cannot be read again. The answer is read to its end all the same, for its usage.
            self._is_lost = True

    async def _take(self, piece: Piece) -> None:
        if self._is_base64:
            await self._send(piece)
            return
        try:
            await self._keep(piece)
        except FilesUnavailable:
            await self._fall_back()
            if isinstance(piece, ImageMark):
                await self._send(piece)
        if self._held_bytes > _HELD_BYTES_MAX and not self._is_base64:
            await self._fall_back()

    async def _keep(self, piece: Piece) -> None:
        match piece:
            case bytes():
                self._held.append(piece)
                self._held_bytes += len(piece)
            case ImageBytes(data):
                await self._write_file(data)
            case Undecodable():
                await self._fall_back()
                await self._send(piece)
            case ImageMark.BEGIN:
                await self._begin_file()
            case ImageMark.END:
                assert self._file is not None
                await self._file.commit()
                self._held.append(self._file)
                self._file = None

    async def _fall_back(self) -> None:
        """Sends what is held as base64; what comes is passed on as such."""
        self._is_base64 = True
        said = [value for name, value in self.headers if name == _NORMALIZED]
        others = [header for header in self.headers if header[0] != _NORMALIZED]
        self._inner.headers = [*others, (_NORMALIZED, b", ".join([*said, _FELL_BACK]))]
        await self._inner.start(self._status, None)
        held, self._held = self._held, []
        for part in held:
            if isinstance(part, bytes):
                await self._inner.write(part)
                continue
            await self._send(ImageMark.BEGIN)
            async with aclosing(part.follow()) as chunks:
                async for data in chunks:
                    await self._send(ImageBytes(data))
            await self._send(ImageMark.END)
            await self._images.delete(await part.commit())
        if self._file is not None:
            await self._send(ImageMark.BEGIN)
            async with aclosing(self._file.follow(to_end=False)) as chunks:
                async for data in chunks:
                    await self._send(ImageBytes(data))
            await self._give_up_file()

    async def _send(self, piece: Piece) -> None:
        match piece:
            case bytes():
                await self._inner.write(piece)
            case ImageBytes(data):
                data = self._unencoded + data
                whole = len(data) // 3 * 3
                self._unencoded = data[whole:]
                await self._inner.write(b64encode(data[:whole]))
            case Undecodable(text):
                await self._inner.write(text)
            case ImageMark.BEGIN:
                await self._inner.write(b'"b64_json":"')
            case ImageMark.END:
                last, self._unencoded = self._unencoded, b""
                await self._inner.write(b64encode(last) + b'"')


class _StreamWithLinks(WithLinks):
    """A stream, passed on as it comes; the event of a finished image gets one member more, if its image is safe."""

    def __init__(self, inner: Downstream, images: ImageFiles, first: FileWriter) -> None:
        super().__init__(inner, images, first)
        self._reader = EventImages()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return self._inner.headers

    @headers.setter
    def headers(self, value: list[tuple[bytes, bytes]]) -> None:
        self._inner.headers = value

    @property
    def started(self) -> bool:
        return self._inner.started

    async def start(self, status: int, content_length: int | None) -> None:
        await self._inner.start(status, content_length)

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:  # noqa: ARG002 - a link may follow
        for start in range(0, len(chunk), _WINDOW_BYTES):
            await self._take_all(self._reader.feed(chunk[start : start + _WINDOW_BYTES]))

    async def finish(self) -> None:
        await self._take_all(self._reader.flush())
        await self._inner.finish()

    async def fail(self, error: GatewayError) -> None:
        await self._inner.fail(error)

    async def _take_all(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                await self._inner.write(piece)
                continue
            try:
                await self._keep(piece)
            except (FilesUnavailable, StoreUnavailable):  # the event has its image
                await self._give_up_file()

    async def _keep(self, piece: Piece) -> None:
        if piece is ImageMark.BEGIN:
            await self._begin_file()
        elif isinstance(piece, ImageBytes) and self._file is not None:
            await self._write_file(piece.data)
        elif piece is ImageMark.LINK and self._file is not None:
            stored = await self._file.commit()
            self._file = None
            await self._inner.write(b',"url":' + self._images.link(stored))
        elif piece is ImageMark.DROP or isinstance(piece, Undecodable):
            await self._give_up_file()
