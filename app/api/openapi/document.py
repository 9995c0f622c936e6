"""/openapi.json as a whole: what each route takes and answers. Pure: from the operator's policy and the version."""

from typing import Any

from app.api.openapi import errors, headers, schemas
from app.api.openapi.edits import edit_examples, edit_form_schema, edit_schema
from app.api.openapi.jobs import accepted, job_errors, job_operations, job_schemas
from app.api.openapi.parameters import generation_examples, generation_schema
from app.api.openapi.schemas import ref
from app.api.routes import EDIT_JOBS, EDITS, FILES, GENERATION_JOBS, GENERATIONS, JOBS, MODELS, TASKS, USAGE
from app.errors import GatewayError
from app.images.request.normalize import RequestPolicy

_ABOUT = """OpenAI's Images API in front of ZenMux, with a key, limits and exact accounting for each person. Give
OpenAI's SDKs this server's address followed by `/v1`, and a key that begins with `sk-zg-`.

Every path of `/v1` is also reached without `/v1`, with a slash at its end, and with doubled slashes. Every error is
OpenAI's envelope. A path that does not exist is answered as `UnknownUrl` below, a method that a route does not have as
`MethodNotAllowed`, and the preflight of a page that may not call as `PreflightRefused`. Where `GATEWAY_CORS_ORIGINS` is
set, answers carry the headers that browsers ask for."""
_STREAM = """One event an image, the partial ones first, and `image_generation.completed` last (of an edit:
`image_edit.…`); each event's `data` is
an `ImageStreamEvent`. A comment, `: keep-alive`, comes while nothing else does. What goes wrong after the stream began
is an `error` event, and the last one."""
_STREAM_EXAMPLE = """event: image_generation.partial_image
data: {"type":"image_generation.partial_image","b64_json":"iVBORw0KGgo=","partial_image_index":0}

event: image_generation.completed
data: {"type":"image_generation.completed","b64_json":"iVBORw0KGgo=","usage":{"total_tokens":207}}

"""
_METRICS_TYPE = "text/plain"
_KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"x-api-key": []}, {"api-key": []}]


