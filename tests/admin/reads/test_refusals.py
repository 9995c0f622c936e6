"""Who was refused, as far as one may see it."""

from dataclasses import replace

from app.admin.keys import WantedKey, create_key
from app.admin.operator import Operator
from app.admin.reads.refusals import refused_row_json, report_refusals
from app.admin.teams import create_team
from app.admin.users import create_user
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.quotas.refusals.counts import RefusalCounts
from app.quotas.refusals.hours import add_refusals
from tests.admin.conftest import NOW


def users_seen(operator: Operator) -> set[str | None]:
    with report_refusals(operator) as rows:
        return {row.user for row in rows}


def test_each_role_sees_its_own(operator: Operator) -> None:
    team, counts = create_team(operator, "design").team, RefusalCounts()
    ids = {name: create_user(operator, name, team=of).user.id for name, of in (("alice", "design"), ("bob", None))}
    key = create_key(operator, WantedKey("alice", "figma")).key.key.id
    counts.count(NOW, ids["alice"], key, "insufficient_quota")
    counts.count(NOW, ids["bob"], "gone", "model_not_found")
    counts.count(NOW, "", "", "invalid_api_key")
    add_refusals(operator.engine, counts.take())
    assert users_seen(operator) == {"alice", "bob", None}
    with report_refusals(operator) as rows:
        [line] = [refused_row_json(row) for row in rows if row.user == "alice"]
    assert line == {
        "user_id": ids["alice"],
        "user": "alice",
        "key_id": key,
        "key": "figma",
        "code": "insufficient_quota",
        "count": 1,
    }
    for role, seen in ((Role.AUDITOR, {"alice", "bob", None}), (Role.LEAD, {"alice"}), (Role.MEMBER, {"bob"})):
        principal = Principal("x", role, ids["bob"], team.id)
        assert users_seen(replace(operator, principal=principal)) == seen
