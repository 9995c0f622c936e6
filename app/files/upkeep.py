"""What is done to files now and then: those that expired are removed, and rotated secrets become known. Says in the log
when processes begin to keep their files in different places, and when that has ended.
"""

import asyncio
import logging
from contextlib import suppress

from app.errors import FilesUnavailable, GatewayError
from app.files.link_secrets import LinkSecrets
from app.files.store.store import FileStore

_REMEDY = "mount one volume as GATEWAY_DATA_DIR/files in every gateway, or name a bucket in GATEWAY_FILES_URL"

_log = logging.getLogger(__name__)


async def look_first(store: FileStore) -> None:
    """Call it between the first heartbeat and the first request: of two processes that start at once, one sees the
    other. Raises StoreUnavailable.
    """
    with suppress(FilesUnavailable):  # it is in the log; whoever needs a file is refused
        await store.look()


async def keep_up(store: FileStore, links: LinkSecrets, seconds: float) -> None:
    """Sweeps at intervals, for ever."""
    was_shared = True
    while True:
        try:
            await store.sweep()
            await links.load()
        except GatewayError:
            _log.warning("files_sweep_failed", exc_info=True)
        if was_shared and not store.is_shared:
            _log.warning("files_not_shared", extra={"remedy": _REMEDY})
        elif store.is_shared and not was_shared:
            _log.warning("files_shared_again")
        was_shared = store.is_shared
        await asyncio.sleep(seconds)
