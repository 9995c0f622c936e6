"""Reads the configuration again when it is asked to, beside what serves: one reading at a time, in a thread of its own.
Whoever asks meanwhile gets another reading after it, because the files may have changed since.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from app.configuration.configuration import Configuration, ConfigurationState
from app.configuration.reading import Reread
from app.errors import GatewayError
from app.server.http.bounds import Hooks

logger = logging.getLogger("gateway")

Read = Callable[[Configuration], Reread]
"""Reads the configuration again, for a gateway that runs with this one. Raises GatewayError; then nothing has changed.
"""


class Rereader:
    """`hand_over` gets the state after each reading, in the thread that read."""

    def __init__(
        self, running: ConfigurationState, read: Read, hand_over: Callable[[ConfigurationState], None]
    ) -> None:
        self._state = running
        self._read = read
        self._hand_over = hand_over
        self._lock = threading.Lock()
        self._is_wished = False
        self._is_reading = False

    def request(self) -> None:
        """Reads soon. Does not wait. Not for a signal handler: it takes a lock."""
        with self._lock:
            self._is_wished = True
            if self._is_reading:
                return
            try:
                threading.Thread(target=self._run, name="configuration", daemon=True).start()
            except RuntimeError:  # the process may have no more threads
                logger.exception("configuration_refused")
            else:
                self._is_reading = True

    def _run(self) -> None:
        while self._is_next():
            self._state = self._next_state()
            self._hand_over(self._state)

    def _is_next(self) -> bool:
        with self._lock:
            self._is_reading, self._is_wished = self._is_wished, False
            return self._is_reading

    def _next_state(self) -> ConfigurationState:
        before, number, begun_at = self._state, self._state.number + 1, time.monotonic()
        try:
            found = self._read(before.configuration)
        except GatewayError as error:
            refusal = error.message
            logger.error("configuration_refused", extra={"reason": refusal})
        except Exception:
            refusal = "The gateway met a bug of its own; its log says where."
            logger.exception("configuration_refused")
        else:
            about = {"needs_restart": list(found.needs_restart), "models": list(found.models)}
            logger.info("configuration_read", extra=about)
            names = found.needs_restart
            return ConfigurationState(number, found.configuration, found.read_at, None, names, begun_at)
        return replace(before, number=number, refusal=refusal, begun_at=begun_at)


def reload_on_hangup(running: ConfigurationState, read: Read, hooks: Hooks) -> None:
    """From now on SIGHUP, or whoever asks the app, has this process read its configuration again and use it. Call it
    in the event loop.
    """
    loop = asyncio.get_running_loop()

    def use(state: ConfigurationState) -> None:
        logger.info("configuration_in_use", extra={"hash": hooks.use(state), "is_newest": state.is_newest})

    def hand_over(state: ConfigurationState) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody uses it any more
            loop.call_soon_threadsafe(use, state)

    rereader = Rereader(running, read, hand_over)
    hooks.offer_reload(rereader.request)
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(rereader.request))
