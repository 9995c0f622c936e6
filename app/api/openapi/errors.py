"""Every error answer, by route and status, made by the code that answers them: an example cannot be untrue. Pure."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from app import errors
from app.api.error_responses import WireError, http_refusal, preflight_refusal, wire_error
from app.api.openapi.headers import header_refs
from app.api.openapi.schemas import ref
from app.errors import GatewayError, InvalidRequest, UpstreamRefused
from app.images.request.checks import USER_ERROR

_HTTP_REASONS = {
    400: "The request breaks a rule.",
    401: "No key, or one that is unknown, expired, disabled or rotated out.",
    403: "The key may not use this model.",
    404: "No such model here.",
    408: "The request did not come in time.",
    409: "The same request is still running in another process.",
    410: "The link has ended, or what is asked for is kept no longer.",
    413: "The body is too large.",
    415: "Not JSON (of an edit: nor a form), or a compressed body.",
    422: "Another request was sent with this Idempotency-Key.",
    429: "A limit refused it, or ZenMux's own rate limit. Only where `retry-after` stands, trying again may help.",
    431: "Too many headers.",
    500: "A bug of the gateway.",
    502: "ZenMux cannot be reached, or did not answer with what was asked for.",
    503: "It cannot be served now.",
    504: "ZenMux did not answer in time.",
}


def of_every_route() -> list[GatewayError]:
    """What a connection, or any route at all, may be answered."""
    return [
        errors.MalformedHttp("This is not an HTTP/1.1 request that the gateway can read."),
        errors.RequestTooSlow("The request's headers did not come in time."),
        errors.HeadTooLarge("The request has more than 200 headers, or 65536 bytes of them."),
        errors.Overloaded("The gateway has too many connections. Please try again shortly."),
        errors.Interrupted("The gateway stopped before this request was answered."),
        GatewayError(""),
    ]


def of_keys() -> list[GatewayError]:
    """What a route may answer that asks for a key."""
    return [
        errors.AuthenticationFailed("The API key is not valid."),
        errors.StoreUnavailable("The database does not answer. Please try again shortly."),
    ]


def of_metrics() -> list[GatewayError]:
    return [errors.AuthenticationFailed("Metrics need the key of GATEWAY_METRICS_KEY as a Bearer token.")]


def of_models() -> list[GatewayError]:
    return [errors.ModelNotFound("The model 'gpt-image-99' does not exist, or your key may not use it.")]


def of_files() -> list[GatewayError]:
    return [
        errors.FileGone("This link has expired. Ask for the image again, or for b64_json."),
        errors.FilesUnavailable("The gateway's room for files does not answer."),
    ]


def of_job_lists() -> list[GatewayError]:
    return [errors.InvalidRequest("'limit' is 1 to 100.", param="limit", code="invalid_value")]


def of_jobs() -> list[GatewayError]:
    return [
        errors.JobNotFound("There is no such job of yours. Jobs are forgotten after a time: GATEWAY_JOB_SECONDS."),
        errors.FilesUnavailable("The gateway's disk for files is full or does not answer."),
    ]


def of_job_results() -> list[GatewayError]:
    """A job's own error, and what is said of one without an answer."""
    return [
        *of_images(),
        errors.JobWithoutAnswer("This job was cancelled before it was sent. Nothing was bought."),
        errors.FileGone("The answer of this job is kept no longer: the gateway needed the room for newer ones."),
    ]


def of_images() -> list[GatewayError]:
    """What a request for an image may be answered besides."""
    return [*_refused_requests(), *_refused_limits(), *_refused_upstream(), *_failed_upstream()]


def responses(examples: Iterable[GatewayError], reasons: Mapping[int, str] = MappingProxyType({})) -> dict[str, Any]:
    """OpenAPI's responses for those errors, by status. `reasons` are descriptions in place of the usual ones."""
    by_status: dict[int, list[WireError]] = {}
    for error in examples:
        wire = wire_error(error)
        by_status.setdefault(wire.status, []).append(wire)
    described = {**_HTTP_REASONS, **reasons}
    return {str(status): _response(described[status], by_status[status]) for status in sorted(by_status)}


def elsewhere() -> dict[str, Any]:
    """The answers that belong to no route: OpenAPI's `components.responses`."""
    return {
        "UnknownUrl": _response("No such path.", [http_refusal(404, "", "GET", "/v1/image/generations", None)]),
        "MethodNotAllowed": _response(
            "Not with this method.", [http_refusal(405, "", "GET", "/v1/images/generations", {"Allow": "POST"})]
        ),
        "NoSuchPart": _response("It has no such part.", [http_refusal(416, "", "GET", "/files", {})]),
        "PreflightRefused": _response("A browser's preflight.", [preflight_refusal("Disallowed CORS origin")]),
    }


def _response(description: str, wires: list[WireError]) -> dict[str, Any]:
    examples: dict[str, Any] = {}
    for wire in wires:
        name = wire.code or "none"
        while name in examples:
            name += "_"
        examples[name] = {"value": {"error": wire.error}}
    codes = ", ".join(f"`{code}`" for code in dict.fromkeys(wire.code for wire in wires) if code)
    return {
        "description": f"{description} Codes: {codes}.",
        "headers": header_refs("x-request-id", *(name.lower() for wire in wires for name in wire.headers)),
        "content": {"application/json": {"schema": ref("ErrorResponse"), "examples": examples}},
    }


