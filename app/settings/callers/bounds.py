"""What one caller, and all of them together, may occupy."""

from pydantic import BaseModel, Field

from app.settings.values import Origins


class CallerSettings(BaseModel):
    """What one caller, and all of them together, may occupy."""

    requests_in_flight_max: int | None = Field(
        None,
        ge=1,
        le=20_000,
        description="Most image requests at a time, more get 503; unset: what the open files allow, at most 5,000.",
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
    early_head_seconds: float = Field(
        50,
        ge=0,
        le=600,
        description="A document's head goes out after so much silence, then white space keeps it alive; 0: never.",
    )
    shutdown_seconds: float = Field(
        60, ge=0, le=3600, description="How long running requests may finish after SIGTERM."
    )
