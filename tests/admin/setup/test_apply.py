"""gateway.yaml applied to real stores: what it makes, changes and leaves alone; twice is once."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, select

from app.admin.keys import (
    WantedKey,
    change_key,
    create_key,
    disable_key,
    enable_key,
    key_opens,
    list_keys,
    rotate_key,
    show_key,
)
from app.admin.limits import Target, list_limits, put_limit, raise_limits, remove_limit, remove_limits, set_limits
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import Applied, apply_setup, plan_setup
from app.admin.teams import add_to_team, create_team, list_teams, remove_from_team
from app.admin.users import (
    create_user,
    disable_user,
    enable_user,
    list_users,
    put_user,
    set_user_role,
    set_user_team,
    show_user,
)
from app.database.engine import create_engine, reading
from app.database.schema import change_tables, ledger_tables
from app.errors import Conflict
from app.identity.keys.format import imported_secret_sha256
from app.identity.people.roles import Role
from app.images.catalog.catalog import load_catalog
from app.quotas.reports.audit import audit
from app.quotas.reports.limit_status import limit_status_of_key
from app.quotas.rules.limits import Scope, parse_limit
from app.setup.managed import Managed
from app.setup.reading import read_setup
from app.setup.tree import SetupError
from tests.admin.conftest import NOW
from tests.cli.commands.test_usage import reservation
from tests.quotas.making import add_totals_up

NAMES = ModelNames(load_catalog(), passes_unknown=False, successor="gpt-image-2")
FILE = """\
version: 1
gateway: {limits: [usd:300/month]}
defaults: {limits: [images:100/day, concurrent:4]}
teams:
  design: {limits: [usd:20/day]}
users:
  alice: {team: design, role: lead, limits: [usd:5/day, images:50/day]}
  bob: {}
keys:
  alice/figma: {models: [gpt-image-2], expires: 2027-01-31, limits: [concurrent:1], shadow_limits: [images:9/day]}
