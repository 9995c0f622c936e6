"""All settings together, from the environment and the file named by GATEWAY_CONFIG; and what follows from several of
them. Each is in the module of its group."""

from pathlib import Path
from typing import Any

from pydantic_settings import SettingsConfigDict

from app.settings.accounting import AccountingSettings
from app.settings.callers.bounds import CallerSettings
from app.settings.callers.descriptors import Capacity, allowed, capacity
from app.settings.console.sessions import ConsoleSettings
from app.settings.files import FileSettings
from app.settings.process import ProcessSettings
from app.settings.replay import ReplaySettings
from app.settings.requests import RequestSettings
from app.settings.secret_files import SettingsWithSecretFiles
from app.settings.zenmux import ZenmuxSettings


class Settings(  # the last group comes first in every list
    SettingsWithSecretFiles,
    AccountingSettings,
    CallerSettings,
    ConsoleSettings,
    FileSettings,
    ReplaySettings,
    RequestSettings,
    ProcessSettings,
    ZenmuxSettings,
):
    """The operator's choices. Unknown names in the configuration file are refused, so a typing error shows."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'gateway.db'}"

    @property
    def has_console(self) -> bool:
        """Whether /console is there, with the default filled in."""
        if self.console is not None:
            return self.console
        has_others = bool(self.sign_in.providers) or self.console_proxy_header is not None
        return has_others or (self.admin_key is not None and self.console_admin_key_login)

    @property
    def capacity(self) -> Capacity:
        """How many requests and connections this process takes at a time, with the defaults filled in."""
        return capacity(allowed(), self.requests_in_flight_max, self.upstream_connections_max, self.connections_max)

    @property
    def spool_dir(self) -> Path:
        """Where settlements are kept while the database does not accept them."""
        return self.data_dir / "spool"

    @property
    def uploads_dir(self) -> Path:
        """Where the images of edits lie until they are sent on."""
        return self.data_dir / "uploads"

    @property
    def files_dir(self) -> Path:
        """Where files are written, and where they lie unless they go to a bucket."""
        return self.data_dir / "files"

    @property
    def uploads_max(self) -> int:
        """The most uploads at a time: one for each request that may be in flight."""
        return self.capacity.requests_in_flight_max

    @property
    def user_uploads_bytes_max(self) -> int:
        """One user's share of all uploads: at least one whole upload."""
        return max(self.upload_bytes_max, self.uploads_bytes_max * self.user_in_flight_percent // 100)

    @property
    def reservation_seconds(self) -> float:
        """When a reservation expires: safely after the last moment its own process could resolve it."""
        return self.exchange_seconds_max + self.ledger_wait_seconds + 60


def setting_name(field: str) -> str:
    """The name that people write: `port` → `GATEWAY_PORT`."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"GATEWAY_{field.upper()}"


def load_settings(config_file: Path | None = None, **overrides: Any) -> Settings:  # noqa: ANN401 - see Settings
    """Settings from the environment, over the file, over the defaults; `overrides` win over all.

    Raises pydantic.ValidationError with every fault at once, and FileNotFoundError when the file is not there.
    """
    if config_file is not None and not config_file.is_file():
        raise FileNotFoundError(config_file)
    return Settings(_env_file=config_file, **overrides)