def _refused_requests() -> list[GatewayError]:
    def refused(param: str | None, code: str, message: str, kind: str = "invalid_request_error") -> InvalidRequest:
        return InvalidRequest(message, param=param, code=code, kind=kind)

    return [
        refused(None, "invalid_json", "The request's body is not JSON: line 1, column 2."),
        refused("n", "duplicate_parameter", "The parameter 'n' is given more than once. Give it once."),
        refused("prompt", "missing_required_parameter", "Missing required parameter: 'prompt'."),
        refused("seed", "unknown_parameter", "Unknown parameter: 'seed'."),
        refused("input", "unsupported_parameter", "Streaming is only supported with n=1.", USER_ERROR),
        refused("response_format", "unsupported_value", "This gateway cannot make links to images: …"),
        refused("n", "invalid_type", "Invalid type for 'n': expected an integer, but got a string instead."),
        refused("size", "invalid_value", "Invalid size '1000x1000'. Width and height must both be …", USER_ERROR),
        refused("prompt", "empty_string", "Invalid 'prompt': empty string."),
        refused("prompt", "string_above_max_length", "Invalid 'prompt': string too long."),
        refused("n", "integer_below_min_value", "Invalid 'n': integer below minimum value."),
        refused("n", "integer_above_max_value", "Invalid 'n': integer above maximum value."),
        refused("output_compression", "invalid_png_output_compression", "Compression less than 100 is not …"),
        refused(None, "invalid_form", "The request's body is not a whole form: …"),
        refused("image", "invalid_image_file", "Invalid image file or mode for image 1, …", USER_ERROR),
        refused("images[0]", "invalid_image_url", "The image in 'images[0]' cannot be fetched. …"),
        refused("input_fidelity", "invalid_input_fidelity_model", "The parameter 'input_fidelity' is not supported …"),
        refused("images", "empty_array", "Invalid 'images': empty array."),
        refused("image", "array_above_max_length", "Invalid 'image': array too long."),
        refused(None, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable ASCII characters, …"),
        errors.IdempotencyInProgress("The same request is running as req_… in another process. …"),
        errors.IdempotencyKeyReused("This Idempotency-Key was sent with another request. …"),
        errors.AnswerLost("This request was sent to ZenMux before, as req_…, …"),
        errors.ModelForbidden("Your key may not use the model 'gpt-image-2'. Ask for it, or use another model."),
        errors.ModelNotFound("The model 'gpt-image-99' does not exist."),
        errors.BodyTooLarge("The request's body is larger than 1048576 bytes."),
        errors.UnsupportedContentType("This route reads JSON, but the request has 'text/plain'."),
        errors.Draining("The gateway is stopping. Please try again shortly."),
        errors.FilesUnavailable("The gateway's room for files is full."),
        errors.UploadsFull("The gateway has no room for more uploads now. Please try again shortly."),
    ]


def _refused_limits() -> list[GatewayError]:
    day = "The limit images:100/day of this key's user is reached: 1 image left, this request needs 4 images."
    minute = "The limit requests:60/minute of this key is reached."
    return [
        errors.QuotaExceeded(day, limit="images:100/day", scope="user", unit="images", resets_at=None),
        errors.RateLimited(minute, limit="requests:60/minute", scope="key", unit="requests", retry_after_seconds=12),
    ]


def _refused_upstream() -> list[GatewayError]:
    def refused(status: int, type_: str, code: str | None, message: str, *, retryable: bool = False) -> UpstreamRefused:
        error = UpstreamRefused(
            message, "refused", billed=False, status=status, type=type_, code=code, retryable=retryable
        )
        error.retry_after_seconds = 12 if retryable and status == 429 else None
        return error

    moderated = refused(400, USER_ERROR, "moderation_blocked", "The request was rejected by the safety system.")
    moderated.details = {"moderation_details": {"moderation_stage": "input", "categories": ["violence"]}}
    return [
        moderated,
        refused(429, "rate_limit_error", "rate_limit_exceeded", "ZenMux's rate limit is reached.", retryable=True),
        refused(502, "upstream_error", "upstream_blocked", "Something on the way to ZenMux refused the request."),
        refused(503, "server_error", "no_provider_available", "ZenMux has no provider for this model.", retryable=True),
        errors.NoAccountUp("ZenMux's rate limit is reached. Please try again shortly.", "rate_limit", 12),
        errors.NoAccountUp("The gateway's ZenMux account has no credit.", "credit", None),
        errors.UpstreamAccountFault("The gateway's own ZenMux account or key is refused.", "account_key"),
    ]


def _failed_upstream() -> list[GatewayError]:
    return [
        errors.UpstreamUnreachable("ZenMux cannot be reached.", "unreachable"),
        errors.UpstreamBroken("ZenMux's answer ended before it was whole.", "incomplete"),
        UpstreamRefused("ZenMux or its provider failed.", "provider_error", status=502, code="upstream_failed"),
        UpstreamRefused("ZenMux answered without an image.", "no_image", status=502, code="no_image"),
        errors.UpstreamTimeout("ZenMux did not answer in time.", "silence"),
    ]
