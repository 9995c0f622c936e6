"""OpenAI's SDK is a client of our reports, and they equal `usage report` to the nano-dollar."""

from typing import Any

import openai
import pytest

from app.admin.usage import usage_report
from app.identity.people.roles import Role
from app.main import utc_now
from app.quotas.reports.usage import Grouping
from app.sandbox.server import SandboxServer
from tests.admin_api.conftest import Admin
from tests.admin_api.test_records import buy, sandbox, upstream_url
from tests.servers import fetch_json

__all__ = ["sandbox", "upstream_url"]


def reported(admin: Admin, by: Grouping) -> dict[str, Any]:
    with usage_report(admin.operator, by) as rows:
        return {row.id: row for row in rows}


def test_the_sdk_reads_what_the_report_says(admin: Admin, sandbox: SandboxServer, everybody: dict[Role, Admin]) -> None:
    for name, fields in (("mia", {}), ("mia", {"quality": "high", "n": 2}), ("otto", {"size": "1536x1024"})):
        assert buy(admin, admin.key_of(name), **fields).status_code == 200
    admin.gateway.store.settled(3)
    start = int(utc_now().timestamp()) - 20 * 3600  # in the 24 hours of a page
    with openai.OpenAI(
        admin_api_key=everybody[Role.AUDITOR].key, api_key="none", base_url=admin.gateway.url, max_retries=0
    ) as client:
        of_usage, of_costs = client.admin.organization.usage.images, client.admin.organization.usage.costs
        by_user = of_usage(start_time=start, group_by=["user_id"], bucket_width="1h")
        images: dict[str, list[int]] = {}
        for bucket in by_user.data:
            for result in bucket.results:
                sums = images.setdefault(str(result.user_id), [0, 0])  # type: ignore[union-attr]
                sums[0] += result.images  # type: ignore[union-attr]
                sums[1] += result.num_model_requests  # type: ignore[union-attr]
        report = reported(admin, Grouping.USER)
        assert {user: tuple(sums) for user, sums in images.items()} == {
            row.id: (row.images, row.requests - row.released) for row in report.values()
        }
        sizes = of_usage(start_time=start, group_by=["size", "source"], user_ids=[*report])
        found = {(each.size, each.source) for bucket in sizes.data for each in bucket.results}  # type: ignore[union-attr]
        assert found == {("1024x1024", "image.generation"), ("1536x1024", "image.generation")}
        costs = of_costs(start_time=start, group_by=["project_id", "line_item"])
        nanousd: dict[str, int] = {}
        for day in costs.data:
            for each in day.results:
                shown = each.to_dict()
                team = str(shown["project_id"])
                nanousd[team] = nanousd.get(team, 0) + int(str(shown["amount_nanousd"]))
                assert shown["line_item"] == "openai/gpt-image-2, images"
                assert each.amount is not None  # type: ignore[union-attr]
                assert round((each.amount.value or 0) * 10**9) == shown["amount_nanousd"]  # type: ignore[union-attr]
        assert nanousd == {row.id: row.nanousd for row in reported(admin, Grouping.TEAM).values()}
    assert admin.gateway.store.findings(fetch_json(sandbox.bill_url)) == []


@pytest.mark.parametrize("path", ["/v1/organization/usage/images", "/v1/organization/costs"])
def test_admins_and_auditors_only(everybody: dict[Role, Admin], path: str) -> None:
    for role, client in everybody.items():
        answer = client.get(f"{path}?start_time=1790000000")
        assert answer.status_code == (200 if role in (Role.ADMIN, Role.AUDITOR) else 403), answer.text
    assert everybody[Role.ADMIN].get(f"{path}?start_time=no").json()["error"]["param"] == "start_time"