"""


def apply(operator: Operator, text: str, *, prune: bool = False, name: str = "conf/gateway.yaml") -> Applied:
    return apply_setup(operator, read_setup(text.encode(), name), NAMES, prune=prune)


def diff(operator: Operator, text: str, *, prune: bool = False) -> list[str]:
    return list(plan_setup(operator, read_setup(text.encode(), "gateway.yaml"), NAMES, prune=prune).lines())


def recorded(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        table = change_tables.admin_events
        rows = connection.execute(select(table.c.actor, table.c.action).order_by(table.c.id))
        return [(row.actor, row.action) for row in rows]


def test_everything_is_made_with_one_line_each_in_the_list_of_changes(operator: Operator) -> None:
    digest = read_setup(FILE.encode(), "x").digest
    applied = apply(operator, FILE)
    alice, bob = list_users(operator)
    assert (alice.user.team_name, alice.user.role, bob.user.team_name, bob.user.role) == (
        "design",
        "lead",
        None,
        "member",
    )
    assert alice.limits == ("images:50/day", "concurrent:4", "usd:5.00/day")
    assert bob.limits == ("images:100/day", "concurrent:4")
    assert list_teams(operator)[0].limits == ("usd:20.00/day",)
    [key] = list_keys(operator)
    assert (key.key.user_name, key.key.name, key.key.models) == ("alice", "figma", ("openai/gpt-image-2",))
    assert key.key.expires_at == datetime(2027, 2, 1, tzinfo=UTC)
    assert key.limits == ("concurrent:1", "images:9/day (shadow)")
    assert applied.unclaimed == ((("alice", "figma"), key.key.id),)
    made = recorded(operator.engine)
    assert {actor for actor, _ in made} == {f"file:{digest}"}
    assert sorted(action for _, action in made) == [
        "key.create", *["limit.set"] * 11, "team.create", "user.create", "user.create"
    ]  # fmt: skip
    with reading(operator.engine) as connection:
        revision = connection.execute(select(change_tables.revision.c.value)).scalar_one()
    assert revision >= len(made)


def test_an_account_gets_its_limits(operator: Operator) -> None:
    text = "version: 1\naccounts:\n  main: {key_env: MAIN, limits: [usd:50/day]}\n"
    apply(operator, text)
    [limit] = list_limits(operator)
    assert (limit.limit.scope, limit.limit.scope_id, limit.as_json()["limit"]) == (
        Scope.ACCOUNT,
        "main",
        "usd:50.00/day",
    )
    assert diff(operator, text) == []
    assert diff(operator, "version: 1\n", prune=True) == [
        "- limit usd:50.00/day of the account main: raised, because it is removed"
    ]


def test_twice_changes_nothing(operator: Operator) -> None:
    apply(operator, FILE)
    before = recorded(operator.engine)
    assert diff(operator, FILE) == []
    assert apply(operator, FILE).plan.count == 0
    assert apply(operator, FILE, prune=True).plan.count == 0
    assert recorded(operator.engine) == before


def test_a_key_has_no_secret_until_it_is_rotated(operator: Operator) -> None:
    [(_, key_id)] = apply(operator, FILE).unclaimed
    minted = rotate_key(operator, key_id, timedelta())
    assert minted.key.key.name == "figma"
    assert key_opens(operator, minted.text.get_secret_value())


IMPORTED = "sk-1Zgh0hmwC3PpOYzkhcY9_A"
IMPORTED_SHA256 = hashlib.sha256(IMPORTED.encode()).hexdigest()
IMPORTING = f"version: 1\nusers:\n  alice: {{}}\nkeys:\n  alice/old: {{imported_sha256: {IMPORTED_SHA256}}}\n"


def test_an_imported_key_works_from_the_moment_it_is_applied(operator: Operator) -> None:
    assert not key_opens(operator, IMPORTED)
    assert diff(operator, IMPORTING) == ["+ user alice", "+ key alice/old: the imported key works too"]
    assert not apply(operator, IMPORTING).unclaimed
    assert key_opens(operator, IMPORTED)
    assert apply(operator, IMPORTING).plan.count == 0
    assert ("file:" + read_setup(IMPORTING.encode(), "x").digest, "key.import") in recorded(operator.engine)
    with reading(operator.engine) as connection:
        rows = connection.execute(select(change_tables.admin_events)).all()
    assert IMPORTED_SHA256 not in str(rows)
    assert imported_secret_sha256(IMPORTED_SHA256).hex() not in str(rows)


def test_a_key_that_is_there_already_takes_an_imported_one_too_and_a_rotation_ends_it_for_good(
    operator: Operator,
) -> None:
    minted = create_key(operator, WantedKey("alice", "old"))
    apply(operator, IMPORTING)
    assert key_opens(operator, IMPORTED)
    assert key_opens(operator, minted.text.get_secret_value())
    rotate_key(operator, minted.key.key.id, timedelta())
    assert apply(operator, IMPORTING).plan.count == 0
    assert not key_opens(operator, IMPORTED)


def test_two_keys_cannot_have_the_same_imported_one(operator: Operator) -> None:
    twice = IMPORTING + f"  alice/new: {{imported_sha256: {IMPORTED_SHA256}}}\n"
    with pytest.raises(SetupError, match=r"line 6: keys\.alice/new\.imported_sha256: another key has this one already"):
        apply(operator, twice, name="gateway.yaml")
    apply(operator, IMPORTING)
    with pytest.raises(SetupError, match="another key has this one already"):
        apply(operator, IMPORTING.replace("alice/old", "alice/new"))


def test_a_key_is_made_disabled_and_stays_so_while_the_file_says_it(operator: Operator) -> None:
    text = IMPORTING.replace("imported_sha256", "disabled: true, imported_sha256")
    assert diff(operator, text)[1] == "+ key alice/old: the imported key works too, disabled"
    apply(operator, text)
    assert not key_opens(operator, IMPORTED)
    assert apply(operator, text).plan.notices == ()
    [key] = list_keys(operator)
    with pytest.raises(Conflict, match=r"the state is set by the file gateway\.yaml"):
        enable_key(operator, key.key.id)
    apply(operator, IMPORTING)
    enable_key(operator, key.key.id)
    assert key_opens(operator, IMPORTED)


def test_only_what_is_mentioned_is_changed(operator: Operator) -> None:
    create_team(operator, "ops")
    create_user(operator, "alice", team="ops", limits=[parse_limit("usd:1/day"), parse_limit("usd:9/month")])
    text = "version: 1\nusers:\n  alice: {role: auditor, limits: [usd:5/day]}\n"
    assert diff(operator, text) == [
        "~ user alice: role member -> auditor, managed by gateway.yaml",
        "~ limit usd:1.00/day of the user alice: raised to usd:5.00/day, managed by gateway.yaml",
    ]
    apply(operator, text)
    alice = show_user(operator, "alice")
    assert (alice.user.team_name, alice.user.role, alice.limits) == (
        "ops",
        "auditor",
        ("usd:5.00/day", "usd:9.00/month"),
    )
    assert [action for _, action in recorded(operator.engine)][-2:] == ["user.change", "limit.set"]
    set_user_team(operator, "alice", None)
    assert diff(operator, text) == []


def test_what_the_file_sets_nobody_else_changes(operator: Operator) -> None:
    [(_, key_id)] = apply(operator, FILE).unclaimed
    create_team(operator, "ops")
    [limit] = list_limits(operator, Target(Scope.GATEWAY))
    before = len(recorded(operator.engine))
    usd, of_alice = parse_limit("usd:9/day"), Target(Scope.USER, "alice")
    doors: list[Callable[[], object]] = [
        lambda: set_user_team(operator, "alice", "ops"),
        lambda: add_to_team(operator, "ops", ["bob", "alice"]),
        lambda: remove_from_team(operator, "design", ["alice"]),
        lambda: set_limits(operator, of_alice, [usd]),
        lambda: set_limits(operator, of_alice, [usd], shadow=True),
        lambda: remove_limits(operator, of_alice, [usd]),
        lambda: set_limits(operator, Target(Scope.GATEWAY), [parse_limit("usd:1/month")]),
        lambda: set_limits(operator, Target(Scope.DEFAULT), [parse_limit("images:1/day")]),
        lambda: remove_limits(operator, Target(Scope.TEAM, "design"), [usd]),
        lambda: remove_limit(operator, limit.id),
        lambda: put_limit(operator, of_alice, usd),
        lambda: raise_limits(operator, of_alice, [usd], NOW + timedelta(days=1)),
        lambda: set_user_role(operator, "alice", "admin"),
        lambda: put_user(operator, "alice", {"role": Role.ADMIN}),
        lambda: put_user(operator, "alice", {"team": None}),
        lambda: change_key(operator, key_id, {"models": None}),
        lambda: change_key(operator, key_id, {"expires_at": None}),
    ]
    for door in doors:
        with pytest.raises(Conflict, match=r"set by the file gateway\.yaml\. Change it there"):
            door()
    assert len(recorded(operator.engine)) == before
    # What it does not set is free: bob's team, another limit of alice, the copy of a default.
    set_user_team(operator, "bob", "ops")
    set_limits(operator, of_alice, [parse_limit("images:5/hour"), parse_limit("concurrent:2")])
    assert diff(operator, FILE) == []


@pytest.mark.parametrize("name", ["laptop", None])
def test_a_key_that_a_file_knows_keeps_its_name(operator: Operator, name: str | None) -> None:
    """Otherwise the next apply would make a second key, and the first would be free of what the file says."""
    [(_, key_id)] = apply(operator, FILE).unclaimed
    for text in (FILE, FILE.partition("keys:")[0]):  # a key that was dropped may come back
        apply(operator, text)
        with pytest.raises(Conflict, match=r"the file gateway\.yaml knows it by its name"):
            change_key(operator, key_id, {"name": name})
    assert show_key(operator, key_id).key.name == "figma"
    apply(operator, FILE)
    assert [key.key.id for key in list_keys(operator)] == [key_id]
    other = create_key(operator, WantedKey("alice", "own")).key.key.id
    assert change_key(operator, other, {"name": name}).key.name == name


def test_disabling_and_rotating_are_always_allowed_and_apply_enables_nobody(operator: Operator) -> None:
    [(_, key_id)] = apply(operator, FILE).unclaimed
    disable_user(operator, "alice")
    disable_key(operator, key_id)
    rotate_key(operator, key_id, timedelta())
    plan = plan_setup(operator, read_setup(FILE.encode(), "gateway.yaml"), NAMES)
    assert plan.count == 0
    assert [notice.split(",")[0] for notice in plan.notices] == [
        "The user alice is disabled", "The key alice/figma is disabled"
    ]  # fmt: skip
    apply(operator, FILE.replace("role: lead", "role: member"))
    assert show_user(operator, "alice").state == "disabled"


def test_what_is_dropped_is_free_and_pruning_disables_what_the_file_made(operator: Operator) -> None:
    create_user(operator, "old", limits=[parse_limit("usd:2/day")])
    text = FILE + "  old/laptop: {}\n"
    text = text.replace("  bob: {}", "  bob: {}\n  old: {role: auditor, limits: [usd:2/day]}")
    apply(operator, text)
    left = "version: 1\nusers:\n  alice: {team: null, limits: [usd:5/day]}\n"
    assert not [line for line in diff(operator, left) if line.startswith("-")]
    apply(operator, left)  # no pruning: nothing is disabled or removed, but it is free
    assert [user.state for user in list_users(operator)] == ["active"] * 3
    set_limits(operator, Target(Scope.GATEWAY), [parse_limit("usd:400/month")])
    assert [line for line in diff(operator, left, prune=True) if line.startswith("-")] == [
        "- user bob: disabled, no longer managed",
        "- key alice/figma: disabled, no longer managed",
        "- key old/laptop: disabled, no longer managed",
        "- limit images:100/day of new users: raised, because it is removed",
        "- limit concurrent:4 of new users: raised, because it is removed",
        "- limit usd:400.00/month of the gateway: raised, because it is removed",
        "- limit usd:20.00/day of the team design: raised, because it is removed",
        "- limit images:50/day of the user alice: raised, because it is removed",
    ]
    apply(operator, left, prune=True)
    assert {user.user.name: user.state for user in list_users(operator)} == {
        "alice": "active", "bob": "disabled", "old": "active"
    }  # fmt: skip
    # The file did not make the limit of `old`, and a key's limits stay for the day it is enabled.
    kept = {(limit.limit.scope.value, limit.as_json()["limit"]) for limit in list_limits(operator)}
    assert {("user", "usd:2.00/day"), ("key", "concurrent:1")} <= kept
    assert diff(operator, left, prune=True) == []
    enable_user(operator, "bob")
    assert diff(operator, left, prune=True) == []


def test_another_file_takes_over_and_does_not_prune_what_it_has_not_made(operator: Operator) -> None:
    apply(operator, FILE)
    other = "version: 1\nusers:\n  bob: {role: lead}\n"
    assert list(apply(operator, other, name="other.yaml", prune=True).plan.lines()) == [
        "~ user bob: role member -> lead, managed by gateway.yaml -> other.yaml"
    ]
    assert list(apply(operator, "version: 1\n", name="other.yaml", prune=True).plan.lines()) == [
        "~ user bob: no longer managed"
    ]


@pytest.mark.parametrize(
    ("part", "line", "message"),
    [
        ("users:\n  carol: {team: desing}\n", 3, "there is no team desing; add it under teams. Did you mean design?"),
        ("keys:\n  carol/x: {}\n", 3, "there is no user carol"),
        ("keys:\n  alice/x: {models: [gpt-image-9000]}\n", 3, "The catalog has no model 'gpt-image-9000'"),
        ("keys:\n  alice/x:\n    models: []\n", 4, "write null for all"),
        ("keys:\n  alice/x:\n    expires: 2020-01-01\n", 4, "would have expired already"),
        ("keys:\n  alice/twin: {}\n", 3, "alice has several keys named twin"),
        ("gateway:\n  limits:\n  - usd:1/day@gpt-image-9000\n", 4, "The catalog has no model"),
        (
            "accounts:\n  a: {key_env: A, models: [gpt-image-2, openai/gpt-image-2]}\n"
            "  b:\n    key_env: B\n    models:\n    - gpt-image-9000\n",
            7,
            "accounts.b.models[0]: The catalog has no model",
        ),
        ("accounts:\n  a:\n    key_env: A\n    models: [gpt-image-2-2026-04-21]\n", 5, "write openai/gpt-image-2"),
        ("gateway:\n  limits:\n  - usd:1/day@gpt-image-2\n  - usd:1/day@openai/gpt-image-2\n", 5, "leave one"),
        ("gateway:\n  limits:\n  - usd:1/day\n  shadow_limits:\n  - usd:2/day\n", 6, "leave one"),
        ("oidc:\n  teams:\n  - {group: x, team: nowhere}\n", 4, "there is no team nowhere"),
        ("teams:\n  TEAM: {}\n", 3, "is the id of another one"),
    ],
)
def test_what_only_the_set_up_shows_is_refused_with_the_line_and_nothing_is_changed(
    operator: Operator, part: str, line: int, message: str
) -> None:
    team = create_team(operator, "design").team
    create_user(operator, "alice")
    for _ in range(2):
        create_key(operator, WantedKey("alice", "twin"))
    before = recorded(operator.engine)
    with pytest.raises(SetupError) as refused:
        apply(operator, "version: 1\n" + part.replace("TEAM", team.id), name="gateway.yaml")
    assert refused.value.message.startswith(f"gateway.yaml, line {line}: ")
    assert message in refused.value.message
    assert recorded(operator.engine) == before


def test_of_two_keys_with_one_name_the_file_means_the_one_that_works(operator: Operator) -> None:
    create_user(operator, "alice")
    first, second = (create_key(operator, WantedKey("alice", "figma")).key.key.id for _ in range(2))
    disable_key(operator, first)
    apply(operator, "version: 1\nkeys:\n  alice/figma: {models: [gpt-image-2]}\n")
    assert {key.key.id: key.key.models for key in list_keys(operator)} == {first: None, second: ("openai/gpt-image-2",)}


def test_a_new_limit_without_an_end_counts_what_was_used_before_it(operator: Operator) -> None:
    create_user(operator, "alice")
    alice = show_user(operator, "alice").user.id
    with operator.writing() as connection:
        old = [reservation(number, NOW - timedelta(days=90 * number), user_id=alice) for number in range(4)]
        connection.execute(insert(ledger_tables.reservations), old)
        add_totals_up(connection)
    apply(operator, "version: 1\nusers:\n  alice: {limits: [images:5/total, concurrent:2]}\n")
    with operator.reading() as connection:
        statuses = limit_status_of_key(connection, "", alice, None, NOW)
        assert {status.limit.unit: status.used for status in statuses} == {"images": 4, "concurrent": 0}
        assert audit(connection, NOW) == []


def test_a_failure_halfway_leaves_nothing(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("halfway")

    monkeypatch.setattr("app.admin.setup.apply.write_limits", fail)
    with pytest.raises(RuntimeError, match="halfway"):
        apply(operator, FILE)
    assert (list_teams(operator), list_users(operator), recorded(operator.engine)) == ([], [], [])


def test_the_mark_says_which_fields_are_set(operator: Operator) -> None:
    apply(operator, FILE)
    marks = {user.user.name: Managed.read(user.user.managed_by) for user in list_users(operator)}
    assert marks == {
        "alice": Managed("gateway.yaml", made=True, fields=frozenset({"team", "role"})),
        "bob": Managed("gateway.yaml", made=True),
    }


def test_two_who_apply_at_the_same_time_make_everything_once(store_url: str, operator: Operator) -> None:
    """The second one plans again once the first has ended."""
    second = create_engine(store_url)
    other = replace(operator, engine=second, random_bytes=os.urandom)
    original = Operator.writing
    first = [True]

    def writing(self: Operator):  # type: ignore[no-untyped-def] # noqa: ANN202
        if first.pop() if first else False:
            apply(other, FILE)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operator, "writing", writing)
        applied = apply(operator, FILE)
    second.dispose()
    assert applied.plan.count == 0
    assert len(list_users(operator)) == 2
