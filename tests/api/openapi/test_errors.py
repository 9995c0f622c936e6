"""Every error that docs/errors.md lists is in the document, made by the code that answers it, and no other."""

import re
from typing import Any

from app.api.openapi import errors
from app.api.openapi.schemas import ERROR_TYPES
from tests.test_docs import listed_in_column, read

EVERYTHING = [
    *errors.of_every_route(),
    *errors.of_keys(),
    *errors.of_metrics(),
    *errors.of_models(),
    *errors.of_files(),
    *errors.of_jobs(),
    *errors.of_job_results(),
    *errors.of_images(),
]


def examples(responses: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        example["value"]["error"]
        for response in responses.values()
        for example in response["content"]["application/json"]["examples"].values()
    ]


def test_every_code_of_the_errors_page_is_told_and_no_other() -> None:
    told = examples(errors.responses(EVERYTHING) | errors.elsewhere())
    elsewhere = {"Administration", "What operators see"}  # the one is another document's, the other is no answer
    headings = [
        each for each in re.findall(r"^## (.+)$", read("docs/errors.md"), re.MULTILINE) if each not in elsewhere
    ]
    listed = set().union(*(listed_in_column("docs/errors.md", heading, 2) for heading in headings))
    assert {error["code"] for error in told} == listed
    assert {error["type"] for error in told} == set(ERROR_TYPES)


def test_each_status_tells_its_codes_and_the_headers_that_its_errors_carry() -> None:
    responses = errors.responses(EVERYTHING)
    assert set(responses) == {
        *map(str, (400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 429, 431, 500, 502, 503, 504))
    }
    assert {"x-request-id", "www-authenticate", "x-should-retry"} == responses["401"]["headers"].keys()
    assert {"x-request-id", "retry-after", "x-should-retry"} == responses["429"]["headers"].keys()
    assert "`insufficient_quota`, `rate_limit_exceeded`." in responses["429"]["description"]
    assert "allow" in errors.elsewhere()["MethodNotAllowed"]["headers"]
