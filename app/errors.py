"""Every error the gateway raises on purpose. Knows nothing about HTTP: api/error_responses.py translates.

Families: the request is at fault (CallerError), a limit refuses it (LimitReached), this process cannot serve it now
(GatewayFault), it was made before (AnsweredBefore), ZenMux or the way to it failed (UpstreamError), what an operator
asked for cannot be done (AdministrationError).
"""

from dataclasses import dataclass, field
from datetime import datetime

RETRY_AFTER_SECONDS_MAX = 60  # longer values behave differently in every SDK, and hang openai-node 6


class GatewayError(Exception):
    """The root. `message` is safe to show to a caller: no secret, no prompt, no upstream internals."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(GatewayError):
    """The caller's request is at fault; sending it again unchanged fails again."""


class AuthenticationFailed(CallerError):
    """No key, or one that is unknown, expired or disabled."""


class ModelForbidden(CallerError):
    """The model exists, but the caller's key may not use it."""


class ModelNotFound(CallerError):
    """The catalog does not list the model, and the operator's settings do not allow it."""


class FileGone(CallerError):
    """The link was good, and its file is kept no longer."""


class JobNotFound(CallerError):
    """There is no such job, or it is somebody else's, or it has expired."""


class JobWithoutAnswer(CallerError):
    """The job has no answer to give: it was cancelled, never ended, or its answer is kept no longer."""


class InvalidRequest(CallerError):
    """A field breaks a documented rule. `param`, `code` and `kind` are OpenAI's `param`, `code` and `type`."""

    def __init__(
        self, message: str, *, param: str | None, code: str | None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.kind = kind


class BodyTooLarge(CallerError):
    """The request's body is over the configured size."""


class UnsupportedContentType(CallerError):
    """The request's body is not of a type this route reads."""


class MalformedHttp(CallerError):
    """What came over the connection is no HTTP/1.1 request."""


class HeadTooLarge(CallerError):
    """The request's line and headers are larger or more than the gateway reads."""


class RequestTooSlow(CallerError):
    """The request did not come in time."""


class LimitReached(GatewayError):
    """A limit refused the reservation. `limit` is its written form, such as `images:100/day`."""

    def __init__(self, message: str, *, limit: str, scope: str, unit: str) -> None:
        super().__init__(message)
        self.limit = limit
        self.scope = scope
        self.unit = unit


class QuotaExceeded(LimitReached):
    """A quota is used up until its window ends: retrying now is useless. `resets_at` is None for `total`."""

    def __init__(self, message: str, *, limit: str, scope: str, unit: str, resets_at: datetime | None) -> None:
        super().__init__(message, limit=limit, scope=scope, unit=unit)
        self.resets_at = resets_at


class RateLimited(LimitReached):
    """A per-minute rate or a concurrency limit refused: the same request may pass in `retry_after_seconds`."""

    def __init__(self, message: str, *, limit: str, scope: str, unit: str, retry_after_seconds: int) -> None:
        super().__init__(message, limit=limit, scope=scope, unit=unit)
        self.retry_after_seconds = retry_after_seconds


class GatewayFault(GatewayError):
    """This process cannot serve the request now."""


class StoreUnavailable(GatewayFault):
    """The database does not answer, or its queue is full."""


class DuplicateReservation(GatewayFault):
    """A request has the id of another one. Ids are used once, so this is a bug."""


class IdempotencyKeyTaken(GatewayFault):
    """Another request took this idempotency key a moment ago."""


class Overloaded(GatewayFault):
    """More requests are in flight than the operator allows."""


class UploadsFull(GatewayFault):
    """There is no room on the disk for what the caller uploads, or for more of this caller's. Nothing was bought."""


class FilesUnavailable(GatewayFault):
    """The folder or bucket for files takes none, or does not give one back. Nothing was bought for it."""


class Draining(GatewayFault):
    """The process is stopping and takes no new requests; nothing was sent for this one."""


class Interrupted(GatewayFault):
    """The process stopped before the answer was whole. The request was sent, so it may be charged."""


class NoAccountUp(GatewayFault):
    """None of the gateway's ZenMux accounts may take the request; nothing was sent. `why` is a closed word.

    `retry_after_seconds` None: waiting does not help.
    """

    def __init__(self, message: str, why: str, retry_after_seconds: int | None) -> None:
        super().__init__(message)
        self.why = why
        self.retry_after_seconds = retry_after_seconds


class AnsweredBefore(GatewayError):
    """The request was made before, and nothing is bought for it again."""


class IdempotencyInProgress(AnsweredBefore):
    """The same request runs in another process. Sent again in a while, it is answered with what that gave."""


class IdempotencyKeyReused(AnsweredBefore):
    """Another request was sent with this Idempotency-Key."""


class AnswerLost(AnsweredBefore):
    """It was bought, or may have been, and nobody has the answer."""


class ClientLeft(GatewayError):
    """The client left before its request was sent upstream: nothing was bought."""


@dataclass(eq=False)
class UpstreamError(GatewayError):
    """ZenMux, or the way to it, failed.

    `billed` is None while it is unknown whether ZenMux charged for the call, False on proof that it did not.
    `kind` is a closed word for metrics and logs.
    """

    message: str
    kind: str
    billed: bool | None = None
    request_id: str | None = field(default=None, init=False)  # ZenMux's, and the status it sent, where it answered
    answered_status: int | None = field(default=None, init=False)
    reason: str | None = field(default=None, init=False)  # for the log alone: what the answer said of itself
    account_why: str | None = field(default=None, init=False)  # refused for our account's sake: a closed word
    account_rest_seconds: float | None = field(default=None, init=False)  # and how long that account is to be spared

    def __post_init__(self) -> None:
        super().__init__(self.message)


@dataclass(eq=False)
class UpstreamUnreachable(UpstreamError):
    """No connection could be made: not one byte of the request was sent."""

    billed: bool | None = False


@dataclass(eq=False)
class UpstreamTimeout(UpstreamError):
    """The request was sent and no answer, or no further byte of it, came in time."""


@dataclass(eq=False)
class UpstreamBroken(UpstreamError):
    """The request was sent, then the connection dropped or the answer made no sense."""


@dataclass(eq=False)
class UpstreamRefused(UpstreamError):
    """ZenMux answered with an error, translated to OpenAI's words: `status`, `type`, `code`, `param`.

    `status` is the number the caller shall see.
    """

    status: int = 502
    type: str = "upstream_error"
    code: str | None = None
    param: str | None = None
    retryable: bool = False
    retry_after_seconds: int | None = None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(eq=False)
class UpstreamAccountFault(UpstreamError):
    """ZenMux refused our own key or account: the operator's to mend, never shown as the caller's fault."""

    billed: bool | None = False


class AdministrationError(GatewayError):
    """What an operator asked for cannot be done: now, or with these settings, or at all."""


class NotFound(AdministrationError):
    """It names something that is not there."""


class Conflict(AdministrationError):
    """What is there does not allow it: a name is taken, a folder is held, records are pruned."""


class InvalidValue(AdministrationError):
    """A value is none that could ever be taken; the same again fails again."""


class ConfigurationError(AdministrationError):
    """The settings, or the files they name, must be changed first."""


class NotPermitted(AdministrationError):
    """The role of who asks does not allow it; admin/access/permissions.py has the table."""


class ChangedMeanwhile(AdministrationError):
    """The change was meant for another state of what is there: read it again first."""


class RemoteFailure(AdministrationError):
    """Somebody else's service, asked on the operator's behalf, did not answer, or not with what was asked for."""
