"""The document as a whole: every route and method there is, sound in itself, and made when somebody asks for it."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.openapi.models import OpenAPI
from httpx2 import ASGITransport
from jsonschema_rs import meta

from app import main
from app.api.endpoints.docs import docs_router
from app.api.openapi.document import openapi_document
from app.configuration.configuration import ConfigurationState
from app.configuration.current import CurrentConfiguration
from app.configuration.reading import check
from app.images.catalog.catalog import load_catalog
from app.images.request.normalize import RequestPolicy
from app.main import create_app, utc_now
from app.settings.settings import Settings
from app.telemetry.metrics import Metrics
from tests.api.test_layers import inwards

DOCUMENT = openapi_document(
    RequestPolicy(
        load_catalog(), lenient=True, default_model=None, successor_model="gpt-image-2", unknown_model_hold_nanousd=None
    ),
    "1.2.3",
)
# Read by people and by the generated client's own code: nothing in the document needs them.
UNREFERENCED = {
    "responses/NoSuchPart",
    "responses/UnknownUrl",
    "responses/MethodNotAllowed",
    "responses/PreflightRefused",
}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_has_every_route_and_method_there_is() -> None:
    *_, fastapi = inwards(create_app(check(Settings(_env_file=None)).configuration))
    assert isinstance(fastapi, FastAPI)
    served = {
        (path.replace("{model_id}", "{model}"), method)
        for path, methods in fastapi.openapi()["paths"].items()
        for method in methods
    }
    assert {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods} == served


def test_it_is_sound() -> None:
    OpenAPI.model_validate(DOCUMENT)
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert meta.is_valid(schema), name


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    found = {reference.removeprefix("#/components/") for reference in references(DOCUMENT)}
    there = {f"{kind}/{name}" for kind in ("schemas", "responses", "headers") for name in DOCUMENT["components"][kind]}
    assert found <= there
    assert there - found == UNREFERENCED


def test_every_answer_has_a_description_and_every_error_the_envelope() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                assert answer["description"], (path, status)
                assert "x-request-id" in answer["headers"], (path, status)
                if int(status) >= 400 and path != "/readyz":
                    assert answer["content"]["application/json"]["schema"] == {
                        "$ref": "#/components/schemas/ErrorResponse"
                    }


def test_keys_are_asked_for_where_the_document_says_so() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            named = {name for alternative in operation["security"] for name in alternative}
            assert named <= schemes.keys()
            assert ("401" in operation["responses"]) is bool(named), path


async def test_it_is_made_once_and_only_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def describe(policy: RequestPolicy, version: str) -> dict[str, Any]:
        made.append(version)
        return openapi_document(policy, version)

    monkeypatch.setattr(main, "openapi_document", describe)
    gateway = create_app(check(Settings(_env_file=None)).configuration)
    assert made == []
    async with httpx2.AsyncClient(transport=ASGITransport(gateway), base_url="http://gateway") as client:
        first, second = await client.get("/openapi.json"), await client.get("/openapi.json")
    assert first.json() == second.json()
    assert first.json()["openapi"] == "3.1.0"
    assert len(made) == 1


async def test_a_reload_that_brings_other_models_makes_it_anew() -> None:
    metrics = Metrics("1", 1)
    current = CurrentConfiguration(check(Settings(_env_file=None)).configuration, metrics)
    app = FastAPI(openapi_url=None, docs_url=None)
    app.include_router(docs_router(lambda: current.policy, lambda policy: {"default": policy.default_model}))
    async with httpx2.AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as client:
        assert (await client.get("/openapi.json")).json() == {"default": None}
        other = check(Settings(_env_file=None, default_model="gpt-image-2")).configuration
        current.use(ConfigurationState(1, other, utc_now()))
        assert (await client.get("/openapi.json")).json() == {"default": "gpt-image-2"}
