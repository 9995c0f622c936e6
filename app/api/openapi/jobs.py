"""Jobs in /openapi.json: their routes, their forms, and the answer that accepts one. Pure."""

from typing import Any

from app.api.openapi import errors, headers
from app.api.openapi.schemas import Schema, ref

STATES = ("in_progress", "completed", "failed", "cancelled", "incomplete")
_ID: dict[str, Any] = {
    "in": "path",
    "required": True,
    "description": "As the submission gave it.",
    "schema": {"type": "string", "pattern": "^job_[0-9a-f]{32}$"},
    "example": "job_0123456789abcdef0123456789abcdef",
}
_PAGE: list[dict[str, Any]] = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}},
    {"name": "after", "in": "query", "schema": {"type": "string"}, "description": "A job's id: those older than it."},
]


def accepted(schema: str) -> dict[str, Any]:
    """The 202 of a submission. The image is not there yet; the job tells of it."""
    names = ("x-request-id", "x-gateway-estimated-cost-usd", "x-gateway-normalized", "location", "retry-after")
    return {
        "description": "A job, which goes on without its caller: with `Prefer: respond-async`, or by a path of jobs.",
        "headers": headers.header_refs(*names, "preference-applied"),
        "content": {"application/json": {"schema": ref(schema)}},
    }


def job_operations() -> dict[str, dict[str, Any]]:
    """The operations on jobs by name; each asks for a key."""
    answer = {
        "200": _job_answer("The answer that the direct call would have given.", "ImagesResponse"),
        "202": _job_answer("It is still running.", "ImageJob"),
    }
    return {
        "list_jobs": _described("Your jobs, the newest first.", {"200": _job_answer("Jobs.", "ImageJobList")})
        | {"parameters": _PAGE},
        "show_job": _of_one("A job, with its answer once it is completed.", {"200": _job_answer("It.", "ImageJob")}),
        "delete_job": _of_one(
            "Cancels a job that is not sent yet; any other is forgotten. What was bought is charged.",
            {"200": _job_answer("What became of it.", "ImageJob", "ImageJobDeleted")},
        ),
        "show_result": _of_one("The answer alone, or the error.", answer),
        "show_task": _of_one(
            "A job, in the form that other gateways give tasks.", {"200": _job_answer("It.", "ImageTask")}, "task_id"
        ),
    }


def job_schemas() -> dict[str, Schema]:
    """The named schemas of jobs."""
    text: Schema = {"type": "string"}
    seconds: Schema = {"type": "integer", "description": "Unix seconds."}
    result = {"description": "The whole answer, once there is one.", "anyOf": [ref("ImagesResponse"), {"type": "null"}]}
    error = {"anyOf": [ref("ErrorObject"), {"type": "null"}]}
    completed_at: Schema = {"type": ["integer", "null"], "description": "Unix seconds, once it has ended."}
    times: Schema = {"created_at": seconds, "completed_at": completed_at, "expires_at": seconds}
    shared: Schema = {"id": text, **times, "poll_url": text, "error": error}
    job = shared | {
        "object": {"type": "string", "enum": ["image.job"]},
        "status": {"type": "string", "enum": list(STATES)},
        "operation": {"type": "string", "enum": ["generation", "edit"]},
        "model": text,
        "request_id": text,
        "result": result,
    }
    task = shared | {
        "object": {"type": "string", "enum": ["image.generation.task"]},
        "task_id": text,
        "status": {"type": "string", "enum": ["processing", "completed", "failed"]},
        "http_status": {"type": ["integer", "null"]},
        "image_url": {"type": ["string", "null"]},
        "result": result,
    }
    listed = {
        "object": {"type": "string", "enum": ["list"]},
        "data": {"type": "array", "items": ref("ImageJob")},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    }
    deleted = {
        "id": text,
        "object": {"type": "string", "enum": ["image.job.deleted"]},
        "deleted": {"type": "boolean", "enum": [True]},
    }
    forms = {"ImageJob": job, "ImageTask": task, "ImageJobList": listed, "ImageJobDeleted": deleted}
    return {name: {"type": "object", "required": list(fields), "properties": fields} for name, fields in forms.items()}


def _described(about: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "responses": answers, "tags": ["jobs"]}


def _of_one(about: str, answers: dict[str, Any], name: str = "job_id") -> dict[str, Any]:
    return _described(about, answers) | {"parameters": [{"name": name, **_ID}]}


def _job_answer(description: str, *names: str) -> dict[str, Any]:
    schema = ref(names[0]) if len(names) == 1 else {"anyOf": [ref(name) for name in names]}
    return {
        "description": description,
        "headers": headers.header_refs("x-request-id", "retry-after"),
        "content": {"application/json": {"schema": schema}},
    }


def job_errors(name: str) -> list[Any]:
    """What an operation on jobs may be answered besides."""
    if name == "list_jobs":
        return errors.of_job_lists()
    if name == "show_result":
        return [*errors.of_jobs(), *errors.of_job_results()]
    return errors.of_jobs()
