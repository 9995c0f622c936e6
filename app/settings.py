"""Every setting, once: its name with its unit, its default, its meaning and its bounds. Reads the environment
and the file named by GATEWAY_CONFIG; decides nothing else."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from app.secret_files import SettingsWithSecretFiles
from app.setting_values import (
    Compatibility,
    Hosts,
    ImageUrls,
    Origins,
    Percents,
    ProxyUrl,
    UnknownModels,
    UpstreamTransport,
    UpstreamUrl,
    WebhookSecret,
)


class Settings(SettingsWithSecretFiles):
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

    # --- ZenMux
    zenmux_api_key: SecretStr | None = Field(
        None,
        validation_alias="ZENMUX_API_KEY",
        description="The one ZenMux key everybody's images are bought with (pay-as-you-go or Organization).",
    )
    zenmux_base_url: UpstreamUrl = Field(
        "https://zenmux.ai/api/v1", validation_alias="ZENMUX_BASE_URL", description="Where ZenMux answers."
    )
    zenmux_management_key: SecretStr | None = Field(
        None,
        validation_alias="ZENMUX_MANAGEMENT_KEY",
        description="A management key (sk-mg-…), with which `ledger reconcile` asks ZenMux what a day cost.",
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

    # --- Where the gateway listens and writes
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=64, description="Processes behind the one port; more than 1 needs PostgreSQL.")
    data_dir: Path = Field(Path("./data"), description="Everything the gateway writes lies in this folder.")
    database_url: str | None = Field(
        None, description="Where keys, limits and records live; unset: an SQLite file in GATEWAY_DATA_DIR."
    )
    metrics_key: SecretStr | None = Field(None, description="If set, /metrics asks for it as a Bearer token.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    log_unauthenticated_per_second: int = Field(
        10,
        ge=0,
        le=100_000,
        description="Most requests without a valid key that get a log line each second; one line counts the others.",
    )
    log_format: str = Field("json", pattern="^(json|text)$", description="json for machines, text for people.")

    # --- What requests may ask for
    default_model: str | None = Field(None, description="Model for requests that name none; unset: they are refused.")
    successor_model: str | None = Field(
        None,
        description="Model that retired and ended ones mean in lenient mode; unset: what the catalog says of each.",
    )
    compatibility: Compatibility = Field(
        Compatibility.LENIENT,
        description="lenient maps what old clients send and says so in x-gateway-normalized; strict refuses it.",
    )
    catalog_file: Path | None = Field(
        None, description="TOML file that adds models to the built-in catalog or overrides their rules and prices."
    )
    unknown_models: UnknownModels = Field(
        UnknownModels.REFUSE,
        description="refuse or pass models that are not in the catalog; passing needs GATEWAY_UNKNOWN_MODEL_HOLD_USD.",
    )
    unknown_model_hold_usd: Decimal | None = Field(
        None,
        gt=0,
        max_digits=12,
        decimal_places=9,
        description="Money held, and charged, for each image of a model the catalog does not list.",
    )
    body_bytes_max: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Largest JSON request body in bytes, an edit's images apart."
    )
    image_urls: ImageUrls = Field(
        ImageUrls.REFUSE, description="https addresses of images in edits: refuse, forward (ZenMux fetches), or fetch."
    )
    image_url_hosts: Hosts = Field((), description="Hosts, with commas, to fetch from though they are not public.")
    upload_bytes_max: int = Field(
        200_000_000, ge=1_000_000, le=1_000_000_000, description="Most bytes of one edit's images together."
    )
    uploads_bytes_max: int = Field(
        2_000_000_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Most bytes of all uploads of one process, in GATEWAY_DATA_DIR/uploads; more are answered 503.",
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
    upstream_connections_max: int = Field(1000, ge=1, le=20_000, description="Most connections to ZenMux at a time.")
    socket_buffer_bytes: int | None = Field(
        None,
        ge=16_384,
        le=16_777_216,
        description="Kernel buffer of each connection, which caps its speed at this per round trip; unset: automatic.",
    )

    # --- Clients
    requests_in_flight_max: int = Field(
        1000, ge=1, le=20_000, description="Most image requests at a time; more are answered 503."
    )
    user_in_flight_percent: int = Field(
        50,
        ge=1,
        le=100,
        description="Share of GATEWAY_REQUESTS_IN_FLIGHT_MAX one user may hold while others wait; of uploads: always.",
    )
    cors_origins: Origins = Field(
        (), description="Web pages that may call the gateway from a browser: origins with commas between them, or *."
    )
    usage_shows_gateway: bool = Field(
        default=False,
        description="Shows callers the gateway's own limits in full in /v1/usage, not only the share used.",
    )
    client_stall_seconds: float = Field(
        120, gt=0, le=3600, description="A client that takes no byte for so long is counted as gone."
    )
    connections_max: int | None = Field(
        None,
        ge=16,
        le=100_000,
        description="Most connections of callers at a time; unset: 1000, and two for each request in flight.",
    )
    head_seconds: float = Field(
        30, gt=0, le=3600, description="Longest time for a request's headers, from their first byte."
    )
    body_idle_seconds: float = Field(
        30, gt=0, le=3600, description="Longest wait for the next byte of a request's body."
    )
    body_bytes_per_second_min: int = Field(
        1024,
        ge=0,
        le=104_857_600,
        description="Least average speed of a request's body, once GATEWAY_BODY_IDLE_SECONDS have passed.",
    )
    body_seconds_max: float = Field(900, gt=0, le=86_400, description="Longest time for a request's body in all.")
    abandoned_exchanges_max: int = Field(
        200,
        ge=0,
        le=20_000,
        description="Most answers read to their end after their client left; beyond it they settle at the estimate.",
    )
    keepalive_seconds: float = Field(15, gt=0, le=300, description="A silent stream gets a comment line this often.")
    shutdown_seconds: float = Field(
        60, ge=0, le=3600, description="How long running requests may finish after SIGTERM."
    )

    # --- Keys, ledger, metrics
    key_cache_seconds: float = Field(
        2, ge=0, le=300, description="How long a key is remembered: the longest time until `keys disable` works."
    )
    key_cache_entries: int = Field(10_000, ge=1, le=1_000_000, description="Most keys remembered at a time.")
    ledger_queue_max: int = Field(
        2000, ge=1, le=100_000, description="Most ledger writes waiting at a time; more are answered 503."
    )
    ledger_wait_seconds: float = Field(
        10, gt=0, le=120, description="Longest wait for a reservation to be written before 503."
    )
    usage_holds_max: int = Field(
        20,
        ge=2,
        le=10_000,
        description="Reported usage of more than so many holds is not believed: the estimate is charged instead.",
    )
    spool_bytes_max: int = Field(
        16_777_216,
        ge=0,
        le=1_073_741_824,
        description="Most bytes of settlements kept in GATEWAY_DATA_DIR/spool while the database is away.",
    )
    heartbeat_seconds: float = Field(
        10, gt=0, le=600, description="How often a process shows that it lives; after three times that it is dead."
    )
    sweep_seconds: float = Field(
        15, gt=0, le=3600, description="How often reservations of dead processes are looked for."
    )
    metrics_users_max: int = Field(
        200, ge=0, le=10_000, description="Most users with series of their own in /metrics; the rest are `other`."
    )

    # --- Thresholds of limits
    thresholds_percent: Percents = Field(
        (50, 80, 100), description="Percentages of a limit whose crossing is logged, counted and sent to the webhook."
    )
    webhook_url: Annotated[str, AfterValidator(lambda text: str(HttpUrl(text)))] | None = Field(
        None, description="Where crossed thresholds are sent as signed JSON; unset: nowhere."
    )
    webhook_secret: WebhookSecret | None = Field(
        None, description="What webhooks are signed with (HMAC-SHA256); at least 16 characters."
    )

    @field_validator("database_url")
    @classmethod
    def _a_url_has_no_space_around_it(cls, value: str | None) -> str | None:
        return value.strip() if value is not None else None

    @field_validator("zenmux_api_key", "zenmux_management_key", "metrics_key")
    @classmethod
    def _a_secret_has_no_spaces(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and (not value.get_secret_value().isascii() or " " in value.get_secret_value().strip()):
            raise ValueError(f"{info.field_name} holds spaces or letters no HTTP header can carry")
        return SecretStr(value.get_secret_value().strip()) if value is not None else None

    @field_validator("zenmux_management_key")
    @classmethod
    def _is_a_management_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("sk-mg-"):
            raise ValueError("a management key begins with sk-mg-; other kinds of keys cannot ask for costs")
        return value

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'gateway.db'}"

    @property
    def connections_wished(self) -> int:
        """The most connections of callers, with the default filled in. The descriptor limit may allow fewer."""
        return self.connections_max or 1000 + 2 * self.requests_in_flight_max

    @property
    def spool_dir(self) -> Path:
        """Where settlements are kept while the database does not accept them."""
        return self.data_dir / "spool"

    @property
    def uploads_dir(self) -> Path:
        """Where the images of edits lie until they are sent on."""
        return self.data_dir / "uploads"

    @property
    def user_uploads_bytes_max(self) -> int:
        """One user's share of all uploads: at least one whole upload."""
        return max(self.upload_bytes_max, self.uploads_bytes_max * self.user_in_flight_percent // 100)

    @property
    def reservation_seconds(self) -> float:
        """When a reservation expires: safely after the last moment its own process could resolve it."""
        return self.exchange_seconds_max + self.ledger_wait_seconds + 60


def load_settings(config_file: Path | None = None, **overrides: Any) -> Settings:  # noqa: ANN401 - see Settings
    """Settings from the environment, over the file, over the defaults; `overrides` win over all.

    Raises pydantic.ValidationError with every fault at once, and FileNotFoundError when the file is not there.
    """
    if config_file is not None and not config_file.is_file():
        raise FileNotFoundError(config_file)
    return Settings(_env_file=config_file, **overrides)
