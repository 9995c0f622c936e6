"""/openapi.json against a running gateway: schemathesis finds no answer that it does not tell of, every example is
accepted as it stands, and a client made from it works."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.examples import examples
from tests.servers import Key, RunningGateway, assert_bill_is_ledger, fetch_json

NODE = Path(__file__).parents[1] / "node"
SECONDS_MAX = 240  # on a busy machine; alone it is done in ten


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    """Of one named schema of the document."""
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def ask_everything(gateway: RunningGateway, key: Key, folder: Path, *options: str) -> None:
    """Schemathesis, the same every time: examples, values at their bounds, and a few by chance (more in `make
    test-full`); sound and unsound ones.

    Left out is `positive_data_acceptance`: what goes together, and which model takes what, no schema tells.
    """
    document = fetch_json(f"{gateway.root}/openapi.json")
    answer = document["paths"]["/v1/images/generations"]["post"]["responses"]["200"]["content"]
    # What it reads of a stream are its events, by the name that OpenAPI 3.2 has for their schema.
    answer["text/event-stream"] = {"itemSchema": answer["text/event-stream"]["x-itemSchema"]}
    (folder / "openapi.json").write_text(json.dumps(document))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", gateway.root, "--no-color"),
            *("--header", f"Authorization: Bearer {key.text}"),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            *("--max-examples", str(examples(3)), *options, "--seed", "1", "--generation-deterministic"),
            *("--request-timeout", "30", "--warnings", "off"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.timeout(SECONDS_MAX)
def test_no_answer_is_another_than_the_document_says(
    gateway: RunningGateway, sandbox: SandboxServer, tmp_path: Path
) -> None:
    key = gateway.store.key("requests:100000/day", "usd:1000/month")
    ask_everything(gateway, key, tmp_path, "--phases", "examples,coverage,fuzzing")
    assert len(gateway.store.settled()) >= 6
    assert_bill_is_ledger(gateway, sandbox)


@pytest.mark.long("the lenient mode is asked as much in every run")
@pytest.mark.timeout(SECONDS_MAX)
def test_no_answer_is_another_in_strict_mode(
    start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path
) -> None:
    gateway = start_gateway(sandbox.url, compatibility="strict")
    ask_everything(gateway, gateway.store.key(), tmp_path, "--phases", "coverage", "--include-tag", "images")
    assert_bill_is_ledger(gateway, sandbox)


@pytest.mark.parametrize("compatibility", ["lenient", "strict"])
def test_every_example_is_accepted_as_it_stands(
    start_gateway: StartGateway, sandbox: SandboxServer, compatibility: str
) -> None:
    gateway = start_gateway(sandbox.url, compatibility=compatibility)
    document = fetch_json(f"{gateway.root}/openapi.json")
    content = document["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"]
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    assert ("older_client" in content["examples"]) is (compatibility == "lenient")
    for name, example in content["examples"].items():
        assert validator(document, "ImageGenerationRequest").is_valid(example["value"]), name
        answer = httpx2.post(f"{gateway.url}/images/generations", json=example["value"], headers=headers, timeout=60)
        assert answer.status_code == 200, (name, answer.text)
        if answer.headers["content-type"].startswith("application/json"):
            validator(document, "ImagesResponse").validate(answer.json())
    assert len(gateway.store.settled()) == len(content["examples"])
    assert_bill_is_ledger(gateway, sandbox)


@pytest.mark.parametrize(
    ("directives", "kinds"),
    [
        ("", ["image_generation.partial_image", "image_generation.completed"]),
        ("[sandbox: error-event]", ["image_generation.partial_image", "error"]),
    ],
)
def test_the_events_of_a_stream_are_those_of_the_document(
    gateway: RunningGateway, sandbox: SandboxServer, directives: str, kinds: list[str]
) -> None:
    document = fetch_json(f"{gateway.root}/openapi.json")
    body = {"model": "gpt-image-2", "prompt": f"a house {directives}", "size": "1024x1024", "quality": "low"}
    answer = httpx2.post(
        f"{gateway.url}/images/generations",
        json={**body, "stream": True, "partial_images": 1},
        headers={"authorization": f"Bearer {gateway.store.key().text}"},
        timeout=60,
    )
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(each) for each in data]
    assert [event["type"] for event in events] == kinds
    for event in events:
        validator(document, "ImageStreamEvent").validate(event)
    assert_bill_is_ledger(gateway, sandbox)


def ask(gateway: RunningGateway, key: Key | None, **fields: Any) -> httpx2.Response:
    body = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low", **fields}
    headers = {} if key is None else {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60)


def assert_is_documented(document: dict[str, Any], answer: httpx2.Response) -> None:
    """Its status, its code, its form and every header of ours."""
    documented = document["paths"]["/v1/images/generations"]["post"]["responses"][str(answer.status_code)]
    validator(document, "ErrorResponse").validate(answer.json())
    examples = documented["content"]["application/json"]["examples"].values()
    assert answer.json()["error"]["code"] in {None, *(each["value"]["error"]["code"] for each in examples)}
    ours = {name for name in answer.headers if name.startswith("x-") or name in document["components"]["headers"]}
    assert ours <= documented["headers"].keys()


REFUSED_UPSTREAM = (
    *(("status=400", 400), ("status=422", 400), ("status=413", 400), ("moderation", 400), ("moderation=azure", 400)),
    *(("status=404", 404), ("status=429 retry-after=7", 429), ("status=402", 503), ("status=403", 503)),
    *(("status=500", 502), ("status=502", 503), ("status=503", 502), ("status=504", 504), ("status=520", 502)),
    *(("status=524", 504), ("html", 502), ("garbage", 502), ("empty", 502), ("reset", 502)),
)


def test_what_zenmux_makes_of_a_request_is_documented(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    document, key = fetch_json(f"{gateway.root}/openapi.json"), gateway.store.key()
    for directive, status in REFUSED_UPSTREAM:
        answer = ask(gateway, key, prompt=f"[sandbox: {directive}]")
        assert answer.status_code == status, (directive, answer.text)
        assert_is_documented(document, answer)
    assert_bill_is_ledger(gateway, sandbox)


def test_what_the_gateway_refuses_is_documented(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, body_bytes_max=10_000)
    document, key = fetch_json(f"{gateway.root}/openapi.json"), gateway.store.key()
    elsewhere = gateway.store.key(models=("openai/gpt-image-1.5",))
    url, headers = f"{gateway.url}/images/generations", {"authorization": f"Bearer {key.text}"}
    refused = [
        (401, ask(gateway, None)),
        (401, ask(gateway, Key("sk-zg-wrong", "wrong"))),
        (400, ask(gateway, key, n=11)),
        (403, ask(gateway, elsewhere)),
        (404, ask(gateway, key, model="gpt-image-99")),
        (413, ask(gateway, key, prompt="x" * 20_000)),
        (415, httpx2.post(url, content=b"prompt", headers=headers | {"content-type": "text/plain"})),
        (429, ask(gateway, gateway.store.key("images:0/day"))),
        (429, ask(gateway, gateway.store.key("requests:0/minute"))),
    ]
    for status, answer in refused:
        assert answer.status_code == status, answer.text
        assert_is_documented(document, answer)
    assert_bill_is_ledger(gateway, sandbox)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")
def test_a_client_made_from_the_document_works(gateway: RunningGateway, sandbox: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(NODE / "generated_client.ts", tmp_path / "client.ts")
    (tmp_path / "openapi.json").write_text(json.dumps(fetch_json(f"{gateway.root}/openapi.json")))
    key = gateway.store.key("images:10/day")
    environment = {"PATH": os.environ["PATH"], "GATEWAY_ROOT": gateway.root, "GATEWAY_KEY": key.text}

    def node(*arguments: str) -> str:
        ran = subprocess.run(
            ["node", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    node("node_modules/openapi-typescript/bin/cli.js", "openapi.json", "--output", "gateway.d.ts")
    strict = ("--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--skipLibCheck")
    target = ("--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,dom.iterable")
    node("node_modules/typescript/bin/tsc", *strict, *target, "client.ts")
    told = json.loads(node("client.js"))
    assert "gpt-image-2" in told["models"]
    assert told["model"] == "gpt-image-2"
    assert told["image"]["images"] == ["iVBORw0K"]  # a PNG begins so
    assert told["image"]["tokens"] > 0
    assert told["image"]["id"].startswith("req_")
    assert [event.split()[0] for event in told["events"]] == ["partial", "completed"]
    assert told["refused"] == {"code": "integer_above_max_value", "param": "n", "type": "invalid_request_error"}
    assert told["limits"] == [["images:10/day", 2, 8]]
    assert told["ready"] == "ready"
    assert_bill_is_ledger(gateway, sandbox)
