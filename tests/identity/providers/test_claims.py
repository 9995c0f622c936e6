"""What claims say, and what groups mean: tables, and whatever a provider may send."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotPermitted
from app.identity.people.roles import Role
from app.identity.providers.claims import Membership, is_mentioned, membership, read_person
from app.settings.console.providers import GroupRule, GroupRules, ProviderSpec

PROVIDER = ProviderSpec("id", "Company login", "https://id.example.com", "gateway")
NESTED = ProviderSpec("id", "Company login", "https://id.example.com", "gateway", groups_claim="realm_access.roles")
RULES = GroupRules(
    (GroupRule("design", "design", "member"), GroupRule("leads", "design", "lead"), GroupRule("*", "guests", "member")),
    frozenset({"platform"}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "email", "email_verified", "preferred_username", "groups", "_claim_names", "hasgroups"])
    | st.text(max_size=10),
    JSON,
)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, None),
        ({"groups": None}, None),
        ({"groups": []}, ()),
        ({"groups": "design"}, ("design",)),
        ({"groups": ["design", "leads"]}, ("design", "leads")),
        ({"realm_access": {"roles": ["design"]}}, None),
    ],
)
def test_no_claim_is_not_an_empty_list(claims: dict[str, Any], expected: tuple[str, ...] | None) -> None:
    assert read_person({"sub": "1", **claims}, PROVIDER).groups == expected


@pytest.mark.parametrize("claims", [{"realm_access": {"roles": ["design"]}}, {"realm_access.roles": ["design"]}])
def test_dots_lead_into_a_claim_unless_its_name_has_them(claims: dict[str, Any]) -> None:
    assert read_person({"sub": "1", **claims}, NESTED).groups == ("design",)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "1", "groups": {"design": True}},
        {"sub": "1", "groups": ["design", 7]},
        {"sub": "1", "groups": ["x"] * 2001},
        {"sub": "1", "hasgroups": True},
        {"sub": "1", "_claim_names": {"groups": "src1"}},
    ],
)
def test_claims_that_tell_nobody_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(NotPermitted, match="Company login"):
        read_person(claims, PROVIDER)


@pytest.mark.parametrize(
    ("claims", "name", "email"),
    [
        ({"preferred_username": "alice"}, "alice", None),
        ({"preferred_username": " alice ", "email": "a@x.com", "email_verified": True}, "alice", "a@x.com"),
        ({"email": "a@x.com", "email_verified": True}, "a@x.com", "a@x.com"),
        ({"email": "a@x.com"}, "1", None),
        ({"email": "a@x.com", "email_verified": "true"}, "1", None),
    ],
)
def test_names_and_addresses(claims: dict[str, Any], name: str, email: str | None) -> None:
    person = read_person({"sub": "1", **claims}, PROVIDER)
    assert (person.name, person.verified_email) == (name, email)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, None),
        ((), Membership("guests", Role.MEMBER)),
        (("design", "leads"), Membership("design", Role.MEMBER)),
        (("leads",), Membership("design", Role.LEAD)),
        (("platform",), Membership("guests", Role.ADMIN)),
        (("leads", "platform"), Membership("design", Role.ADMIN)),
    ],
)
def test_the_first_rule_that_fits_counts(groups: tuple[str, ...] | None, expected: Membership | None) -> None:
    assert membership(groups, RULES) == expected


def test_without_rules_groups_mean_nothing() -> None:
    assert membership(("design",), GroupRules()) is None
    assert membership(("design",), GroupRules((GroupRule("leads", "design", "lead"),))) == Membership(None, Role.MEMBER)


def test_everybody_is_no_mention() -> None:
    assert is_mentioned(("platform",), RULES)
    assert is_mentioned(("leads",), RULES)
    assert not is_mentioned(("others",), RULES)
    assert not is_mentioned(None, RULES)


@given(CLAIMS)
def test_whatever_comes_is_read_or_refused(claims: dict[str, Any]) -> None:
    try:
        person = read_person(claims, PROVIDER)
    except NotPermitted:
        return
    assert person.subject == claims["sub"].strip()
    assert person.name
    assert membership(person.groups, RULES) is not None or person.groups is None
