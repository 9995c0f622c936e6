"""Limits: set with what is past, removed, listed and explained, on every kind of target."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from app.admin.keys import WantedKey, create_key
from app.admin.limits import Target, list_limits, remove_limits, set_limits, show_target
from app.admin.operator import Operator
from app.admin.reads.explain import explain_key, explain_user
from app.admin.teams import add_to_team, create_team
from app.database.schema import ledger_tables
from app.errors import NotFound
from app.quotas.reports.audit import audit
from app.quotas.reports.limit_status import limit_status_of_key
from app.quotas.rules.limits import Scope, parse_limit
from tests.admin.conftest import NOW
from tests.cli.commands.test_usage import reservation
from tests.quotas.making import add_totals_up


def test_setting_a_limit_counts_the_past_whoever_sets_it(operator: Operator) -> None:
    with operator.writing() as connection:
        rows = [reservation(number, NOW - timedelta(days=90 * number)) for number in range(4)]
        connection.execute(insert(ledger_tables.reservations), rows)
        add_totals_up(connection)
    set_limits(operator, Target(Scope.GATEWAY), [parse_limit("images:100/total"), parse_limit("concurrent:7")])
    with operator.reading() as connection:
        statuses = limit_status_of_key(connection, "", "", None, NOW)
        assert {status.limit.unit: status.used for status in statuses} == {"images": 4, "concurrent": 0}
        assert audit(connection, NOW) == []


def test_limits_of_every_target_are_set_listed_and_removed(operator: Operator) -> None:
    key = create_key(operator, WantedKey("alice")).key.key.id
    create_team(operator, "design")
    targets = {
        "the gateway": Target(Scope.GATEWAY),
        "new users": Target(Scope.DEFAULT),
        f"the key {key}": Target(Scope.KEY, key),
        "the team design": Target(Scope.TEAM, "design"),
        "the user alice": Target(Scope.USER, "alice"),
    }
    for whose, target in targets.items():
        assert set_limits(operator, target, [parse_limit("images:5/day")]).whose == whose
        assert [view.limit.scope for view in list_limits(operator, target)] == [target.scope]
    names = {view.limit.scope.value: view.name for view in list_limits(operator)}
    assert names == {"gateway": None, "default": None, "key": f"{key} (alice)", "team": "design", "user": "alice"}
    assert remove_limits(operator, targets["new users"], [parse_limit("images:0/day")]).limits == ()
    with pytest.raises(NotFound, match="no such limit"):
        remove_limits(operator, targets["new users"], [parse_limit("images:0/day")])
    with pytest.raises(NotFound, match="no user"):
        set_limits(operator, Target(Scope.USER, "bob"), [parse_limit("images:5/total")])


def test_a_shadow_limit_that_takes_the_place_of_a_real_one_is_told(operator: Operator) -> None:
    everybody = Target(Scope.GATEWAY)
    set_limits(operator, everybody, [parse_limit("images:5/day"), parse_limit("usd:5/day")])
    now = set_limits(operator, everybody, [parse_limit("images:9/day")], shadow=True)
    assert [limit.amount for limit in now.replaced] == [5]
    assert show_target(operator, everybody).limits == now.limits


def test_what_applies_to_a_key_and_to_a_user(operator: Operator) -> None:
    key = create_key(operator, WantedKey("alice", models=("openai/gpt-image-2",), limits=[parse_limit("images:5/day")]))
    create_team(operator, "design")
    add_to_team(operator, "design", ["alice"])
    set_limits(operator, Target(Scope.TEAM, "design"), [parse_limit("usd:9/month")])
    set_limits(operator, Target(Scope.GATEWAY), [parse_limit("images:1/day@openai/gpt-image-1.5")])
    explained = explain_key(operator, key.key.key.id)
    assert explained.whose == key.key.key.id
    assert [(each.status.written, each.name) for each in explained.statuses] == [
        ("images:5/day", f"{key.key.key.id} (alice)"),
        ("usd:9.00/month", "design"),
    ]
    assert [each.as_json()["scope"] for each in explain_user(operator, "alice").statuses] == ["team", "gateway"]
