"""Who a person of an identity provider is here, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.admin.access.provider_sign_in import ProviderRules, link_identity, sign_in_by_provider, unlink_identities
from app.admin.access.sign_in import find_session
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import apply_setup
from app.admin.teams import create_team
from app.admin.users import create_user, disable_user, show_user
from app.errors import Conflict, InvalidValue, NotFound, NotPermitted
from app.identity.people.roles import Role
from app.identity.people.users import User
from app.identity.providers.claims import Person
from app.identity.sessions.sessions import ConsoleSession, SessionBounds
from app.images.catalog.catalog import load_catalog
from app.settings.console.providers import GroupRule, GroupRules, Newcomers, ProviderSpec
from app.setup.reading import read_setup

BOUNDS = SessionBounds(timedelta(hours=8), timedelta(days=7))
ISSUER = "https://id.example.com"
ALICE = Person(ISSUER, "sub-1", "alice", "alice@example.com", ("design",))
OPEN = ProviderSpec("id", "Company login", ISSUER, "gateway", newcomers=Newcomers.EVERYBODY)
GROUPS = GroupRules((GroupRule("design", "design", "lead"),), frozenset({"platform"}))


def signed_in(
    operator: Operator, person: Person = ALICE, provider: ProviderSpec = OPEN, groups: GroupRules = GROUPS
) -> ConsoleSession:
    opened = sign_in_by_provider(operator, person, ProviderRules(provider, groups), "Agent/1", BOUNDS)
    found = find_session(operator, opened.token.get_secret_value(), BOUNDS)
    assert found is not None
    return found


def user_of(operator: Operator, session: ConsoleSession) -> User:
    assert session.user_id is not None
    return show_user(operator, session.user_id).user


@pytest.fixture(autouse=True)
def _team(operator: Operator) -> None:
    create_team(operator, "design")


def test_a_newcomer_becomes_a_user_without_keys(operator: Operator) -> None:
    session = signed_in(operator)
    view = show_user(operator, "alice")
    assert (session.user_name, session.role, session.method) == ("alice", "lead", "oidc")
    assert (view.user.team_name, view.user.role, view.keys) == ("design", Role.LEAD, ())
    assert signed_in(operator, replace(ALICE, name="renamed")).user_id == session.user_id


@pytest.mark.parametrize("newcomers", [Newcomers.NOBODY, Newcomers.GROUPS])
def test_strangers_are_refused_with_what_to_do(operator: Operator, newcomers: Newcomers) -> None:
    stranger = replace(ALICE, groups=("others",))
    with pytest.raises(NotPermitted, match=r"users link NAME --issuer https://id\.example\.com --subject sub-1"):
        signed_in(operator, stranger, replace(OPEN, newcomers=newcomers))
    with pytest.raises(NotFound):
        show_user(operator, "alice")


def test_the_command_to_paste_is_one_command(operator: Operator) -> None:
    with pytest.raises(NotPermitted, match=r"--subject 'x; rm -rf \$HOME'$"):
        signed_in(operator, replace(ALICE, subject="x; rm -rf $HOME"), replace(OPEN, newcomers=Newcomers.NOBODY))


def test_whose_group_is_named_may_come(operator: Operator) -> None:
    assert signed_in(operator, provider=replace(OPEN, newcomers=Newcomers.GROUPS)).user_name == "alice"


def test_a_name_that_is_taken_is_no_proof(operator: Operator) -> None:
    user = create_user(operator, "alice").user
    with pytest.raises(NotPermitted, match="users link alice"):
        signed_in(operator)
    link_identity(operator, "alice", ISSUER, "sub-1")
    session = signed_in(operator)
    assert (session.user_id, session.role) == (user.id, "member")  # set here, so the groups change nothing
    with pytest.raises(Conflict, match="signs in as alice already"):
        link_identity(operator, "alice", ISSUER, "sub-1")
    assert unlink_identities(operator, "alice") == 1
    with pytest.raises(NotPermitted):
        signed_in(operator)


def test_another_issuer_is_another_person(operator: Operator) -> None:
    signed_in(operator)
    with pytest.raises(NotPermitted, match="There is a user alice"):
        signed_in(operator, replace(ALICE, issuer="https://elsewhere.example.com"))


@pytest.mark.parametrize(("is_on", "is_verified"), [(True, True), (True, False), (False, True)])
def test_an_address_links_only_if_verified_and_switched_on(operator: Operator, is_on: bool, is_verified: bool) -> None:
    user = create_user(operator, "alice@example.com").user
    person = replace(ALICE, verified_email="alice@example.com" if is_verified else None)
    session = signed_in(operator, person, replace(OPEN, links_by_email=is_on))
    assert (session.user_id == user.id) == (is_on and is_verified)


def test_groups_are_followed_at_each_login(operator: Operator) -> None:
    assert signed_in(operator).role == "lead"
    session = signed_in(operator, replace(ALICE, groups=("design", "platform")))
    assert session.role == "admin"
    assert signed_in(operator, replace(ALICE, groups=None)).role == "admin"  # says nothing, so nothing changes
    session = signed_in(operator, replace(ALICE, groups=()))
    assert (session.role, user_of(operator, session).team_id) == ("member", None)


@pytest.mark.parametrize(
    ("part", "role", "team"), [("role: auditor", "auditor", None), ("team: design", "admin", "design")]
)
def test_groups_change_nothing_that_a_file_sets(operator: Operator, part: str, role: str, team: str | None) -> None:
    signed_in(operator)
    names = ModelNames(load_catalog(), passes_unknown=False, successor="gpt-image-2")
    text = f"version: 1\nusers: {{alice: {{{part}}}}}\n"
    apply_setup(operator, read_setup(text.encode(), "gateway.yaml"), names)
    session = signed_in(operator, replace(ALICE, groups=("platform",)))
    assert (session.role, user_of(operator, session).team_name) == (role, team)


def test_a_role_that_is_lost_is_lost_in_open_sessions_too(operator: Operator) -> None:
    opened = sign_in_by_provider(
        operator, replace(ALICE, groups=("platform",)), ProviderRules(OPEN, GROUPS), "Agent/1", BOUNDS
    )
    signed_in(operator, replace(ALICE, groups=("design",)))
    found = find_session(operator, opened.token.get_secret_value(), BOUNDS)
    assert found is not None
    assert found.role == "lead"


def test_the_disabled_stay_out(operator: Operator) -> None:
    signed_in(operator)
    disable_user(operator, "alice")
    with pytest.raises(NotPermitted, match="alice is disabled"):
        signed_in(operator)


def test_what_cannot_be_is_refused_and_nothing_is_made(operator: Operator) -> None:
    with pytest.raises(NotPermitted, match="no user can have"):
        signed_in(operator, replace(ALICE, name="x" * 81))
    with pytest.raises(NotFound, match="elsewhere"):
        signed_in(operator, groups=GroupRules((GroupRule("design", "elsewhere", "lead"),)))
    with pytest.raises(NotFound):
        show_user(operator, "alice")
    with pytest.raises(InvalidValue):
        link_identity(operator, "alice", " ", "sub-1")
