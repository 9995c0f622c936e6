"""Our errors in OpenAI's words: status, envelope, headers. The one place where an error meets HTTP.

docs/errors.md lists what clients see.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from fastapi.responses import Response

from app.api.routes import advice
from app.errors import (
    RETRY_AFTER_SECONDS_MAX,
    AnswerLost,
    AuthenticationFailed,
    BodyTooLarge,
    ChangedMeanwhile,
    ClientLeft,
    ConfigurationError,
    Conflict,
    Draining,
    FileGone,
    FilesUnavailable,
    GatewayError,
    HeadTooLarge,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Interrupted,
    InvalidRequest,
    InvalidValue,
    JobNotFound,
    JobWithoutAnswer,
    MalformedHttp,
    ModelForbidden,
    ModelNotFound,
    NoAccountUp,
    NotFound,
    NotPermitted,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RemoteFailure,
    RequestTooSlow,
    StoreUnavailable,
    UnsupportedContentType,
    UploadsFull,
    UpstreamAccountFault,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.telemetry.event import Outcome

_INVALID = "invalid_request_error"
_SERVER = "server_error"
_RATE = "rate_limit_error"
_NO_RETRY = {"x-should-retry": "false"}
_SOON = {"retry-after": "5"}


@dataclass(frozen=True, slots=True)
class WireError:
    """One error as clients see it, and the closed words that metrics and records use for it."""

    status: int
    type: str
    code: str | None
    message: str
    outcome: Outcome
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object: always all four keys."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            **self.details,
        }


# Errors that always look the same, except for their message.
_PLAIN: Mapping[type[GatewayError], WireError] = {
    AuthenticationFailed: WireError(
        401, _INVALID, "invalid_api_key", "", Outcome.REJECTED, headers={"www-authenticate": "Bearer", **_NO_RETRY}
    ),
    ModelForbidden: WireError(403, _INVALID, "model_not_allowed", "", Outcome.REJECTED, "model"),
    ModelNotFound: WireError(404, _INVALID, "model_not_found", "", Outcome.REJECTED, "model"),
    JobNotFound: WireError(404, _INVALID, "job_not_found", "", Outcome.REJECTED),
    JobWithoutAnswer: WireError(410, _INVALID, "job_without_answer", "", Outcome.REJECTED, headers=_NO_RETRY),
    FileGone: WireError(410, _INVALID, "file_gone", "", Outcome.REJECTED),
    BodyTooLarge: WireError(413, _INVALID, "request_too_large", "", Outcome.REJECTED),
    UnsupportedContentType: WireError(415, _INVALID, "unsupported_content_type", "", Outcome.REJECTED),
    MalformedHttp: WireError(400, _INVALID, "invalid_http", "", Outcome.REJECTED),
    HeadTooLarge: WireError(431, _INVALID, "headers_too_large", "", Outcome.REJECTED),
    RequestTooSlow: WireError(408, _INVALID, "request_timeout", "", Outcome.REJECTED),
    QuotaExceeded: WireError(429, "insufficient_quota", "insufficient_quota", "", Outcome.REFUSED, headers=_NO_RETRY),
    StoreUnavailable: WireError(503, _SERVER, "store_unavailable", "", Outcome.UNAVAILABLE, headers=_SOON),
    Overloaded: WireError(503, _SERVER, "server_is_overloaded", "", Outcome.UNAVAILABLE, headers=_SOON),
    UploadsFull: WireError(503, _SERVER, "uploads_full", "", Outcome.UNAVAILABLE, headers=_SOON),
    FilesUnavailable: WireError(503, _SERVER, "files_unavailable", "", Outcome.UNAVAILABLE, headers=_SOON),
    Draining: WireError(503, _SERVER, "server_is_stopping", "", Outcome.UNAVAILABLE, headers=_SOON),
    Interrupted: WireError(503, _SERVER, "server_is_stopping", "", Outcome.INTERRUPTED, headers=_NO_RETRY),
    IdempotencyInProgress: WireError(
        409, _INVALID, "idempotency_in_progress", "", Outcome.REJECTED, headers={"retry-after": "10"}
    ),
    IdempotencyKeyReused: WireError(422, _INVALID, "idempotency_key_reuse", "", Outcome.REJECTED, headers=_NO_RETRY),
    AnswerLost: WireError(410, _INVALID, "answer_lost", "", Outcome.REPLAYED, headers=_NO_RETRY),
    NotFound: WireError(404, _INVALID, "not_found", "", Outcome.REJECTED),
    Conflict: WireError(409, _INVALID, "conflict", "", Outcome.REJECTED),
    InvalidValue: WireError(400, _INVALID, "invalid_value", "", Outcome.REJECTED),
    NotPermitted: WireError(403, _INVALID, "not_permitted", "", Outcome.REJECTED),
    ChangedMeanwhile: WireError(412, _INVALID, "changed_meanwhile", "", Outcome.REJECTED),
    ConfigurationError: WireError(409, _INVALID, "configuration_error", "", Outcome.REJECTED),
    RemoteFailure: WireError(502, "upstream_error", "remote_failure", "", Outcome.UPSTREAM_FAILED),
    ClientLeft: WireError(499, _INVALID, "client_left", "", Outcome.CLIENT_LEFT),
}


def wire_error(error: GatewayError) -> WireError:
    """`error` as clients see it. An error this table does not know is a fault of ours, and shows no detail."""
    plain = next((_PLAIN[kind] for kind in type(error).__mro__ if kind in _PLAIN), None)
    if plain is not None:
        return replace(plain, message=error.message)
    match error:
        case InvalidRequest():
            return WireError(400, error.kind, error.code, error.message, Outcome.REJECTED, error.param)
        case RateLimited():
            headers = _retry_after(error.retry_after_seconds)
            return WireError(429, _RATE, "rate_limit_exceeded", error.message, Outcome.REFUSED, headers=headers)
        case NoAccountUp():
            return _no_account(error)
        case UpstreamError():
            return _upstream_error(error)
    return WireError(500, _SERVER, "internal_error", "The gateway made a mistake.", Outcome.FAULT, headers=_NO_RETRY)


def _no_account(error: NoAccountUp) -> WireError:
    """Where only the operator can help, it looks as the account's own refusal does."""
    message, outcome, seconds = error.message, Outcome.UNAVAILABLE, error.retry_after_seconds
    if seconds is None:
        return WireError(503, "upstream_error", "upstream_account_fault", message, outcome, headers=_NO_RETRY)
    headers = _retry_after(seconds)
    return WireError(503, "upstream_error", "no_account_available", message, outcome, headers=headers)


