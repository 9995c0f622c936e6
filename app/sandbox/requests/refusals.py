"""Every refusal of the stand-in: ZenMux's error table, and OpenAI's form for the rules of images. Pure values; decides
nothing about when to refuse.
"""

from collections.abc import Mapping
from typing import Final

# status -> (type, message); the first is what `status=` alone means. 503 and 504 are in ZenMux's list of what may be
# retried, without a type of their own; they use the nearest one.
ZENMUX_ERRORS: Final[Mapping[int, tuple[tuple[str, str], ...]]] = {
    400: (("invalid_params", "Parameter n grater than 1 is not supported"),),
    402: (
        (
            "insufficient_credit",
            "Account overdue. To prevent abuse, a non-negative balance is required for all models "
            "(including free tiers).",
        ),
        ("reject_no_credit", "Credit required. To prevent abuse, a positive balance is required for this model."),
        ("quote_exceeded", "Subscription quota used up"),
    ),
    403: (
        ("access_denied", "You have no permission to access this resource"),
        ("safety_check_failed", "The request was refused by the provider's safety policy"),
    ),
    404: (
        ("invalid_model", "The model does not exist"),
        ("model_not_available", "The model is not part of your subscription plan"),
        ("model_not_supported", "The model does not support this API"),
    ),
    413: (("invalid_params", "Prompt is too long"),),
    422: (("provider_unprocessable_entity_error", "The provider cannot process the request"),),
    429: (("rate_limit", "Rate limit exceeded"),),
    500: (
        ("internal_server_error", "Internal server error"),
        ("provider_api_error", "The provider's API failed"),
        ("provider_error", "The provider failed"),
    ),
    502: (("no_provider_available", "No provider is available for this model"),),
    503: (("provider_api_error", "The provider is overloaded"),),
    504: (("provider_internal_server_error", "The provider did not answer in time"),),
    520: (("provider_internal_server_error", "Cannot talk to the provider"),),
    524: (("provider_internal_server_error", "The provider timed out"),),
}

# With these the provider may have finished the work: the image was made, but the answer was lost.
BILLED_STATUSES: Final = frozenset({504, 520, 524})


class SandboxRefusal(Exception):
    """An error answer: its status, and its body as JSON values. Nothing was generated unless the status is billed."""

    def __init__(self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def zenmux(status: int, kind: str, message: str) -> SandboxRefusal:
    """ZenMux's envelope: the status as a number-string in `code`, the reason in `type`, no `param`."""
    return SandboxRefusal(status, {"error": {"code": str(status), "type": kind, "message": message}})


def from_table(status: int, kind: str | None, request_id: str) -> SandboxRefusal:
    """A row of ZenMux's table; `kind` picks among the types of a status and must be one of them.

    The message contains a request id and, for keys, where the key came from, as real ones do: internal data that a
    gateway must remove.
    """
    rows = dict(ZENMUX_ERRORS[status])
    kind = kind or ZENMUX_ERRORS[status][0][0]
    hint = f" (request_id: {request_id})"
    if status == 403:
        hint = f" (request_id: {request_id}, api_key_source: payg)"
    return zenmux(status, kind, rows[kind] + hint)


def openai(
    message: str, *, code: str | None, param: str | None, kind: str = "invalid_request_error", status: int = 400
) -> SandboxRefusal:
    """OpenAI's envelope, all four keys present."""
    return SandboxRefusal(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def user_error(message: str, *, code: str, param: str | None) -> SandboxRefusal:
    """The type that OpenAI's image service gives to its own rules, beside those of the API in front of it."""
    return openai(message, code=code, param=param, kind="image_generation_user_error")


def moderation_openai(request_id: str) -> SandboxRefusal:
    """A prompt refused before anything was drawn, as OpenAI says it."""
    return SandboxRefusal(
        400,
        {
            "error": {
                "message": "Your request was rejected by the safety system. If you believe this is an error, contact "
                f"support and include the request ID {request_id}. safety_violations=[violence].",
                "type": "image_generation_user_error",
                "param": None,
                "code": "moderation_blocked",
                "moderation_details": {"moderation_stage": "input", "categories": ["violence"]},
            }
        },
    )


def moderation_azure(request_id: str) -> SandboxRefusal:
    """The same refusal from Azure, which serves some of ZenMux's models: another code, another place for the
    details.
    """
    return SandboxRefusal(
        400,
        {
            "error": {
                "code": "content_policy_violation",
                "type": "invalid_request_error",
                "param": None,
                "message": f"The request was rejected by the content filter. (request_id: {request_id})",
                "inner_error": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_results": {
                        "violence": {"filtered": True, "severity": "medium"},
                        "hate": {"filtered": False, "severity": "safe"},
                    },
                },
            }
        },
    )
