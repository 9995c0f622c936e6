"""/admin/v1/openapi.json against a running gateway: schemathesis finds no answer that it does not tell of."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.admin_api.conftest import Admin

SECONDS_MAX = 300  # on a busy machine


def ask_everything(admin: Admin, folder: Path) -> None:
    """Left out is `positive_data_acceptance`: what is there, no schema tells."""
    document = admin.get("/openapi.json").text
    (folder / "openapi.json").write_text(document)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", admin.gateway.root),
            *("--header", f"Authorization: Bearer {admin.key}", "--no-color"),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            *("--phases", "coverage,fuzzing", "--max-examples", "5"),
            *("--seed", "1", "--generation-deterministic", "--request-timeout", "30", "--warnings", "off"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.long  # a minute and a half for each engine: hundreds of requests for each route
@pytest.mark.timeout(SECONDS_MAX)
def test_no_answer_is_another_than_the_document_says(admin: Admin, tmp_path: Path) -> None:
    ask_everything(admin, tmp_path)


def test_every_route_is_in_it_with_its_refusals(admin: Admin) -> None:
    document = admin.get("/openapi.json").json()
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for operation in operations:
        assert {"200", "400", "401", "403", "404", "503"} <= operation["responses"].keys(), operation["operationId"]
        sent_once = any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", []))
        assert ("422" in operation["responses"]) == sent_once, operation["operationId"]
        assert "HTTPValidationError" not in str(operation["responses"]), "that of the framework"
        assert operation["description"], operation["operationId"]