def openapi_document(policy: RequestPolicy, version: str) -> dict[str, Any]:
    """The document. Everything in it is checked against the code, and against a running gateway, by tests."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "zenmux-gateway", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": {
            GENERATIONS: {"post": _create_image(policy)},
            EDITS: {"post": _edit_image(policy)},
            GENERATION_JOBS: {"post": _as_job(_create_image(policy), "create_image_job")},
            EDIT_JOBS: {"post": _as_job(_edit_image(policy), "edit_image_job")},
            **_jobs(),
            MODELS: {"get": _list_models()},
            f"{MODELS}/{{model}}": {"get": _retrieve_model()},
            USAGE: {"get": _show_usage()},
            f"{FILES}/{{name}}": _files(),
            "/healthz": _probe("healthz", "The process runs.", {"200": _json("It does.", "Health")}),
            "/readyz": _probe("readyz", _READY, {"200": _json("It can.", "Readiness"), "503": _not_ready()}),
            "/metrics": {"get": _metrics()},
            "/docs": {"get": _page("docs", "This document as a page, for people.", "text/html", {"type": "string"})},
            "/openapi.json": {
                "get": _page("openapi", "This document, for programs.", "application/json", {"type": "object"})
            },
        },
        "components": {
            "schemas": {
                "ImageGenerationRequest": generation_schema(policy),
                "ImageEditRequest": edit_schema(policy),
                "ImageEditForm": edit_form_schema(policy),
                **schemas.schema_components(),
                **job_schemas(),
            },
            "responses": errors.elsewhere(),
            "headers": headers.header_components(),
            "securitySchemes": _security_schemes(),
        },
    }


_READY = "It can sell: the database takes writes, ZenMux is configured, it is not stopping. 503 names what is not so."


def _create_image(policy: RequestPolicy) -> dict[str, Any]:
    content = {
        "application/json": {"schema": ref("ImageGenerationRequest"), "examples": generation_examples(policy)},
    }
    return _of_images("create_image", "Create images from a prompt", content)


def _edit_image(policy: RequestPolicy) -> dict[str, Any]:
    content = {
        "multipart/form-data": {"schema": ref("ImageEditForm")},
        "application/json": {"schema": ref("ImageEditRequest"), "examples": edit_examples(policy)},
    }
    return _of_images("edit_image", "Edit images as a prompt says", content)


def _of_images(name: str, about: str, content: dict[str, Any]) -> dict[str, Any]:
    stream = {
        "schema": {"type": "string", "description": _STREAM},
        "example": _STREAM_EXAMPLE,
        "x-itemSchema": schemas.stream_item(),  # OpenAPI 3.2's itemSchema, which 3.1 takes as an extension
    }
    answer = {
        "description": "The images: JSON, or an event stream where `stream` is true. Of a dry run: `ImageDryRun`.",
        "headers": headers.header_refs(*headers.OF_IMAGES),
        "content": {
            "application/json": {"schema": {"anyOf": [ref("ImagesResponse"), ref("ImageDryRun")]}},
            "text/event-stream": stream,
        },
    }
    operation = _operation(
        name,
        "images",
        f"{about}, as OpenAI's endpoint of this name does.",
        {"200": answer, "202": accepted("ImageJob")},
    )
    operation["parameters"] = headers.IMAGE_REQUEST_HEADERS
    return _with_key(operation | {"requestBody": {"required": True, "content": content}}, errors.of_images())


def _as_job(operation: dict[str, Any], name: str) -> dict[str, Any]:
    """The same request by a path that makes it a job."""
    answer = operation["responses"]["200"]
    document = {"application/json": answer["content"]["application/json"]}
    answers = {"200": answer | {"content": document}, "202": accepted("ImageTask")}
    about = "As the path without `/async` does with `Prefer: respond-async`; `stream` is refused."
    responses = operation["responses"] | answers
    return operation | {"operationId": name, "description": about, "responses": responses}


def _jobs() -> dict[str, Any]:
    described = {
        name: _with_key({"operationId": name, **operation}, job_errors(name))
        for name, operation in job_operations().items()
    }
    return {
        JOBS: {"get": described["list_jobs"]},
        f"{JOBS}/{{job_id}}": {"get": described["show_job"], "delete": described["delete_job"]},
        f"{JOBS}/{{job_id}}/result": {"get": described["show_result"]},
        f"{TASKS}/{{task_id}}": {"get": described["show_task"]},
    }


def _list_models() -> dict[str, Any]:
    answer = _json("The models.", "ModelList")
    return _with_key(_operation("list_models", "models", "The models this key may use.", {"200": answer}), [])


def _retrieve_model() -> dict[str, Any]:
    about = "One model, by its name, its full id or an alias."
    operation = _operation("retrieve_model", "models", about, {"200": _json("The model.", "Model")})
    parameter = {
        "name": "model",
        "in": "path",
        "required": True,
        "description": "May hold a slash, as it is or as %2F.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)?$"},
        "example": "gpt-image-2",
    }
    return _with_key(operation | {"parameters": [parameter]}, errors.of_models())


def _show_usage() -> dict[str, Any]:
    about = "The limits that apply to this key, of whatever scope, and what is used of each."
    return _with_key(_operation("show_usage", "usage", about, {"200": _json("The limits.", "UsageReport")}), [])


def _files() -> dict[str, Any]:
    """GET and HEAD; the signature in the query is the permission."""

    def described(suffix: str) -> dict[str, Any]:
        about = "An image, by a link of an answer with `response_format: url`. Takes one Range."
        operation = _operation(f"read_file{suffix}", "images", about, {}) | {"parameters": _FILE_PARAMETERS}
        image = {"image/*": {"schema": {"type": "string", "contentMediaType": "image/png"}}}
        answers = {
            "200": _answer("The image.", image),
            "206": _answer("The part of it that was asked for.", image),
            "304": _answer("As the caller has it.", {}),
            "404": errors.elsewhere()["UnknownUrl"],
            "416": errors.elsewhere()["NoSuchPart"],
        }
        return _open(operation, errors.responses(errors.of_files()) | answers)

    return {"get": described(""), "head": described("_head")}


_FILE_PARAMETERS = [
    {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[0-9a-f]{32}\.[a-z0-9]{1,8}$"},
        "example": "0123456789abcdef0123456789abcdef.png",
    },
    {
        "name": "exp",
        "in": "query",
        "required": True,
        "description": "When the link ends, in seconds since 1970.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,12}$"},
    },
    {"name": "sig", "in": "query", "required": True, "schema": {"type": "string"}},
]


def _probe(name: str, about: str, answers: dict[str, Any]) -> dict[str, Any]:
    """GET and HEAD, neither of which asks for a key."""

    def described(suffix: str) -> dict[str, Any]:
        operation = _operation(f"{name}{suffix}", "operation", about, {})
        return _open(operation, answers)

    return {"get": described(""), "head": described("_head")}


def _not_ready() -> dict[str, Any]:
    answer: dict[str, Any] = errors.responses(errors.of_every_route())["503"]
    content = answer["content"]["application/json"]
    either = {"anyOf": [ref("Readiness"), ref("ErrorResponse")]}
    about = f"It cannot sell, and the answer says why. {answer['description']}"
    return answer | {"description": about, "content": {"application/json": content | {"schema": either}}}


def _metrics() -> dict[str, Any]:
    about = "Prometheus' text format; behind GATEWAY_METRICS_KEY where one is set."
    answer = _answer("The metrics.", {_METRICS_TYPE: {"schema": {"type": "string"}}})
    operation = _operation("metrics", "operation", about, {})
    operation["security"] = [{}, {"metrics": []}]
    return operation | {
        "responses": {"200": answer} | errors.responses([*errors.of_every_route(), *errors.of_metrics()])
    }


def _page(name: str, about: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _open(_operation(name, "operation", about, {}), {"200": _answer(about, {media_type: {"schema": schema}})})


def _operation(name: str, tag: str, about: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "tags": [tag], "description": about, "responses": answers}


def _with_key(operation: dict[str, Any], refusals: list[GatewayError]) -> dict[str, Any]:
    refused = errors.responses([*errors.of_every_route(), *errors.of_keys(), *refusals])
    return operation | {"security": _KEYS, "responses": operation["responses"] | refused}


def _open(operation: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    return operation | {"security": [], "responses": errors.responses(errors.of_every_route()) | answers}


def _json(description: str, schema: str) -> dict[str, Any]:
    return _answer(description, {"application/json": {"schema": ref(schema)}})


def _answer(description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "headers": headers.header_refs("x-request-id"), "content": content}


def _security_schemes() -> dict[str, Any]:
    also = "Read where no Authorization is sent."
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key of this gateway, `sk-zg-…`."},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": also},
        "api-key": {"type": "apiKey", "in": "header", "name": "api-key", "description": also},
        "metrics": {"type": "http", "scheme": "bearer", "description": "GATEWAY_METRICS_KEY, where it is set."},
    }
