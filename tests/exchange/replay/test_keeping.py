"""What is kept of an answer on its way to its caller, and that nothing stands in the way of one that is not kept."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.errors import FilesUnavailable, GatewayError, UpstreamBroken
from app.exchange.downstream import EarlyHead, EventEnd
from app.exchange.replay.keeping import KeepingDownstream
from app.exchange.replay.kept import KeptAnswers, KeptHead
from app.files.store.writer import FileWriter
from tests.files.store.making import ANN, Files


@dataclass
class Caller:
    """A caller in memory; `leave` makes it gone."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    event_end: EventEnd | None = None
    left: bool = False
    started: bool = False
    delivered: bool = False
    received: bytes = b""
    on_leave: Callable[[], None] = lambda: None

    async def start(self, status: int, content_length: int | None) -> None:  # noqa: ARG002 - the protocol's
        self.started = True

    async def write(self, chunk: bytes | memoryview, *, is_whole: bool = False) -> None:
        if not self.left:
            self.received += chunk
            self.delivered = is_whole

    async def finish(self) -> None:
        self.delivered = not self.left

    async def fail(self, error: GatewayError) -> None:
        """It sees the connection break."""

    async def end_early(self, error: GatewayError) -> None:
        """It is told, and nothing else comes."""

    def watch(self, on_leave: Callable[[], None]) -> None:
        self.on_leave = on_leave

    def keep_alive(self, seconds: float, at_boundary: Callable[[], bool]) -> None:
        """Nothing keeps it waiting."""

    def begin_early(self, head: EarlyHead) -> None:
        """It waits."""

    def close(self) -> None:
        """Nothing was opened."""

    def leave(self) -> None:
        self.left = True
        self.on_leave()


@dataclass
class Scene:
    kept: KeptAnswers
    caller: Caller = field(default_factory=Caller)
    begun: list[FileWriter] = field(default_factory=list)
    early_heads: list[EarlyHead] = field(default_factory=list)
    leaves: int = 0
    is_full: bool = False

    def keeping(self, *, is_kept: bool) -> KeepingDownstream:
        def left() -> None:
            self.leaves += 1

        made = KeepingDownstream(
            self.caller, self._make, lambda error, _: error.message.encode(), self, left, is_kept=is_kept
        )
        made.watch(lambda: None)
        made.headers = [(b"content-type", b"application/json")]
        return made

    def begin(self, file: FileWriter) -> None:
        self.begun.append(file)

    def begin_early(self, head: EarlyHead) -> None:
        self.early_heads.append(head)

    async def _make(self, head: KeptHead) -> FileWriter:
        if self.is_full:
            raise FilesUnavailable("full")
        return await self.kept.create(head, ANN, "req_1", 60)

    async def content(self, keeping: KeepingDownstream) -> bytes:
        assert keeping.file is not None
        answer = await self.kept.open(keeping.file.id)
        assert answer is not None
        return b"".join([chunk async for chunk in answer.body])


@pytest.fixture
async def scene(engine: Engine, tmp_path: Path) -> AsyncIterator[Scene]:
    store = Files(engine, tmp_path / "files").make()
    await store.start()
    yield Scene(KeptAnswers(store))
    await store.close()


async def test_an_answer_that_is_not_kept_goes_straight_to_its_caller(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=False)
    await keeping.start(200, 6)
    await keeping.write(b"abc")
    assert keeping.write == scene.caller.write  # from the second part on, nothing stands between
    await keeping.write(b"def", is_whole=True)
    await keeping.finish()
    assert scene.caller.received == b"abcdef"
    assert (keeping.file, scene.begun) == (None, [])


async def test_an_answer_that_is_kept_goes_to_both(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=True)
    await keeping.start(200, 6)
    await keeping.write(b"abc")
    await keeping.write(memoryview(b"def"), is_whole=True)
    await keeping.finish()
    assert scene.caller.received == b"abcdef" == await scene.content(keeping)
    assert scene.begun == [keeping.file]
    assert keeping.is_whole


@pytest.mark.parametrize("has_started", [True, False])
async def test_an_answer_is_kept_whose_caller_left_before_its_first_byte(scene: Scene, *, has_started: bool) -> None:
    keeping = scene.keeping(is_kept=False)
    if has_started:
        await keeping.start(200, 3)
    scene.caller.leave()
    assert scene.leaves == 1
    if not has_started:
        await keeping.start(200, 3)
    await keeping.write(b"abc", is_whole=True)
    await keeping.finish()
    assert await scene.content(keeping) == b"abc"
    assert not scene.caller.delivered


async def test_nothing_is_kept_of_an_answer_whose_caller_left_in_the_middle(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=False)
    await keeping.start(200, 6)
    await keeping.write(b"abc")
    scene.caller.leave()
    await keeping.write(b"def", is_whole=True)
    await keeping.finish()
    assert keeping.file is None
    assert keeping.has_body


async def test_an_answer_whose_caller_was_told_that_the_gateway_stops_is_kept(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=False)
    await keeping.end_early(GatewayError("stopping"))
    assert scene.leaves == 1
    await keeping.start(200, 3)
    await keeping.write(b"abc", is_whole=True)
    await keeping.finish()
    assert await scene.content(keeping) == b"abc"


async def test_a_document_that_has_begun_is_not_ended_early(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=False)
    await keeping.start(200, 3)
    await keeping.end_early(GatewayError("stopping"))
    assert scene.leaves == 0


async def test_a_stream_is_kept_with_the_error_that_ends_it(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=True)
    keeping.event_end = lambda _: b""
    await keeping.start(200, None)
    await keeping.write(b"data: 1\n\n")
    await keeping.fail(UpstreamBroken("cut", "incomplete"))
    assert await scene.content(keeping) == b"data: 1\n\ncut"
    assert keeping.is_whole


async def test_a_document_that_breaks_off_is_not_kept(scene: Scene) -> None:
    keeping = scene.keeping(is_kept=True)
    await keeping.start(200, 6)
    await keeping.write(b"abc")
    error = UpstreamBroken("cut", "incomplete")
    await keeping.fail(error)
    assert not keeping.is_whole
    assert keeping.error is error
    assert keeping.file is not None
    await keeping.file.abort()


@pytest.mark.parametrize("fails_at_once", [True, False])
async def test_a_full_disk_ends_the_keeping_and_not_the_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, fails_at_once: bool
) -> None:
    keeping = scene.keeping(is_kept=True)
    scene.is_full = fails_at_once
    await keeping.start(200, 6)
    if not fails_at_once:

        async def fail(_: object) -> None:
            raise FilesUnavailable("full")

        assert keeping.file is not None
        monkeypatch.setattr(keeping.file, "write", fail)
    await keeping.write(b"abc")
    await keeping.write(b"def", is_whole=True)
    await keeping.finish()
    assert scene.caller.received == b"abcdef"
    assert (keeping.file, keeping.is_whole) == (None, False)
