"""Keys, ledger, metrics, and the thresholds of limits."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, HttpUrl

from app.settings.values import Percents, WebhookSecret


class AccountingSettings(BaseModel):
    """Keys, ledger, metrics, and the thresholds of limits."""

    key_cache_seconds: float = Field(
        2, ge=0, le=300, description="How long a key is remembered: the longest time until `keys disable` works."
    )
    key_cache_entries: int = Field(10_000, ge=1, le=1_000_000, description="Most keys remembered at a time.")
    ledger_queue_max: int = Field(
        10_000, ge=1, le=100_000, description="Most ledger writes waiting at a time; more are answered 503."
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
        15, gt=0, le=3600, description="How often reservations of dead processes, and expired files, are looked for."
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
