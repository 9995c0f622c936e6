"""The configuration that this process works with, and its replacement by another one in one step of the event loop."""

import asyncio
import time
from collections.abc import Callable

from app.configuration.configuration import Configuration, ConfigurationState, fingerprint
from app.errors import Conflict, StoreUnavailable
from app.images.request.normalize import RequestPolicy
from app.settings.settings import Settings
from app.telemetry.metrics import Metrics

_RELOAD_SECONDS_MAX = 60.0


class CurrentConfiguration:
    """For one event loop. Whoever needs the settings or the policy for a request asks here, once."""

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._secret = b""
        self._hand_on: Callable[[Settings], None] = lambda _: None
        self.hash = ""
        self._reload: Callable[[bool], None] | None = None
        self._newest: dict[bool, ConfigurationState] = {}  # by `is_trial`
        self._came = asyncio.Event()  # set once by each `use`, which then makes another one

    @property
    def settings(self) -> Settings:
        return self._configuration.settings

    @property
    def policy(self) -> RequestPolicy:
        return self._configuration.policy

    def start(self, secret: bytes, read_at: float, hand_on: Callable[[Settings], None]) -> None:
        """`hand_on` gives new settings to the parts that keep some. It does not wait. If it raises, all parts have kept
        what they had. `secret` is what all processes of one database share; `read_at` in seconds since 1970.
        """
        self._secret, self._hand_on = secret, hand_on
        self.hash = fingerprint(self._configuration, secret)
        self._metrics.show_configuration(self.hash, is_newest=True, read_at=read_at)

    def take_reload(self, reload: Callable[[bool], None]) -> None:
        """`reload` has the configuration read again, soon, and does not wait; what was read comes to `use`. Its
        argument: it is a trial.
        """
        self._reload = reload

    def hash_of(self, configuration: Configuration) -> str:
        """What `hash` would be with this configuration."""
        return fingerprint(configuration, self._secret)

    async def reload(self, *, is_trial: bool = False) -> ConfigurationState:
        """Has the configuration read again, and returns once this process uses the result (nobody does, of a trial).

        Raises Conflict with what is wrong; then nothing has changed. Raises StoreUnavailable if it takes too long.
        """
        if self._reload is None:
            raise Conflict("This gateway does not read its configuration again. Restart it.")
        asked_at = time.monotonic()
        self._reload(is_trial)
        try:
            async with asyncio.timeout(_RELOAD_SECONDS_MAX):
                while (state := self._newest.get(is_trial)) is None or state.begun_at < asked_at:
                    await self._came.wait()
        except TimeoutError:
            raise StoreUnavailable("The configuration is still being read; the gateway's log will say more.") from None
        if state.refusal is not None:
            raise Conflict(f"The gateway goes on with what it has. {state.refusal}")
        return state

    def use(self, state: ConfigurationState) -> str:
        """Works with this configuration from now on, unless it is a trial; requests that run finish as they began.
        Returns the hash of what is in use.
        """
        if not state.is_trial:
            self._work_with(state)
        self._newest[state.is_trial] = state
        self._came.set()
        self._came = asyncio.Event()
        return self.hash

    def _work_with(self, state: ConfigurationState) -> None:
        new_hash = self.hash_of(state.configuration)
        if new_hash != self.hash:
            self._hand_on(state.configuration.settings)
            self._configuration, self.hash = state.configuration, new_hash
        self._metrics.show_configuration(new_hash, is_newest=state.is_newest, read_at=state.read_at.timestamp())
