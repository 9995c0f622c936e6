"""Which ZenMux, with which key, over which network, and how long is waited for it."""

from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_validator, model_validator

from app.settings.accounts import ONLY_ACCOUNT, AccountOrder, AccountSpec, parse_accounts
from app.settings.values import HeaderSecret, ProxyUrl, UpstreamTransport, UpstreamUrl


class ZenmuxSettings(BaseModel):
    """Which ZenMux, with which key, over which network, and how long is waited for it."""

    zenmux_api_key: HeaderSecret | None = Field(
        None,
        validation_alias="ZENMUX_API_KEY",
        description="The one ZenMux key everybody's images are bought with (pay-as-you-go or Organization).",
    )
    zenmux_api_keys: SecretStr | None = Field(
        None,
        validation_alias="ZENMUX_API_KEYS",
        description="Several keys instead of one: main=sk-ai-v1-…, spare=sk-ai-v1-…*2 (name, key, weight).",
    )
    account_order: AccountOrder = Field(
        AccountOrder.WEIGHTED,
        description="weighted: keys take turns, by their weights; priority: the first that is up, in their order.",
    )
    zenmux_base_url: UpstreamUrl = Field(
        "https://zenmux.ai/api/v1", validation_alias="ZENMUX_BASE_URL", description="Where ZenMux answers."
    )
    zenmux_management_key: HeaderSecret | None = Field(
        None,
        validation_alias="ZENMUX_MANAGEMENT_KEY",
        description="A management key (sk-mg-…), with which `ledger reconcile` asks ZenMux what a day cost.",
    )

    zenmux_management_keys: SecretStr | None = Field(
        None,
        validation_alias="ZENMUX_MANAGEMENT_KEYS",
        description="With ZENMUX_API_KEYS, a management key for each account that has a bill of its own: main=sk-mg-….",
    )

    upstream_proxy: ProxyUrl | None = Field(
        None,
        description="Proxy to ZenMux and other hosts: http://host:port, https://… or socks5://…; unset: HTTPS_PROXY.",
    )
    upstream_transport: UpstreamTransport = Field(
        UpstreamTransport.AUTO,
        description="auto: http1, or httpx where a proxy is used; http1: ours, in constant memory; httpx: stock HTTPX.",
    )
    upstream_ca_file: Path | None = Field(
        None, description="PEM file of a private CA, trusted beside the system's or SSL_CERT_FILE's certificates."
    )

    sandbox: bool = Field(
        default=False, description="Says in /readyz and a header that ZenMux is played by the sandbox; `dev` sets it."
    )

    # --- Waiting for ZenMux
    connect_timeout_seconds: float = Field(10, gt=0, le=120, description="Longest wait for a connection to ZenMux.")
    connect_retries: int = Field(
        2, ge=0, le=10, description="Further tries when no connection could be made; nothing else is ever retried."
    )
    upstream_silence_seconds: float = Field(
        600, gt=0, le=3600, description="Longest wait for ZenMux's first, or any further, byte."
    )
    exchange_seconds_max: float = Field(
        1200, gt=0, le=7200, description="Longest life of one request, whether its client stayed or left."
    )
    upstream_connections_max: int | None = Field(
        None,
        ge=1,
        le=20_000,
        description="Most connections to ZenMux at a time; unset: one for each request in flight.",
    )
    socket_buffer_bytes: int | None = Field(
        None,
        ge=16_384,
        le=16_777_216,
        description="Kernel buffer of each connection, which caps its speed at this per round trip; unset: automatic.",
    )

    _file_accounts: tuple[AccountSpec, ...] = PrivateAttr(())

    @field_validator("zenmux_api_keys")
    @classmethod
    def _are_accounts(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and parse_accounts(value.get_secret_value()) else None

    @model_validator(mode="after")
    def _one_way_to_name_keys(self) -> Self:
        if self.zenmux_api_key is not None and self.zenmux_api_keys is not None:
            raise ValueError("ZENMUX_API_KEY and ZENMUX_API_KEYS are both set; keep one of them")
        strangers = self._management_keys.keys() - {spec.name for spec in self.accounts}
        if strangers and self.zenmux_api_keys is not None:
            raise ValueError(
                f"ZENMUX_MANAGEMENT_KEYS names accounts that are not there: {', '.join(sorted(strangers))}"
            )
        return self

    @field_validator("zenmux_management_keys")
    @classmethod
    def _are_management_keys(cls, value: SecretStr | None) -> SecretStr | None:
        for spec in parse_accounts(value.get_secret_value()) if value is not None else ():
            cls._is_a_management_key(spec.key)
        return value

    @property
    def _management_keys(self) -> dict[str, SecretStr | None]:
        written = self.zenmux_management_keys
        return {spec.name: spec.key for spec in parse_accounts(written.get_secret_value())} if written else {}

    @property
    def accounts(self) -> tuple[AccountSpec, ...]:
        """Every ZenMux account, in order; none if no key is set. The only one is `main`."""
        if self.zenmux_api_keys is not None:
            found = parse_accounts(self.zenmux_api_keys.get_secret_value())
            return tuple(replace(spec, management_key=self._management_keys.get(spec.name)) for spec in found)
        if self.zenmux_api_key is None:
            return self._file_accounts
        return (AccountSpec(ONLY_ACCOUNT, self.zenmux_api_key),)

    def with_file_accounts(self, accounts: tuple[AccountSpec, ...]) -> Self:
        """The same settings with the accounts of gateway.yaml, which are used if no setting names any."""
        changed = self.model_copy()
        changed._file_accounts = accounts  # noqa: SLF001 - of the same class
        return changed

    @property
    def file_accounts(self) -> tuple[AccountSpec, ...]:
        """Those of gateway.yaml, used or not."""
        return self._file_accounts

    @field_validator("zenmux_management_key")
    @classmethod
    def _is_a_management_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("sk-mg-"):
            raise ValueError("a management key begins with sk-mg-; other kinds of keys cannot ask for costs")
        return value
