"""What ZenMux's error answers mean for a caller, and whether ZenMux billed for them. Pure tables.

ZenMux answers in its own envelope (`type` is the word, `code` the status), and passes on those of OpenAI and Azure.
"""

import json
import re
from collections.abc import Mapping

from app.errors import UpstreamAccountFault, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from app.images.usage import Failure

_INVALID = "invalid_request_error"
_USER_ERROR = "image_generation_user_error"
_MESSAGE_LENGTH_MAX = 500
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM = re.compile(r"[a-z_][a-z0-9_.\[\]]{0,63}")

_MODERATION = frozenset(
    {
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "safety_check_failed",
        "responsibleaipolicyviolation",
    }
)
_UNKNOWN_MODEL = frozenset({"invalid_model", "model_not_available", "model_not_supported", "model_not_found"})
_OUT_OF_CREDIT = frozenset(
    {
        "insufficient_credit",
        "reject_no_credit",
        "quote_exceeded",
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)

# What must not be told: ids, keys, who we are at ZenMux, where things run.
_SECRETS = re.compile(
    r"""\(?\b(?:x-)?(?:zenmux-?)?request[-_ ]?id\b\s*[:=]?\s*[\w-]*\)?
      | \bapi_key_source\b\s*[:=]?\s*\w*
      | \b(?:Bearer\s+)?sk-[\w*.-]+
      | \bBearer\s+\S+
      | \b(?:org|proj|req|gen|user|key)[-_][A-Za-z0-9]{6,}\b
      | \bhttps?://\S+""",
    re.VERBOSE | re.IGNORECASE,
)


def translate(status: int, body: bytes, retry_after: str | None) -> UpstreamError:
    """ZenMux's answer of `status` ≥ 300 as one of our errors. Never raises; `body` may be anything, also cut."""
    told = _Told(body)
    if status < 400:
        return UpstreamBroken("ZenMux answered with a redirect, which is not followed.", kind="redirect")
    if told.is_one_of(_OUT_OF_CREDIT) or status == 402:
        return _account("account_credit")
    if told.is_one_of(_MODERATION):
        return _moderation(told)
    if told.is_one_of(_UNKNOWN_MODEL):
        message = "ZenMux does not offer this model here. Ask the operator, or use another model."
        return _refused(status, 404, message, kind="model", code="model_not_found", param="model")
    if status in (401, 403):
        return _account("account_key")
    if status == 429:
        return UpstreamRefused(
            "ZenMux's rate limit is reached. Please try again shortly.",
            kind="rate_limit",
            billed=False,
            status=429,
            upstream_status=429,
            type="rate_limit_error",
            code="rate_limit_exceeded",
            retryable=True,
            retry_after_seconds=_seconds(retry_after),
        )
    if status in (400, 413, 422):
        return _invalid(status, told)
    if status < 500 and status != 408:
        return _refused(status, 502, "ZenMux refused the request in an unexpected way.", kind="unexpected_status")
    return _server_failure(status, told)


def stream_failure(failure: Failure) -> UpstreamError:
    """A failure told inside an answer that had begun. What was drawn until then may be billed."""
    error = UpstreamRefused(
        scrub(failure.message) or "The provider reported an error.", kind="stream_failure", billed=None
    )
    error.type = failure.type if failure.type and _WORD.fullmatch(failure.type) else "upstream_error"
    error.code = failure.code if failure.code and _WORD.fullmatch(failure.code) else "upstream_failed"
    return error


def scrub(message: str) -> str:
    """`message` without ids, keys, hosts and control characters, and not endless."""
    visible = "".join(letter if letter.isprintable() else " " for letter in message[: 4 * _MESSAGE_LENGTH_MAX])
    kept = re.sub(r"\s+", " ", _SECRETS.sub("", visible)).replace("( )", "").replace("()", "").strip()
    return kept if len(kept) <= _MESSAGE_LENGTH_MAX else kept[: _MESSAGE_LENGTH_MAX - 1] + "…"


class _Told:
    """An error body, whosever envelope it is in: what could be read of it."""

    def __init__(self, body: bytes) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        error = document.get("error") if isinstance(document, Mapping) else None
        self._fields: Mapping[str, object] = error if isinstance(error, Mapping) else {}
        self.message = scrub(self._text("message"))
        self.type = self._text("type")
        code = self._text("code").lower()
        self.code = code if _WORD.fullmatch(code) else None
        param = self._text("param")
        self.param = param if _PARAM.fullmatch(param) else None

    def is_one_of(self, words: frozenset[str]) -> bool:
        inner = self._fields.get("inner_error", self._fields.get("innererror"))
        inner_code = inner.get("code") if isinstance(inner, Mapping) else None
        spoken = (self.type, self.code, inner_code)
        return any(isinstance(word, str) and word.lower() in words for word in spoken)

    def moderation_details(self) -> dict[str, object]:
        """OpenAI's own account of what its safety system saw: closed words only."""
        details = self._fields.get("moderation_details")
        if not isinstance(details, Mapping):
            return {}
        categories = details.get("categories")
        listed = categories if isinstance(categories, list) else []
        stage = details.get("moderation_stage")
        return {
            "moderation_details": {
                "moderation_stage": stage if isinstance(stage, str) and _WORD.fullmatch(stage) else "unknown",
                "categories": [word for word in listed[:20] if isinstance(word, str) and len(word) <= 64],
            }
        }

    def _text(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) else ""


def _account(kind: str) -> UpstreamAccountFault:
    message = "The gateway's own ZenMux account cannot buy pictures now. Please tell the gateway's operator."
    return UpstreamAccountFault(message, kind=kind)


def _moderation(told: _Told) -> UpstreamRefused:
    error = _refused(
        400,
        400,
        told.message or "The request was rejected by the safety system.",
        kind="moderation",
        code="moderation_blocked",
    )
    error.type, error.details = _USER_ERROR, told.moderation_details()
    return error


def _invalid(status: int, told: _Told) -> UpstreamRefused:
    if status == 413:
        message = "Invalid 'prompt': the prompt is too long for this model."
        return _refused(status, 400, message, kind="invalid", code="string_above_max_length", param="prompt")
    error = _refused(status, 400, told.message or "ZenMux refused the request.", kind="invalid")
    error.type = told.type if told.type in (_INVALID, _USER_ERROR) else _INVALID
    error.code, error.param = told.code, told.param
    return error


def _server_failure(status: int, told: _Told) -> UpstreamError:
    """Nobody knows whether a failed server billed, but for those that say that nobody was asked."""
    if told.type == "no_provider_available" or status == 503:
        error = _refused(status, 503, "ZenMux has no provider for this model at the moment.", kind="no_provider")
        error.type, error.retryable, error.code = "server_error", True, "no_provider_available"
        return error
    if status in (408, 504, 524):
        return UpstreamTimeout("ZenMux's provider did not answer in time.", kind="provider_timeout")
    return UpstreamRefused(
        "ZenMux or its provider failed to make the picture.",
        kind="provider_error",
        status=502,
        upstream_status=status,
        code="upstream_failed",
    )


def _refused(
    upstream_status: int, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
) -> UpstreamRefused:
    """A refusal that ZenMux does not bill."""
    return UpstreamRefused(
        message,
        kind=kind,
        billed=False,
        status=status,
        upstream_status=upstream_status,
        type=_INVALID if status < 500 else "upstream_error",
        code=code,
        param=param,
    )


def _seconds(retry_after: str | None) -> int | None:
    return int(retry_after) if retry_after is not None and retry_after.isdecimal() and len(retry_after) < 6 else None
