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

_BUG = "The gateway met a bug of its own; its log says where."

Read = Callable[[Configuration, bool], Reread]
"""Reads the configuration again, for a gateway that runs with this one; True: as a trial, which changes nothing. Raises
GatewayError; then nothing has changed.
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
        self._wishes: set[bool] = set()  # True: a trial
        self._is_reading = False

    def request(self, *, is_trial: bool = False) -> None:
        """Reads soon. Does not wait. Not for a signal handler: it takes a lock."""
        with self._lock:
            self._wishes.add(is_trial)
            if self._is_reading:
                return
            try:
                threading.Thread(target=self._run, name="configuration", daemon=True).start()
            except RuntimeError:  # the process may have no more threads
                logger.exception("configuration_refused")
            else:
                self._is_reading = True

    def _run(self) -> None:
        while (is_trial := self._next_wish()) is not None:
            if is_trial:
                self._hand_over(self._trial())
            else:
                self._state = self._next_state()
                self._hand_over(self._state)

    def _next_wish(self) -> bool | None:
        """Whether a trial is next. None: nothing is."""
        with self._lock:
            self._is_reading = bool(self._wishes)
            is_trial = min(self._wishes, default=None)
            self._wishes.discard(bool(is_trial))
            return is_trial

    def _trial(self) -> ConfigurationState:
        """What another reading would find. Nothing is said of it but to whoever asked."""
        before, begun_at = self._state, time.monotonic()
        refused = replace(before, begun_at=begun_at, trial_changes=(), models=())
        try:
            found = self._read(before.configuration, True)  # noqa: FBT003 - a callable's parameter has no name
        except GatewayError as error:
            return replace(refused, refusal=error.message)
        except Exception:  # whoever asked waits for an answer
            logger.exception("configuration_not_tried")
            return replace(refused, refusal=_BUG)
        configuration, names = found.configuration, found.needs_restart
        return ConfigurationState(
            before.number, configuration, found.read_at, None, names, begun_at, found.trial_changes or (), found.models
        )

    def _next_state(self) -> ConfigurationState:
        before, number, begun_at = self._state, self._state.number + 1, time.monotonic()
        try:
            found = self._read(before.configuration, False)  # noqa: FBT003 - as above
        except GatewayError as error:
            refusal = error.message
            logger.error("configuration_refused", extra={"reason": refusal})
        except Exception:
            refusal = _BUG
            logger.exception("configuration_refused")
        else:
            about = {"needs_restart": list(found.needs_restart), "models": list(found.models)}
            logger.info("configuration_read", extra=about)
            names = found.needs_restart
            return ConfigurationState(
                number, found.configuration, found.read_at, None, names, begun_at, models=found.models
            )
        return replace(before, number=number, refusal=refusal, begun_at=begun_at, models=())


def reload_on_hangup(running: ConfigurationState, read: Read, hooks: Hooks) -> None:
    """From now on SIGHUP, or whoever asks the app, has this process read its configuration again and use it. Call it
    in the event loop.
    """
    loop = asyncio.get_running_loop()

    def use(state: ConfigurationState) -> None:
        config_hash = hooks.use(state)
        if not state.is_trial:
            logger.info("configuration_in_use", extra={"hash": config_hash, "is_newest": state.is_newest})

    def hand_over(state: ConfigurationState) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody uses it any more
            loop.call_soon_threadsafe(use, state)

    rereader = Rereader(running, read, hand_over)
    hooks.offer_reload(lambda is_trial: rereader.request(is_trial=is_trial))
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(rereader.request))
