"""Makes the store of files and the secrets of links, as the operator's settings say. Reads settings as plain values."""

import asyncio
import secrets
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from app.errors import FilesUnavailable
from app.files.link_secrets import LinkSecrets
from app.files.store.bucket import Bucket
from app.files.store.folder import Folder
from app.files.store.index import Index
from app.files.store.place import FilePlace
from app.files.store.store import FileStore, Keeping
from app.files.uploads import Uploads

_ID_BYTES = 16


class FileChoices(Protocol):
    """The settings that are needed here, with the names of app/settings/."""

    @property
    def files_dir(self) -> Path: ...
    @property
    def files_url(self) -> str | None: ...
    @property
    def files_bytes_max(self) -> int: ...
    @property
    def files_seconds(self) -> int: ...


class UploadChoices(Protocol):
    """The same, of uploads."""

    @property
    def uploads_dir(self) -> Path: ...
    @property
    def uploads_bytes_max(self) -> int: ...
    @property
    def user_uploads_bytes_max(self) -> int: ...
    @property
    def uploads_max(self) -> int: ...


class LivingProcess(Protocol):
    """This process among those of its database. `living` blocks."""

    instance: str

    def living(self) -> Collection[str]: ...


def place_of(settings: FileChoices) -> FilePlace:
    """Where files lie. Asks nobody. Raises ConfigurationError."""
    return Folder(settings.files_dir) if settings.files_url is None else Bucket(settings.files_url)


async def open_files(
    engine: Engine, settings: FileChoices, clock: Callable[[], datetime], process: LivingProcess, stack: AsyncExitStack
) -> tuple[FileStore, LinkSecrets]:
    """Call it before the first heartbeat: whoever sees this process live then finds its mark among the files. `stack`
    closes the store. Raises ConfigurationError, StoreUnavailable.
    """
    keeping = Keeping(
        place=place_of(settings),
        folder=settings.files_dir,
        instance=process.instance,
        living=process.living,
        bytes_max=settings.files_bytes_max,
        new_id=lambda: secrets.token_hex(_ID_BYTES),
        clock=clock,
    )
    store, links = FileStore(keeping, Index(engine)), LinkSecrets(engine, clock, settings.files_seconds)
    stack.push_async_callback(store.close)
    with suppress(FilesUnavailable):  # it is in the log; everything but files works
        await store.start()
    await links.load()
    return store, links


async def open_uploads(settings: UploadChoices, stack: AsyncExitStack) -> Uploads:
    """Where the files of edits wait until they are sent. `stack` closes it."""
    bytes_max, user_bytes_max = settings.uploads_bytes_max, settings.user_uploads_bytes_max
    uploads = Uploads(settings.uploads_dir, bytes_max, user_bytes_max, settings.uploads_max)
    stack.callback(uploads.close)
    await asyncio.to_thread(uploads.prepare)
    return uploads
