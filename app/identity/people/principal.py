"""Who administers, as a credential proves it. What they may do is in admin/access/permissions.py. Pure."""

from dataclasses import dataclass

from app.identity.people.roles import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """`actor` is what the list of changes shows: `admin-key`, `key:<id>`, `user:<name>`. It comes from the credential,
    never from what a request says.

    `user_id` None: nobody's credential, such as GATEWAY_ADMIN_KEY. `team_id` None: in no team.
    """

    actor: str
    role: Role
    user_id: str | None = None
    team_id: str | None = None
    key_id: str | None = None
