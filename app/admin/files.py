"""Use cases of files: replace the secret that links are signed with; whether all gateways see the same files."""

from dataclasses import dataclass

from sqlalchemy import Engine

from app.admin.operator import Operator
from app.database.changes import record_change
from app.database.engine import reading
from app.database.gateway_secrets import SECRET_BYTES, drop_secrets, rotate_secret, secrets_of
from app.files.links import SECRET_NAME, needed
from app.files.store.place import FilePlace
from app.files.store.sharing import without_mark
from app.quotas.ledger.liveness.heartbeat import look_at, store_now_ms


def gateways_elsewhere(engine: Engine, place: FilePlace) -> tuple[int, int]:
    """How many gateways run on the database, and how many of them keep their files elsewhere than in `place`. Raises
    OSError where the place fails, StoreUnavailable.
    """
    with reading(engine) as connection:
        look = look_at(connection, store_now_ms(connection))
    living = look.known - look.dead
    return len(living), len(without_mark(place, living))


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret. `kept` older ones still open the links that they signed."""

    version: int
    kept: int

    def as_json(self) -> dict[str, int]:
        return {"version": self.version, "kept": self.kept}


def rotate_link_secret(operator: Operator, link_seconds: float) -> Rotation:
    """Signs links with a new secret from now on. Those that were given out work to their end, at most `link_seconds`
    from now. Raises StoreUnavailable.
    """
    now = operator.now
    with operator.writing() as connection:
        made = rotate_secret(connection, SECRET_NAME, operator.random_bytes(SECRET_BYTES), now)
        oldest = needed(secrets_of(connection, SECRET_NAME), now, link_seconds)[-1].version
        drop_secrets(connection, SECRET_NAME, oldest)
        record_change(
            connection,
            operator.change(),
            "files.rotate_secret",
            SECRET_NAME,
            {"version": made.version - 1} if made.version > 1 else None,
            {"version": made.version},
        )
    return Rotation(made.version, made.version - oldest)
