"""The configuration that this process works with, and its replacement by another one in one step of the event loop."""

from collections.abc import Callable

from app.configuration.configuration import Configuration, ConfigurationState, fingerprint
from app.images.request.normalize import RequestPolicy
from app.settings.settings import Settings
from app.telemetry.metrics import Metrics


class CurrentConfiguration:
    """For one event loop. Whoever needs the settings or the policy for a request asks here, once."""

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._secret = b""
        self._hand_on: Callable[[Settings], None] = lambda _: None
        self.hash = ""

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

    def use(self, state: ConfigurationState) -> str:
        """Works with this configuration from now on; requests that run finish as they began. Returns its hash."""
        new_hash = fingerprint(state.configuration, self._secret)
        if new_hash != self.hash:
            self._hand_on(state.configuration.settings)
            self._configuration, self.hash = state.configuration, new_hash
        self._metrics.show_configuration(new_hash, is_newest=state.is_newest, read_at=state.read_at.timestamp())
        return new_hash
