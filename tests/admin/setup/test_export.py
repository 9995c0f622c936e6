"""Generated set-ups are applied, exported and applied again: nothing changes, on the same store and on an empty one."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.admin.keys import WantedKey, create_key, disable_key, list_keys
from app.admin.limits import Target, set_limits
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import apply_setup, plan_setup
from app.admin.setup.export import export_setup
from app.admin.setup.overlay import Rules, overlay
from app.admin.setup.plan import plan
from app.admin.setup.state import SetupState
from app.admin.users import create_user, disable_user, enable_user, list_users, put_user
from app.errors import Conflict
from app.identity.people.names import spelled
from app.images.catalog.catalog import load_catalog
from app.quotas.rules.limits import Scope, parse_limit
from app.setup.reading import SetupFile, read_setup

NAMES = ModelNames(load_catalog(), passes_unknown=False, successor="gpt-image-2")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # a whole file is much to draw
BOUNDS = (datetime(2027, 1, 1), datetime(2090, 1, 1))  # noqa: DTZ001 - as hypothesis takes them
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

names = st.one_of(
    st.sampled_from(["alice", "bob", "yes", "1234", "null", "~", "a: b", "#x", "- y", "é", "1e3", "0x1f", "a/b", "{}"]),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12),
).filter(lambda name: name.isprintable() and spelled(name) == name)


def distinct_places(texts: list[str]) -> list[str]:
    """Each unit, window and model once."""
    return list({(text.split(":")[0], text.partition("/")[2]): text for text in texts}.values())


limits = st.lists(
    st.one_of(
        st.builds(
            "{}:{}/{}{}".format,
            st.sampled_from(["requests", "images", "tokens", "usd"]),
            st.integers(0, 10_000),
            st.sampled_from(["minute", "hour", "day", "week", "month", "total"]),
            st.sampled_from(["", "@openai/gpt-image-2"]),
        ),
        st.builds("concurrent:{}".format, st.integers(0, 99)),
    ),
    max_size=4,
).map(distinct_places)


@st.composite
def limited(draw: st.DrawFn) -> dict[str, Any]:
    """Limits, some of them in the shadow, or nothing."""
    found = draw(limits)
    cut = draw(st.integers(0, len(found)))
    return {name: part for name, part in (("limits", found[:cut]), ("shadow_limits", found[cut:])) if part}


@st.composite
def documents(draw: st.DrawFn) -> str:
    teams = draw(st.dictionaries(names, limited(), max_size=3))
    users = draw(st.dictionaries(names, limited(), max_size=4))
    for part in users.values():
        if draw(st.booleans()):
            part["team"] = draw(st.sampled_from([None, *teams]))
        if draw(st.booleans()):
            part["role"] = draw(st.sampled_from(["admin", "auditor", "lead", "member"]))
        if draw(st.booleans()):
            part["disabled"] = draw(st.booleans())
    keys = {}
    addresses = st.tuples(st.sampled_from(list(users)), names) if users else st.nothing()
    for number, (user, name) in enumerate(draw(st.lists(addresses, unique=True, max_size=4)) if users else []):
        part = keys[f"key {number}"] = {"user": user, "name": name, **draw(limited())}
        if draw(st.booleans()):
            part["models"] = draw(
                st.sampled_from([None, ["openai/gpt-image-2"], ["gpt-image-2", "gpt-image-2.5-flare"]])
            )
        if draw(st.booleans()):
            part["disabled"] = draw(st.booleans())
        if draw(st.booleans()):
            moments = st.datetimes(*BOUNDS, timezones=st.just(UTC))
            end = draw(st.one_of(st.none(), st.dates(date(2027, 1, 1), date(2090, 1, 1)), moments))
            part["expires"] = (
                end.replace(microsecond=end.microsecond // 1000 * 1000) if isinstance(end, datetime) else end
            )
    accounts = draw(st.dictionaries(st.sampled_from(["main", "spare"]), limited(), max_size=2))
    accounts = {name: part for name, part in accounts.items() if part}
    document = {"version": 1, "accounts": accounts, "gateway": draw(limited()), "defaults": draw(limited())}
    return yaml.safe_dump(
        document | {"teams": teams, "users": users, "keys": keys}, allow_unicode=True, sort_keys=False
    )


def read(text: str) -> SetupFile:
    return read_setup(text.encode(), "gateway.yaml")


@settings(suppress_health_check=SLOW)
@given(documents(), documents(), st.booleans())
def test_applying_twice_is_applying_once(first: str, second: str, prune: bool) -> None:
    """On the pure rules alone, for any two files one after the other."""
    state = SetupState()
    rules = Rules(NAMES, NOW, prune)
    for text in (first, second):
        file = read(text)
        state = overlay(file, state, rules)
        assert plan(state, overlay(file, state, rules), file).count == 0


@settings(max_examples=6, suppress_health_check=[*SLOW, HealthCheck.function_scoped_fixture])
@given(document=documents())
def test_apply_export_apply_is_no_change(document: str, make_operator: Any) -> None:
    one, other = make_operator(), make_operator()
    apply_setup(one, read(document), NAMES)
    assert plan_setup(one, read(document), NAMES).count == 0
    exported = read(export_setup(one))
    assert list(plan_setup(one, exported, NAMES, prune=True).lines()) == []
    apply_setup(other, exported, NAMES)
    assert export_setup(other) == export_setup(one)


def test_what_was_made_by_hand_is_taken_over_and_not_changed(operator: Operator) -> None:
    set_limits(operator, Target(Scope.DEFAULT), [parse_limit("images:9/day")])
    create_user(operator, "alice", limits=[parse_limit("usd:5/day")])
    create_key(operator, WantedKey("alice", "laptop", models=("openai/gpt-image-2",)))
    exported = read(export_setup(operator))
    lines = list(plan_setup(operator, exported, NAMES).lines())
    assert lines
    assert all(line.startswith("~") and line.endswith("managed by gateway.yaml") for line in lines)
    apply_setup(operator, exported, NAMES)
    assert plan_setup(operator, exported, NAMES).count == 0


def test_what_a_file_cannot_say_is_in_the_comments(operator: Operator) -> None:
    create_user(operator, "gone")
    disable_user(operator, "gone")
    ended = create_key(operator, WantedKey("alice", "ended", expires_at=NOW + timedelta(seconds=1))).key.key.id
    nameless = create_key(operator, WantedKey("alice")).key.key.id
    twins = [create_key(operator, WantedKey("alice", "twin")).key.key.id for _ in range(2)]
    off = create_key(operator, WantedKey("alice", "off")).key.key.id
    disable_key(operator, off)
    later = Operator(operator.engine, lambda: NOW + timedelta(days=1), "test")
    text = export_setup(later)
    assert [line for line in text.splitlines() if line.startswith("# Not here")] == sorted(
        [
            "# Not here: the user gone, who is disabled.",
            f"# Not here: the key {ended} of alice, which has expired.",
            f"# Not here: the key {nameless} of alice, which has no name.",
            *(f"# Not here: the key {twin} of alice, whose name another key of this user has." for twin in twins),
            f"# Not here: the key {off} of alice, which is disabled.",
        ]
    )
    assert read(text).document.users.keys() == {"alice"}
    assert read(text).keys == {}


def test_what_a_file_sets_is_kept_when_it_is_disabled_later(operator: Operator, make_operator: Any) -> None:
    text = (
        "version: 1\naccounts: {main: {key_env: KEY, weight: 2, limits: [usd:9/day], shadow_limits: [images:5/day]}}\n"
        "users: {alice: {limits: [usd:5/day]}, bob: {role: lead}, old: {}}\n"
        "keys: {alice/figma: {limits: [concurrent:1]}, bob/off: {models: [gpt-image-2]}}\n"
    )
    apply_setup(operator, read(text), NAMES)
    disable_user(operator, "alice")
    [off] = [key.key.id for key in list_keys(operator) if key.key.name == "off"]
    disable_key(operator, off)
    exported = read(export_setup(operator))
    assert list(plan_setup(operator, exported, NAMES, prune=True).lines()) == [
        "~ user alice: the file now sets state",
        "~ key bob/off: the file now sets state",
    ]
    other = make_operator()
    apply_setup(other, exported, NAMES)
    assert export_setup(other) == export_setup(operator)
    assert {user.user.name: user.state for user in list_users(other)} == {
        "alice": "disabled", "bob": "active", "old": "active"
    }  # fmt: skip
    apply_setup(operator, exported, NAMES)
    with pytest.raises(Conflict, match=r"the state is set by the file gateway\.yaml"):
        enable_user(operator, "alice")
    with pytest.raises(Conflict, match=r"the state is set by the file gateway\.yaml"):
        put_user(operator, "alice", {"disabled": False})
    apply_setup(operator, read(text), NAMES)
    assert enable_user(operator, "alice").state == "active"


def test_what_was_pruned_is_no_files_any_more_and_stays_out(operator: Operator) -> None:
    apply_setup(operator, read("version: 1\nusers: {alice: {limits: [usd:5/day]}}\nkeys: {alice/figma: {}}\n"), NAMES)
    apply_setup(operator, read("version: 1\n"), NAMES, prune=True)
    exported = read(export_setup(operator))
    assert (exported.document.users, exported.keys) == ({}, {})
    assert plan_setup(operator, exported, NAMES, prune=True).count == 0


@pytest.mark.parametrize("moment", [datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 2, 1, 0, 0, 0, 1000, tzinfo=UTC)])
def test_an_end_is_written_so_that_it_is_read_back(operator: Operator, moment: datetime) -> None:
    create_key(operator, WantedKey("alice", "laptop", expires_at=moment))
    assert read(export_setup(operator)).keys["alice", "laptop"][1].expires == moment
