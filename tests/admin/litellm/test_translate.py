"""What a LiteLLM proxy says, as a gateway.yaml that can be applied, and a report of the rest."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.admin.litellm.objects import Deployment, LitellmKey, LitellmTeam, LitellmUser, Proxy, checked
from app.admin.litellm.translate import Imported, translate
from app.admin.lookup.model_names import ModelNames
from app.admin.setup.overlay import Rules, overlay
from app.admin.setup.state import SetupState
from app.images.catalog.catalog import load_catalog
from app.setup.reading import read_setup
from tests.examples import examples

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CATALOG = load_catalog()
IMAGE, OTHER = "openai/gpt-image-2", "openai/gpt-image-2.5-flare"
MODELS = [
    {"model_name": "picture", "litellm_params": {"model": IMAGE}, "model_info": {"access_groups": ["art"]}},
    {"model_name": "flare", "litellm_params": {"model": "azure/x"}, "model_info": {"base_model": f"azure/{OTHER}"}},
    {"model_name": "gpt-image-1", "litellm_params": {"model": "openai/gpt-image-1"}},
    {"model_name": "chat", "litellm_params": {"model": "openai/gpt-4o"}},
]
TEAM = {"team_id": "t1", "team_alias": "design", "members_with_roles": [{"user_id": "u1", "role": "admin"}]}
ALICE = {"user_id": "u1", "user_email": "alice@example.com", "user_role": "internal_user", "teams": ["t1"]}


def token(number: int) -> str:
    return hashlib.sha256(f"sk-{number}".encode()).hexdigest()


def key(number: int = 1, **said: Any) -> dict[str, Any]:
    return {"token": token(number), "key_alias": f"key-{number}", **said}


def imported(
    keys: list[Any] | None = None,
    teams: list[Any] | None = None,
    users: list[Any] | None = None,
    configured: dict[str, Any] | None = None,
) -> Imported:
    """Translates, and applies the file to an empty set-up: it must be one that `apply` takes."""
    proxy = Proxy(
        checked(LitellmTeam, teams or [], "teams"),
        checked(LitellmUser, users or [], "users"),
        checked(LitellmKey, keys or [], "keys"),
        checked(Deployment, MODELS, "models"),
        configured or {},
    )
    found = translate(proxy, CATALOG, NOW)
    file = read_setup(yaml.safe_dump(found.document, sort_keys=False, allow_unicode=True).encode(), "gateway.yaml")
    names = ModelNames(CATALOG, passes_unknown=False, successor="gpt-image-2")
    overlay(file, SetupState(), Rules(names, NOW))
    return found


def notes(found: Imported, what: str) -> list[tuple[str, str, str]]:
    return [(row.name, row.field, row.note) for row in found.report.rows if row.what == what]


def test_teams_users_and_keys_come_along_with_their_limits() -> None:
    end = "2027-01-31T18:00:00"
    found = imported(
        teams=[TEAM | {"max_budget": 20, "budget_duration": "1d", "rpm_limit": 60}],
        users=[ALICE | {"max_budget": 5.5, "budget_duration": "30d"}],
        keys=[key(user_id="u1", team_id="t1", models=["picture"], expires=end, tpm_limit=9, max_parallel_requests=2)],
    )
    assert found.document == {
        "version": 1,
        "teams": {"design": {"limits": ["usd:20/day", "requests:60/minute"]}},
        "users": {"alice@example.com": {"team": "design", "role": "lead", "limits": ["usd:5.5/month"]}},
        "keys": {
            "alice@example.com/key-1": {
                "models": [IMAGE],
                "expires": datetime.fromisoformat(end).replace(tzinfo=UTC),
                "imported_sha256": token(1),
                "limits": ["tokens:9/minute", "concurrent:2"],
            }
        },
    }


@pytest.mark.parametrize(
    ("said", "team", "models"),
    [
        ([], [], None),
        (["all-proxy-models"], [], None),
        (["picture"], [], [IMAGE]),
        (["art"], [], [IMAGE]),
        (["openai/gpt-image-2*"], [], sorted(s.id for s in CATALOG.models if s.id.startswith("openai/gpt-image-2"))),
        (["flare", "chat"], [], [OTHER]),
        (["gpt-image-1", "dall-e-3"], [], [IMAGE]),
        (["gpt-image-2.5-flare"], [], [OTHER]),
        (["all-team-models"], ["picture", "chat"], [IMAGE]),
        ([], ["picture"], [IMAGE]),
        (["picture", "flare"], ["flare"], [OTHER]),
    ],
)
def test_a_key_may_use_what_it_and_its_team_may(said: list[str], team: list[str], models: list[str] | None) -> None:
    found = imported([key(team_id="t1", models=said)], [TEAM | {"models": team}])
    [part] = found.document["keys"].values()
    assert part.get("models") == models


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"models": ["chat"]}, "none of its models makes images here"),
        ({"user_id": "u1", "models": []}, "none of its models makes images here"),  # of a user without models
        ({"expires": "2026-11-29T11:59:59+00:00"}, "it has expired"),
        ({"key_type": "management"}, "it is for management routes"),
        ({"allowed_routes": ["/v1/chat/completions"]}, "its allowed_routes have no images"),
    ],
)
def test_a_key_that_could_make_no_images_is_left_out(said: dict[str, Any], why: str) -> None:
    found = imported([key(**said)], users=[ALICE | {"models": ["no-default-models"]}])
    assert "keys" not in found.document
    assert [note for _, _, note in notes(found, "key")] == [f"left out: {why}"]


def test_blocked_keys_and_those_of_blocked_teams_are_disabled() -> None:
    found = imported([key(1, blocked=True), key(2, team_id="t1"), key(3)], [TEAM | {"blocked": True}])
    assert [part.get("disabled") for part in found.document["keys"].values()] == [True, True, None]


def test_a_key_of_a_second_team_or_of_nobody_gets_an_owner_in_that_team() -> None:
    teams = [TEAM, {"team_id": "t2", "team_alias": "ops"}]
    keys = [
        key(1, user_id="u1", team_id="t1"),
        key(2, user_id="u1", team_id="t2"),
        key(3, team_id="t2"),
        key(4),
        key(5, user_id="gone"),
    ]
    found = imported(keys, teams, [ALICE])
    assert list(found.document["keys"]) == [
        "alice@example.com/key-1", "alice@example.com (ops)/key-2", "keys (ops)/key-3", "keys/key-4", "gone/key-5"
    ]  # fmt: skip
    users = found.document["users"]
    assert {name: part.get("team") for name, part in users.items()} == {
        "alice@example.com": "design",
        "alice@example.com (ops)": "ops",
        "keys (ops)": "ops",
        "keys": None,
        "gone": None,
    }


def test_roles_come_along_and_whoever_has_the_master_key_is_nobody() -> None:
    users = [
        ALICE,
        {"user_id": "default_user_id", "user_role": "proxy_admin"},
        {"user_id": "root", "user_role": "proxy_admin"},
        {"user_id": "eyes", "user_role": "proxy_admin_viewer"},
        {"user_id": "reader", "user_role": "internal_user_viewer"},
    ]
    found = imported(teams=[TEAM], users=users)
    assert {name: part.get("role") for name, part in found.document["users"].items()} == {
        "alice@example.com": "lead", "root": "admin", "eyes": "auditor", "reader": None
    }  # fmt: skip
    assert ("root", "user_role", "became the role admin") in notes(found, "user")


def test_names_are_made_unique_and_readable() -> None:
    users = [
        {"user_id": "1", "user_alias": "a/b"},
        {"user_id": "2", "user_alias": "a/b"},
        {"user_id": "3\n" + "x" * 99},
    ]
    keys = [
        key(1, user_id="1", key_alias="c/d"),
        key(2, user_id="1", key_alias="c/d"),
        key(3, user_id="2", key_alias=""),
    ]
    found = imported(keys, users=users)
    assert list(found.document["users"]) == ["a/b", "a/b 2", "3" + "x" * 79]
    parts = found.document["keys"]
    assert [(part["user"], part["name"]) for part in parts.values()] == [
        ("a/b", "c/d"), ("a/b", "c/d 2"), ("a/b 2", token(3)[:8])
    ]  # fmt: skip


def test_limits_of_everybody_and_of_new_users_are_in_the_configuration() -> None:
    configured = {
        "litellm_settings": {
            "max_budget": 100,
            "budget_duration": "30d",
            "default_internal_user_params": {"max_budget": 3, "budget_duration": "7d", "user_role": "internal_user"},
            "callbacks": ["x"],
        },
        "general_settings": {"master_key": "sk-secret", "global_max_parallel_requests": 50, "alerting": ["slack"]},
        "router_settings": {"num_retries": 3},
        "environment_variables": {"SECRET": "sk-secret"},
    }
    found = imported(configured=configured)
    assert found.document["gateway"] == {"limits": ["usd:100/month", "concurrent:50"]}
    assert found.document["defaults"] == {"limits": ["usd:3/week"]}
    assert [name for name, _, _ in notes(found, "setting")] == ["callbacks", "alerting", "router_settings"]
    assert "sk-secret" not in str((found.document, found.report))


def test_the_report_names_what_has_no_equivalent_and_repeats_no_value() -> None:
    said: dict[str, Any] = {
        "guardrails": ["pii"],
        "aliases": {"img": "picture"},
        "metadata": {"note": "secret"},
        "spend": 1.5,
        "soft_budget": 2,
        "tags": [],
    }
    found = imported([key(**said)])
    assert [field for _, field, _ in notes(found, "key")] == [
        "soft_budget",
        "spend",
        "aliases",
        "guardrails",
        "metadata",
    ]
    assert "secret" not in str(found.report)
    assert notes(found, "model") == [
        ("picture", "model_list", f"ask for {IMAGE}, or make this name an alias of it in GATEWAY_CATALOG_FILE"),
        ("flare", "model_list", f"ask for {OTHER}, or make this name an alias of it in GATEWAY_CATALOG_FILE"),
        ("gpt-image-1", "model_list", f"retired: {IMAGE} takes its place"),
        ("chat", "model_list", "left out: it makes no images here"),
    ]


_texts = st.text(max_size=90)
_amounts = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
_durations = st.none() | st.sampled_from(["1s", "1m", "2h", "1d", "14d", "30d", "1mo", "3mo", "never"]) | _texts
_budgets = {
    "max_budget": _amounts,
    "budget_duration": _durations,
    "rpm_limit": st.none() | st.integers(),
    "tpm_limit": st.none() | st.integers(),
    "max_parallel_requests": st.none() | st.integers(),
    "model_max_budget": st.dictionaries(st.sampled_from(["picture", "chat", "*"]), _amounts, max_size=2),
    "models": st.lists(st.sampled_from(["picture", "flare", "chat", "art", "*", "all-team-models"]), max_size=2),
}
_ids = st.sampled_from(["1", "2", "3"])


@settings(max_examples=examples(100))
@given(
    st.lists(st.fixed_dictionaries({"team_id": _ids, "team_alias": st.none() | _texts, **_budgets}), max_size=3),
    st.lists(st.fixed_dictionaries({"user_id": _ids, "user_alias": st.none() | _texts, **_budgets}), max_size=3),
    st.lists(
        st.fixed_dictionaries(
            {"user_id": st.none() | _ids, "team_id": st.none() | _ids, "key_alias": _texts, **_budgets}
        ),
        max_size=4,
    ),
)
def test_whatever_a_proxy_says_the_file_can_be_applied(teams: list[Any], users: list[Any], keys: list[Any]) -> None:
    found = imported([each | {"token": token(number)} for number, each in enumerate(keys)], teams, users)
    for part in found.document.get("keys", {}).values():
        assert part.get("models") != []


def test_an_expiry_carries_over_to_the_moment() -> None:
    end = NOW + timedelta(seconds=1)
    found = imported([key(expires=end.isoformat())])
    [part] = found.document["keys"].values()
    assert part["expires"] == end
