"""When the ledger's writer is woken for what is in its queue. Runs in the event loop; knows nothing of what waits."""

import asyncio
from collections.abc import Callable


class WakeDelay:
    """Calls `wake`, which is to be quick, once for all that asked for it until then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_ringing = False
        self._later: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """At the end of this turn of the loop: all that it submits is one transaction, and one wait for the
        interpreter, which the two threads hand to each other."""
        if not self._is_ringing:
            self._is_ringing = True
            asyncio.get_running_loop().call_soon(self._ring)

    def later(self, seconds: float) -> None:
        """In so many seconds, unless it rings before for another reason."""
        if not self._is_ringing and self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._is_ringing = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._wake()