def _upstream_error(error: UpstreamError) -> WireError:
    # What may have been billed must not be bought again by a client's retry.
    headers = _NO_RETRY if error.billed is not False else {}
    message, failed = error.message, Outcome.UPSTREAM_FAILED
    match error:
        case UpstreamRefused():
            if error.retryable and error.billed is False:
                headers = _retry_after(error.retry_after_seconds)
            elif error.status >= 500 or error.status == 429:
                headers = _NO_RETRY
            outcome = Outcome.UPSTREAM_REFUSED if error.billed is False else failed
            return WireError(
                error.status, error.type, error.code, message, outcome, error.param, headers, error.details
            )
        case UpstreamAccountFault():
            outcome = Outcome.UPSTREAM_REFUSED
            return WireError(503, "upstream_error", "upstream_account_fault", message, outcome, headers=_NO_RETRY)
        case UpstreamUnreachable():
            return WireError(502, "upstream_error", "upstream_unreachable", message, failed, headers=headers)
        case UpstreamTimeout():
            return WireError(504, "upstream_error", "upstream_timeout", message, failed, headers=headers)
    return WireError(502, "upstream_error", "upstream_broken", message, failed, headers=headers)


def http_refusal(status: int, detail: str, method: str, path: str, headers: Mapping[str, str] | None) -> WireError:
    """The framework's own refusals, and those of files: no such path, method or part. `path` is safe to show."""
    if status == 404:
        message = f"Unknown URL: {method} {path}. {advice(path)}"
        return WireError(404, _INVALID, "unknown_url", message, Outcome.REJECTED)
    sent = dict(headers or {})
    if status == 405:
        message = f"{path} takes {sent.get('Allow', 'another method')}, not {method}."
        return WireError(405, _INVALID, "method_not_allowed", message, Outcome.REJECTED, headers=sent)
    if status == 416:
        return WireError(416, _INVALID, "invalid_range", "The file has no such part.", Outcome.REJECTED, headers=sent)
    return WireError(status, _INVALID, None, detail, Outcome.REJECTED, headers=sent)


def preflight_refusal(reason: str) -> WireError:
    """The refusal of a browser's preflight request."""
    message = f"{reason}. GATEWAY_CORS_ORIGINS names the pages that may call this gateway."
    return WireError(400, _INVALID, "cors_not_allowed", message, Outcome.REJECTED)


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": str(max(1, min(seconds, RETRY_AFTER_SECONDS_MAX)))}


def error_response(wire: WireError) -> Response:
    """The whole answer to a request that ended with an error."""
    body = orjson.dumps({"error": wire.error})
    return Response(body, wire.status, headers=dict(wire.headers), media_type="application/json")


def error_event(error: GatewayError, closing: Callable[[bytes], bytes]) -> bytes:
    """The event that ends a stream, on which every SDK raises.

    `closing(field)` completes an event that was cut, so that the error becomes one more of its fields. SDKs raise on
    any event with an `error`, and would fail on half an event.
    """
    encoded = orjson.dumps(wire_error(error).error)
    return closing(b'"error":' + encoded) + b'event: error\ndata: {"type":"error","error":' + encoded + b"}\n\n"
