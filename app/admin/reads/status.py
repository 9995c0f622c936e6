"""The use case of the status: the database's schema and revision; as whom one asks, and what that allows."""

from dataclasses import dataclass
from typing import Any

from app.admin.access.permissions import PERMISSIONS, Permission, permit
from app.admin.operator import Operator
from app.database import migrate
from app.database.changes import read_revision
from app.identity.people.principal import Principal


@dataclass(frozen=True, slots=True)
class Status:
    """`revision` rises with every change."""

    schema: str | None
    revision: int
    principal: Principal | None

    def as_json(self) -> dict[str, Any]:
        principal = self.principal
        return {
            "schema": self.schema,
            "revision": self.revision,
            "you": None
            if principal is None
            else {
                "actor": principal.actor,
                "role": principal.role,
                "permissions": {
                    action.name.lower(): PERMISSIONS[action][principal.role].name.lower() for action in Permission
                },
            },
        }


def read_status(operator: Operator) -> Status:
    """Raises StoreUnavailable."""
    permit(operator.principal, Permission.READ_CATALOG)
    with operator.reading() as connection:
        revision = read_revision(connection)
    return Status(migrate.current(operator.engine), revision, operator.principal)
