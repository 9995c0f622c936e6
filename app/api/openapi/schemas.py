"""The JSON schemas of what the gateway answers. An image answer is ZenMux's and passed on: only what the gateway makes
sure of is required in it. Pure."""

from typing import Any

from app.quotas.rules.limits import Scope, Unit, Window

Schema = dict[str, Any]

ERROR_TYPES = (
    *("invalid_request_error", "image_generation_user_error", "insufficient_quota", "rate_limit_error"),
    *("server_error", "upstream_error"),
)


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def schema_components() -> dict[str, Schema]:
    """Every named schema of an answer."""
    return {**_images(), **_models(), **_usage(), **_errors(), "Health": _health(), "Readiness": _readiness()}


def stream_item() -> Schema:
    """One event of a stream, as a reader of event streams gives it."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": ref("ImageStreamEvent"),
    }
    return _object({"event": _text("The `type` in its data."), "data": data})


def _object(properties: Schema, *, required: tuple[str, ...] | None = None, description: str | None = None) -> Schema:
    """An object whose properties are all required, unless `required` names them."""
    schema = {
        "type": "object",
        "required": list(properties if required is None else required),
        "properties": properties,
    }
    return schema if description is None else schema | {"description": description}


def _text(description: str | None = None) -> Schema:
    return {"type": "string"} if description is None else {"type": "string", "description": description}


def _constant(word: str) -> Schema:
    return {"type": "string", "enum": [word]}


def _or_null(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}


def _count() -> Schema:
    return {"type": "integer", "minimum": 0}


def _images() -> dict[str, Schema]:
    details = _object({"text_tokens": _count(), "image_tokens": _count()}, required=())
    usage = _object(
        {
            **{name: _count() for name in ("total_tokens", "input_tokens", "output_tokens")},
            **dict.fromkeys(("input_tokens_details", "output_tokens_details"), details),
        },
        required=(),
        description="As ZenMux reported it; the gateway's own records may hold more than is told here.",
    )
    look: Schema = {name: _text() for name in ("background", "output_format", "quality", "size")}
    base64 = {"type": "string", "contentEncoding": "base64"}
    image = _object(
        {"b64_json": base64, "url": _text(), "revised_prompt": _text()},
        required=(),
        description="One image: `b64_json`, or a `url` where a model answers with one.",
    )

    def event(kind: str, more: Schema, required: tuple[str, ...]) -> Schema:
        kinds = {"type": "string", "enum": [f"image_generation.{kind}", f"image_edit.{kind}"]}
        properties = {"type": kinds, "b64_json": base64, "created_at": {"type": "integer"}, **look, **more}
        return _object(properties, required=("type", *required))

    return {
        "ImagesResponse": _object(
            {
                "created": {"type": "integer", "description": "Unix seconds."},
                "data": {"type": "array", "minItems": 1, "items": ref("Image")},
                **look,
                "usage": ref("ImagesUsage"),
            },
            required=("data",),
        ),
        "Image": image,
        "ImagesUsage": usage,
        "ImageStreamEvent": {
            "description": "The `data` of one event of a stream; its `type` is also the event's name.",
            "oneOf": [ref("PartialImageEvent"), ref("CompletedEvent"), ref("ErrorEvent")],
        },
        "PartialImageEvent": event(
            "partial_image", {"partial_image_index": _count()}, ("b64_json", "partial_image_index")
        ),
        "CompletedEvent": event("completed", {"usage": ref("ImagesUsage")}, ("b64_json",)),
        "ErrorEvent": _object(
            {"type": _constant("error"), "error": ref("ErrorObject")},
            description="What ends a stream that cannot go on. Nothing comes after it.",
        ),
    }


def _models() -> dict[str, Schema]:
    model = _object(
        {
            "id": _text(),
            "object": _constant("model"),
            "created": {"type": "integer", "description": "Unix seconds; 0 where it is not known."},
            "owned_by": _text(),
            "shutdown_date": {
                "type": ["string", "null"],
                "format": "date",
                "description": "The day (UTC) from which the model is served no more; null where none is known.",
            },
        }
    )
    return {
        "Model": model,
        "ModelList": _object({"object": _constant("list"), "data": {"type": "array", "items": ref("Model")}}),
    }


def _usage() -> dict[str, Schema]:
    amount: Schema = {
        "description": "A count; dollars as text, so that nothing is lost; null where it is the operator's to tell.",
        "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}, {"type": "null"}],
    }
    limit = _object(
        {
            "limit": _text("As it is written, such as `images:100/day`."),
            "scope": {
                "type": "string",
                "enum": [scope.value for scope in Scope if scope not in (Scope.DEFAULT, Scope.ACCOUNT)],
            },
            "unit": {"type": "string", "enum": [unit.value for unit in Unit]},
            "window": {"type": "string", "enum": [window.value for window in Window]},
            "model": {"type": ["string", "null"], "description": "null: every model counts."},
            "shadow": {"type": "boolean", "description": "true: it counts and refuses nothing."},
            **dict.fromkeys(("amount", "used", "pending", "left"), amount),
            "used_ratio": {"type": "number"},
            "resets_at": {"type": ["string", "null"], "format": "date-time"},
            "raised_until": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "Until then `amount` is more than usual.",
            },
        }
    )
    least_and_most = _object({"at_least": _count(), "at_most": _count()})
    dollars: Schema = {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2,9}$"}
    dry_run = _object(
        {
            "object": _constant("image.dry_run"),
            "operation": {"type": "string", "enum": ["generation", "edit"]},
            "request": {"type": "object", "description": "What would be sent to ZenMux, an edit's images apart."},
            "input_images": _count(),
            "changes": {"type": "array", "items": _text(), "description": "As in x-gateway-normalized."},
            "refusal": {
                "description": "null, or the error that the request would get from a limit now.",
                "anyOf": [ref("ErrorObject"), {"type": "null"}],
            },
            "admitted": {"type": "boolean", "description": "Whether every limit has room for the request now."},
            "images": _count(),
            "tokens": least_and_most | {"description": "Of a whole answer. The most is what is held."},
            "cost_usd": _object({"at_least": dollars, "at_most": dollars}),
            "priced": {"type": "boolean", "description": "false: the cost is what the operator set to be held."},
            "limits": {"type": "array", "items": ref("ForecastLimit")},
        },
        description="What a request would take and meet; docs/dry-run.md.",
    )
    met = _object(
        {"needed": amount, "fits": {"type": "boolean"}},
        description="`needed`: what the request would take of this limit.",
    )
    report = _object(
        {
            "object": _constant("usage"),
            "key": _object({"id": _text(), "name": _or_null(_text())}),
            "user": _text(),
            "team": _or_null(_text()),
            "limits": {"type": "array", "items": ref("LimitStatus")},
        }
    )
    forecast = {"allOf": [ref("LimitStatus"), met]}
    return {"UsageReport": report, "LimitStatus": limit, "ImageDryRun": dry_run, "ForecastLimit": forecast}


def _errors() -> dict[str, Schema]:
    moderation = _object(
        {
            "moderation_stage": {"type": "string", "enum": ["input", "output", "unknown"]},
            "categories": {"type": "array", "items": _text()},
        }
    )
    error = _object(
        {
            "message": _text("For people. It names no prompt and no secret."),
            "type": {"type": "string", "enum": list(ERROR_TYPES)},
            "param": _or_null(_text("The parameter at fault.")),
            "code": _or_null(_text("A word for programs; docs/errors.md lists them. A vendor's own may be another.")),
            "moderation_details": moderation,
        },
        required=("message", "type", "param", "code"),
    )
    return {"ErrorObject": error, "ErrorResponse": _object({"error": ref("ErrorObject")})}


def _health() -> Schema:
    return _object({"status": _constant("ok")})


def _readiness() -> Schema:
    return _object(
        {
            "status": {"type": "string", "enum": ["ready", "not ready"]},
            "database": _text("`ok`, or what is wrong."),
            "upstream": _text("`ok`, or what is wrong, or that a sandbox plays ZenMux."),
            "draining": {"type": "string", "enum": ["yes", "no"], "description": "yes: the gateway is stopping."},
        }
    )
