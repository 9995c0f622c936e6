"""What ZenMux's failures mean to a caller, and whether ZenMux billed for them. Pure: one table of meanings.

ZenMux answers in its own envelope (`type` is the reason, `code` the status), and passes on OpenAI's and Azure's.
"""

import re
from dataclasses import dataclass, replace

from app.errors import (
    RETRY_AFTER_SECONDS_MAX,
    UpstreamAccountFault,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from app.images.cost.usage import Failure
from app.upstream.accounts.states import Why
from app.upstream.error_body import ErrorBody, describe_page, read_error_body, scrub

_INVALID = "invalid_request_error"
_USER_ERROR = "image_generation_user_error"
_SAYS_NOTHING = frozenset({_INVALID, _USER_ERROR, "invalid_params", "provider_unprocessable_entity_error"})
_ACCOUNT = "The gateway's own ZenMux account {}. Please tell the gateway's operator."


@dataclass(frozen=True, slots=True)
class _Meaning:
    """One kind of failure: what a caller gets, and whether it may have been billed.

    With `in_its_words` the provider's own message replaces `message`, if there is one.
    """

    kind: str
    status: int
    message: str
    type: str = "upstream_error"
    code: str | None = None
    param: str | None = None
    billed: bool | None = False
    retryable: bool = False
    in_its_words: bool = False


_MODERATION = _Meaning(
    "moderation", 400, "The request was rejected by the safety system.", _USER_ERROR, "moderation_blocked",
    in_its_words=True,
)  # fmt: skip
_CREDIT = _Meaning("account_credit", 503, _ACCOUNT.format("has no credit for this request"))
_KEY = _Meaning("account_key", 503, _ACCOUNT.format("or key is refused"))
_BLOCKED = _Meaning(
    "blocked_on_the_way", 502,
    "Something on the way to ZenMux refused the request. Please tell the gateway's operator.", code="upstream_blocked",
)  # fmt: skip
_MODEL = _Meaning(
    "model", 404, "ZenMux does not offer this model here. Use another model, or ask the gateway's operator.",
    _INVALID, "model_not_found", "model",
)  # fmt: skip
_PROMPT = _Meaning(
    "invalid", 400, "Invalid 'prompt': it is too long for this model.", _INVALID, "string_above_max_length", "prompt"
)
_TOO_LARGE = _Meaning("invalid", 413, "ZenMux refused the request as too large.", _INVALID, "request_too_large")
_PARAMETER = _Meaning("invalid", 400, "ZenMux refused the request and did not say why.", _INVALID, in_its_words=True)
_RATE = _Meaning(
    "rate_limit", 429, "ZenMux's rate limit is reached. Please try again shortly.", "rate_limit_error",
    "rate_limit_exceeded", retryable=True,
)  # fmt: skip
_NO_PROVIDER = _Meaning(
    "no_provider", 503, "ZenMux has no provider for this model at the moment.", "server_error",
    "no_provider_available", retryable=True,
)  # fmt: skip
_PROVIDER = _Meaning(
    "provider_error", 502, "ZenMux or its provider failed to make the image.", code="upstream_failed", billed=None
)
_NO_IMAGE = _Meaning("no_image", 502, "ZenMux answered without an image.", code="no_image", billed=None)
_TIMEOUT = _Meaning("provider_timeout", 504, "ZenMux's provider did not answer in time.", billed=None)
_REDIRECT = _Meaning("redirect", 502, "ZenMux answered with a redirect, which is not followed.")
_UNEXPECTED = _Meaning("unexpected_status", 502, "ZenMux refused the request in an unexpected way.")

# The words say more than the status: ZenMux maps its providers' refusals to statuses of its own.
_BY_WORD: tuple[tuple[_Meaning, frozenset[str]], ...] = (
    (_MODERATION, frozenset({
        "safety_check_failed", "moderation_blocked", "content_policy_violation", "content_filter",
        "responsibleaipolicyviolation",
    })),
    (_CREDIT, frozenset({
        "insufficient_credit", "reject_no_credit", "quote_exceeded", "insufficient_quota", "credit_balance_exhausted",
        "billing_hard_limit_reached", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    })),
    (_KEY, frozenset({"access_denied", "invalid_api_key"})),
    (_MODEL, frozenset({"invalid_model", "model_not_available", "model_not_supported", "model_not_found"})),
    (_RATE, frozenset({"rate_limit", "rate_limit_exceeded", "slow_down"})),
    (_NO_PROVIDER, frozenset({"no_provider_available", "server_is_overloaded"})),
)  # fmt: skip
_BY_STATUS = {
    303: replace(_REDIRECT, billed=None),  # says that the request was carried out
    **dict.fromkeys((400, 422), _PARAMETER),
    **dict.fromkeys((401, 403), _KEY),
    402: _CREDIT,
    413: _PROMPT,
    429: _RATE,
    **dict.fromkeys((408, 504, 524), _TIMEOUT),
}
_OF_ACCOUNTS = frozenset({meaning.kind for meaning in (_CREDIT, _KEY, _RATE)})
_NO_SUCH_MODEL = re.compile(r"Model .+ is not valid|The model .+ does not exist", re.IGNORECASE)
_ZENMUX_PARAMETER = re.compile(r"Parameter ([a-z_]{1,64}) (is required|gr[ea]+ter than|is not)")
_TRY_AGAIN = re.compile(r"try again in ([0-9]{1,6})(?:\.[0-9]+)?(ms|s)\b", re.IGNORECASE)


def translate(status: int, body: bytes, retry_after: str | None = None) -> UpstreamError:
    """ZenMux's answer with a `status` that is not 2xx, as one of our errors. Never raises; `body` may be anything.

    `retry_after` is the header's value. `billed` is False for refusals that ZenMux does not bill, None if it is
    unknown.
    """
    reported = read_error_body(body)
    error = _translate(status, body, retry_after, reported)
    # A refusal of the content stays one, whatever its status is.
    error.account_why = _account_why(status, reported) if error.kind in _OF_ACCOUNTS else None
    if error.account_why == Why.RATE and retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        error.account_rest_seconds = float(retry_after[:9])
    return error


def _account_why(status: int, reported: ErrorBody) -> Why | None:
    """Whether the request was refused for our account's sake, so that another account may take it. Only ZenMux's own
    words count: a provider's refusal of ZenMux would meet every account.
    """
    if "quote_exceeded" in reported.words:
        return Why.QUOTA
    if status == 402 or reported.type in ("insufficient_credit", "reject_no_credit"):
        return Why.CREDIT
    if reported.enveloped and reported.type == "access_denied":
        return Why.KEY
    return Why.RATE if status == 429 else None


def _translate(status: int, body: bytes, retry_after: str | None, reported: ErrorBody) -> UpstreamError:
    meaning = _meaning(status, reported)
    if meaning is _KEY and not reported.enveloped and not reported.words:
        meaning = _BLOCKED  # a proxy's or a firewall's page: only ZenMux's own words prove a bad key
    if meaning in (_CREDIT, _KEY):
        return UpstreamAccountFault(meaning.message, meaning.kind)
    if meaning is _TIMEOUT:
        return UpstreamTimeout(meaning.message, meaning.kind)
    error = _refused(meaning, reported)
    if not reported.enveloped:
        error.reason = describe_page(body)
    if error.retryable:
        error.retry_after_seconds = _retry_after_seconds(retry_after, reported.message)
    return error


def failure_in_answer(failure: Failure, *, streamed: bool) -> UpstreamError:
    """A failure reported inside a 200, as the error of its kind. The image may be billed."""
    reported = ErrorBody(
        message=scrub(failure.message),
        type=failure.type,
        code=failure.code,
        words=frozenset(word.lower() for word in (failure.type, failure.code) if word is not None),
    )
    meaning = _meaning_of_words(reported) or replace(_PROVIDER, in_its_words=True)
    if meaning in (_CREDIT, _KEY):
        meaning = replace(meaning, code="upstream_failed")
    meaning = replace(meaning, kind="document_failure", billed=None, retryable=False)
    return _refused(replace(meaning, kind="stream_failure") if streamed else meaning, reported)


def no_image(remark: str | None) -> UpstreamError:
    """A whole answer without an image, with its reason if it gives one. It may be billed."""
    said = scrub(remark or "")
    message = f"ZenMux answered without an image: {said}" if said else _NO_IMAGE.message
    return _refused(replace(_NO_IMAGE, message=message), ErrorBody())


def _meaning(status: int, reported: ErrorBody) -> _Meaning:
    by_word = _meaning_of_words(reported)
    if by_word is not None:
        return by_word
    if status == 413 and not reported.message:
        return _TOO_LARGE  # from a server on the way, which knows nothing of prompts
    by_status = _BY_STATUS.get(status)
    if by_status is not None:
        return by_status
    if status >= 500:
        return _PROVIDER
    return _UNEXPECTED if status >= 400 else _REDIRECT


def _meaning_of_words(reported: ErrorBody) -> _Meaning | None:
    for meaning, words in _BY_WORD:
        if words & reported.words:
            return meaning
    return _MODEL if _NO_SUCH_MODEL.match(reported.message) else None


def _refused(meaning: _Meaning, reported: ErrorBody) -> UpstreamRefused:
    error = UpstreamRefused(
        reported.message if meaning.in_its_words and reported.message else meaning.message,
        meaning.kind,
        meaning.billed,
        status=meaning.status,
        type=meaning.type,
        code=meaning.code,
        param=meaning.param,
        retryable=meaning.retryable,
    )
    if meaning.code == "moderation_blocked":
        error.details = dict(reported.details)
    if meaning is _PARAMETER:
        _take_parameter(error, reported)
    return error


def _take_parameter(error: UpstreamRefused, reported: ErrorBody) -> None:
    """OpenAI's own `type`, `code` and `param`. ZenMux puts its reason into `type`, and the parameter into the
    message.
    """
    if reported.type == _USER_ERROR:
        error.type = _USER_ERROR
    error.code, error.param = reported.code, reported.param
    if error.code is None and reported.type not in _SAYS_NOTHING:
        error.code = reported.type
    named = _ZENMUX_PARAMETER.match(reported.message)
    if named and reported.param is None:
        error.param = named[1]
        error.code = "missing_required_parameter" if named[2] == "is required" else "invalid_value"


def _retry_after_seconds(header: str | None, message: str) -> int | None:
    """How long to wait, at least 1 s: from the header, or else from OpenAI's message. None if neither says."""
    if header is not None and header.isascii() and header.isdigit():
        return max(1, min(int(header[:9]), RETRY_AFTER_SECONDS_MAX))
    reported = _TRY_AGAIN.search(message)
    if reported is None:
        return None
    seconds = 1 if reported[2] == "ms" else int(reported[1]) + 1
    return max(1, min(seconds, RETRY_AFTER_SECONDS_MAX))
