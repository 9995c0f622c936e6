"""What the operator has chosen, as one value that was checked as a whole and may be sent to other processes; and its
fingerprint, which betrays no secret. Pure.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from app.images.request.normalize import RequestPolicy
from app.settings.reloading import RELOADED
from app.settings.settings import Settings

_HASH_LENGTH = 16
_FILES = frozenset({"bootstrap_file", "catalog_file"})  # what is in them counts, not where they lie


@dataclass(frozen=True, slots=True)
class Configuration:
    """`setup_digest` is that of GATEWAY_BOOTSTRAP_FILE; empty without one."""

    settings: Settings
    policy: RequestPolicy
    setup_digest: str = ""


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """The configuration after so many tries to read it again. `refusal` says why the last try failed: then this is what
    was in use before. `begun_at`: when that try began, on the clock of time.monotonic, which all processes share.
    `needs_restart` names the settings that had changed and stay as they were. `trial_changes` None: it is to be used.
    Otherwise it was a trial: nobody uses it, and these lines would be added to the list of changes. `models` has a line
    for each model that differs from before, if they are few.
    """

    number: int
    configuration: Configuration
    read_at: datetime
    refusal: str | None = None
    needs_restart: tuple[str, ...] = ()
    begun_at: float = 0.0
    trial_changes: tuple[dict[str, Any], ...] | None = None
    models: tuple[str, ...] = ()

    @property
    def is_trial(self) -> bool:
        """Whether nobody is to use it."""
        return self.trial_changes is not None

    @property
    def is_newest(self) -> bool:
        """Whether the last try succeeded, or there was none."""
        return self.refusal is None


def fingerprint(configuration: Configuration, secret: bytes) -> str:
    """Tells configurations apart, in what a reload can change. Equal on all processes that have the same `secret`.

    It is an HMAC: without the secret nobody can try out which keys are in it.
    """
    accounts = configuration.settings.accounts
    settings = {field: getattr(configuration.settings, field) for field in sorted(RELOADED - _FILES)}
    keys = [[getattr(account, each.name) for each in fields(account)] for account in accounts]
    keys += [[each.name, each.client_secret] for each in configuration.settings.sign_in.providers]
    content = [settings, configuration.policy.catalog.override_toml, configuration.setup_digest, keys]
    return hmac.new(secret, json.dumps(content, default=_plain).encode(), hashlib.sha256).hexdigest()[:_HASH_LENGTH]


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
