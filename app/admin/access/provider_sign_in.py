"""Use cases of signing in with an identity provider: who a person is here, and what their groups change.

Whoever calls this has verified what the provider says.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.access.sign_in import OpenedSession, open_session_of
from app.admin.lookup.owners import existing_team, existing_user
from app.admin.operator import Operator
from app.admin.users import add_user
from app.database.changes import Change
from app.errors import Conflict, InvalidValue, NotPermitted
from app.identity.people import users as user_records
from app.identity.people.names import checked_name
from app.identity.people.users import User
from app.identity.providers.claims import Membership, Person, is_mentioned, membership
from app.identity.providers.identities import Identity, add_identity, drop_identities, find_identity
from app.identity.sessions.sessions import NewSession, SessionBounds
from app.settings.console.providers import GroupRules, Newcomers, ProviderSpec
from app.setup.managed import Managed


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """Who asks: the provider, and what groups mean."""

    provider: ProviderSpec
    groups: GroupRules


def sign_in_by_provider(
    operator: Operator, person: Person, rules: ProviderRules, user_agent: str, bounds: SessionBounds
) -> OpenedSession:
    """Opens a session of the user this person is. A user is made, with the default limits and without a key, if the
    provider may bring newcomers. The team and the role of users who were made so follow their groups at each login.

    Raises NotPermitted with what to do, NotFound for a team of the rules that is not there.
    """
    change = replace(operator.change(), actor=f"oidc:{person.subject}")
    with operator.writing() as connection:
        identity = find_identity(connection, person.issuer, person.subject)
        wanted = membership(person.groups, rules.groups)
        if identity is None:
            identity = _recognize(connection, person, rules, wanted, change)
        user = existing_user(connection, identity.user_id)
        if user.disabled_at is not None:
            raise NotPermitted(f"The user {user.name} is disabled. Whoever runs this gateway can enable it.")
        if identity.is_followed and wanted is not None:
            user = _follow(connection, user, wanted, change)
        new = NewSession(user.id, None, "oidc", user_agent)
        return open_session_of(connection, operator, f"user:{user.name}", new, bounds)


def link_identity(operator: Operator, user: str, issuer: str, subject: str) -> None:
    """From now on this person of a provider signs in as this user, whose team and role stay as they are set here.

    Raises NotFound for the user, InvalidValue, and Conflict if the person is a user already.
    """
    permit(operator.principal, Permission.CHANGE_USERS)
    if not issuer.strip() or not subject.strip():
        raise InvalidValue("Name the issuer and the subject, as the list of changes and the log show them.")
    change = operator.change()
    with operator.writing() as connection:
        found = existing_user(connection, user)
        there = find_identity(connection, issuer, subject)
        if there is not None:
            name = existing_user(connection, there.user_id).name
            raise Conflict(f"That person signs in as {name} already. Unlink {name} first.")
        add_identity(connection, Identity(issuer, subject, found.id, is_followed=False), change=change)


def unlink_identities(operator: Operator, user: str) -> int:
    """Nobody of any provider signs in as this user any more. Returns how many did. Raises NotFound."""
    permit(operator.principal, Permission.CHANGE_USERS)
    change = operator.change()
    with operator.writing() as connection:
        return drop_identities(connection, existing_user(connection, user).id, change=change)


def _recognize(
    connection: Connection, person: Person, rules: ProviderRules, wanted: Membership | None, change: Change
) -> Identity:
    """The user a person is at their first login."""
    provider = rules.provider
    email = person.verified_email if provider.links_by_email else None
    user = user_records.find_user(connection, email) if email is not None else None
    if user is not None and user.name != email:  # found by an id that looks so
        user = None
    is_new = user is None
    if user is None:
        _refuse_newcomer(person, rules)
        user = _make_user(connection, person, provider, wanted, change)
    identity = Identity(person.issuer, person.subject, user.id, is_followed=is_new)
    add_identity(connection, identity, change=change)
    return identity


def _refuse_newcomer(person: Person, rules: ProviderRules) -> None:
    newcomers = rules.provider.newcomers
    is_welcome = newcomers is Newcomers.EVERYBODY or (
        newcomers is Newcomers.GROUPS and is_mentioned(person.groups, rules.groups)
    )
    if not is_welcome:
        raise NotPermitted(
            f"{rules.provider.label} knows you as {person.name}, and this gateway does not know you yet. Whoever runs "
            f"it can say which user you are: {_link_command('NAME', person)}"
        )


def _link_command(name: str, person: Person) -> str:
    """To paste into a shell, whatever the provider wrote."""
    words = ("zenmux-gateway", "users", "link", name, "--issuer", person.issuer, "--subject", person.subject)
    return shlex.join(words)


def _make_user(
    connection: Connection, person: Person, provider: ProviderSpec, wanted: Membership | None, change: Change
) -> User:
    try:
        name = checked_name(person.name, "user")
    except InvalidValue as error:
        raise NotPermitted(f"{provider.label} gives you a name that no user can have here. {error.message}") from None
    if user_records.find_user(connection, name) is not None:
        raise NotPermitted(
            f"There is a user {name} here already, and nobody has said that it is you. Whoever runs this gateway can: "
            f"{_link_command(name, person)}"
        )
    team = existing_team(connection, wanted.team) if wanted is not None and wanted.team is not None else None
    if wanted is None:
        return add_user(connection, name, team, change)
    return add_user(connection, name, team, change, wanted.role)


def _follow(connection: Connection, user: User, wanted: Membership, change: Change) -> User:
    """The user with the team and the role that the groups mean; what a file sets stays."""
    managed = Managed.read(user.managed_by)
    fixed: Iterable[str] = managed.fields if managed is not None else ()
    team = existing_team(connection, wanted.team) if wanted.team is not None else None
    followed = replace(
        user,
        role=user.role if "role" in fixed else wanted.role,
        team_id=user.team_id if "team" in fixed else (team.id if team is not None else None),
    )
    return user_records.change_user(connection, followed, change=change)
