"""The JSON of requests, usage, refusals, files, accounts, models and what ZenMux billed."""

from typing import Any, Literal

from pydantic import Field

from app.admin_api.shapes.basics import Shape


class ListedChangeShape(Shape):
    """A line of the list of changes."""

    object: Literal["change"]
    id: str
    at: str
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class RequestShape(Shape):
    """One request as the ledger has it: what was held, and what was charged when it ended."""

    object: Literal["request"]
    id: str
    state: Literal["pending", "settled", "released", "expired"]
    user: str | None
    user_id: str
    key: str | None = Field(description="The key's name.")
    key_id: str
    team: str | None
    team_id: str | None = Field(description="The team that the user was in.")
    operation: str
    model: str
    size: str
    quality: str
    streamed: bool
    account: str
    reserved_at: str
    dispatched_at: str | None
    expires_at: str
    resolved_at: str | None
    outcome: str | None
    usage_source: str | None
    priced: bool | None
    held_images: int
    held_tokens: int
    held_usd: str
    held_nanousd: int
    charged_images: int | None
    charged_tokens: int | None
    charged_usd: str | None
    charged_nanousd: int | None
    corrected_at: str | None = Field(description="It ended after it had expired: what its charge was wrong by.")
    corrected_images: int | None
    corrected_tokens: int | None
    corrected_usd: str | None
    corrected_nanousd: int | None
    input_text_tokens: int | None
    input_image_tokens: int | None
    output_text_tokens: int | None
    output_image_tokens: int | None
    client_left: bool | None
    upstream_status: int | None
    upstream_request_id: str | None
    first_byte_ms: int | None
    duration_ms: int | None
    age_seconds: float | None = Field(description="While it is pending.")
    process: str
    process_is_alive: bool | None = Field(description="While it is pending.")
    phase: Literal["reserving", "waiting", "receiving"] | None = Field(description="If this process runs it.")
    sent_bytes: int | None = Field(description="If this process runs it.")


class UsageShape(Shape):
    """A sum of what was resolved. Words by which it is not split are null."""

    object: Literal["usage"]
    id: str
    start: str | None = Field(description="Of its bucket; null: the whole time.")
    user: str | None
    user_id: str | None
    team: str | None
    team_id: str | None
    key: str | None
    key_id: str | None
    model: str | None
    operation: str | None
    size: str | None
    quality: str | None
    outcome: str | None
    account: str | None
    requests: int
    released: int
    refused: int
    estimated: int
    unpriced: int
    images: int
    tokens: int
    input_text_tokens: int
    input_image_tokens: int
    output_text_tokens: int
    output_image_tokens: int
    nanousd: int
    usd: str


class RefusalShape(Shape):
    """How often requests were refused in an hour."""

    object: Literal["refusal"]
    id: str
    hour: str
    user: str | None
    user_id: str | None
    key_id: str | None
    code: str
    count: int


class FileShape(Shape):
    """A file that is kept for a time."""

    object: Literal["file"]
    id: str = Field(description="For `after`. It is no part of a link.")
    kind: Literal["image", "answer"]
    user: str | None
    user_id: str
    key_id: str
    request_id: str
    bytes: int
    content_type: str
    created_at: str
    expires_at: str


class JobShape(Shape):
    """A request whose caller does not wait for it."""

    object: Literal["job"]
    id: str
    status: Literal["in_progress", "completed", "failed", "cancelled", "incomplete"]
    user: str | None
    user_id: str
    key_id: str
    operation: str
    model: str
    request_id: str = Field(description="For GET /admin/v1/requests/{request_id}: what it held and cost.")
    error_status: int | None = Field(description="Of the answer that a direct call would have got.")
    error_code: str | None
    created_at: str
    ended_at: str | None
    expires_at: str = Field(description="It is forgotten then, with its answer.")


class ReconciliationShape(Shape):
    """A day and model: what the ledger charged, and what ZenMux billed."""

    object: Literal["reconciliation"]
    id: str
    day: str
    account: str | None = Field(description="null: all accounts were compared with one bill.")
    model: str | None
    ledger_requests: int
    ledger_usd: str
    ledger_nanousd: int
    billed_requests: int
    billed_usd: str
    billed_nanousd: int
    drift_usd: str
    drift_nanousd: int
    checked_at: str


class AccountShape(Shape):
    """A ZenMux account, and what the running processes say of it."""

    object: Literal["account"]
    id: str
    name: str
    weight: int
    base_url: str | None
    models: list[str]
    limits: list[str]
    state: str
    why: str | None
    until: str | None
    rested_by_operator: bool
    processes: int
    processes_up: int


class ModelShape(Shape):
    """A model of the catalog: what it accepts and costs."""

    object: Literal["model"]
    id: str
    name: str
    aliases: list[str]
    ends_on: str | None
    successor: str | None
    sizes: dict[str, Any]
    qualities: list[str]
    auto_quality: str | None
    output_formats: list[str]
    backgrounds: list[str]
    transparent_background: bool
    n_max: int
    streams: bool
    partial_images_max: int
    edits: dict[str, Any] | None
    prompt_chars_max: int | None
    prices: dict[str, Any]
    image_1024x1024: dict[str, Any] = Field(alias="picture_1024x1024")


class AppliedShape(Shape):
    """What applying a file changed, a line for each change."""

    object: Literal["applied"]
    changes: list[str]
    notices: list[str]
    unclaimed: list[str] = Field(description="The ids of keys that it made: rotate each for its first text.")
    models: list[str] = Field(
        description="How the file's `catalog` differs from the models in use, a line for each. Apply does not change "
        "them: a gateway takes them from its GATEWAY_BOOTSTRAP_FILE, at its start and at a reload."
    )


class ExplainedLimitShape(Shape):
    """A limit that applies, and whether the request fits into it."""

    limit: str
    scope: str
    unit: str
    window: str
    model: str | None
    shadow: bool
    amount: int | str | None
    used: int | str | None
    pending: int | str | None
    left: int | str | None
    used_ratio: float
    resets_at: str | None
    raised_until: str | None = Field(description="Until then the amount is more than usual.")
    needed: int | str
    fits: bool


class LeastAndMostShape(Shape):
    """What it takes at least and at most."""

    at_least: int | str
    at_most: int | str


class ExplanationShape(Shape):
    """What a request would take at most, and what it would meet. Nothing is reserved."""

    object: Literal["explanation"]
    user: str
    key_id: str | None
    model: str
    model_allowed: bool = Field(description="Whether the key may use the model.")
    size: str
    quality: str
    images: int
    admitted: bool
    refusal: str | None = Field(description="Of several limits that refuse, the one that does so longest.")
    tokens: LeastAndMostShape
    cost_usd: LeastAndMostShape
    priced: bool
    limits: list[ExplainedLimitShape]
