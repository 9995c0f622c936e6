"""/admin/v1/openapi.json against a running gateway: schemathesis finds no answer that it does not tell of."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.admin_api.document import document_of
from app.admin_api.door import admin_door
from app.database.clock import to_ms
from app.database.engine import writing
from app.database.schema.total_tables import reconciliations, refusal_hours
from app.identity.people.roles import Role
from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.admin_api.test_jobs import submit
from tests.admin_api.test_records import buy, rows, sandbox, upstream_url
from tests.servers import assert_bill_is_ledger, wait_until

__all__ = ["sandbox", "upstream_url"]

SECONDS_MAX = 300  # on a busy machine
LISTS = (
    *("teams", "users", "keys", "limits", "usage", "requests", "refusals", "changes", "catalog", "accounts"),
    *("reconciliations", "jobs", "files"),
)


def live_a_while(admin: Admin) -> None:
    """Something is in every list, so that its rows are compared with the document."""
    key = admin.key_of("mia")
    limit = {"scope": "user", "name": "mia", "unit": "usd", "window": "month", "amount": "5.50"}
    assert admin.ask("PUT", "/limits", json=limit).status_code == 201
    assert buy(admin, key, response_format="url").status_code == 200
    assert buy(admin, key, prompt="a house [sandbox: moderation]").status_code == 400
    submit(admin, key)
    submit(admin, key, "[sandbox: moderation]")
    hour = to_ms(utc_now().replace(minute=0, second=0, microsecond=0))
    refusal = {"hour_start_ms": hour, "user_id": "", "key_id": "", "code": "invalid_api_key", "count": 2}
    day = {"day_start_ms": hour // 86_400_000 * 86_400_000, "model": "m", "account": "", "checked_at_ms": hour}
    billed = {"ledger_requests": 1, "ledger_nanousd": 10, "billed_requests": 1, "billed_nanousd": 12}
    with writing(admin.gateway.store.engine) as connection:
        connection.execute(insert(refusal_hours), [refusal])
        connection.execute(insert(reconciliations), [day | billed])
    wait_until(lambda: not rows(admin, "/jobs?status=in_progress"), "the jobs have ended")
    for name in LISTS:
        assert rows(admin, f"/{name}"), name


def ask_everything(admin: Admin, folder: Path) -> None:
    """Left out is `positive_data_acceptance`: what is there, no schema tells."""
    document = admin.get("/openapi.json").text
    (folder / "openapi.json").write_text(document)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", admin.gateway.root),
            *("--header", f"Authorization: Bearer {admin.key}", "--no-color"),
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            *("--phases", "coverage,fuzzing", "--max-examples", "15"),
            *("--seed", "1", "--generation-deterministic", "--request-timeout", "30", "--warnings", "off"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.long  # half a minute for each engine: some 70 requests for each route
@pytest.mark.timeout(SECONDS_MAX)
def test_no_answer_is_another_than_the_document_says(
    admin: Admin, tmp_path: Path, sandbox: SandboxServer, everybody: dict[Role, Admin]
) -> None:
    live_a_while(admin)
    ask_everything(admin, tmp_path)
    assert_bill_is_ledger(admin.gateway, sandbox, 2)


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


def test_openais_reports_describe_each_parameter_and_how_many_buckets_there_may_be() -> None:
    paths = document_of(admin_door().openapi())["paths"]
    for path, most in (("usage/images", ("1440", "168", "31")), ("costs", ("180",))):
        parameters = {each["name"]: each for each in paths[f"/v1/organization/{path}"]["get"]["parameters"]}
        assert all(each["description"] for each in parameters.values())
        assert all(f"up to {number}" in parameters["limit"]["description"] for number in most)
