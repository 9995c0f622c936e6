"""What is held now: how many reservations are pending, for how much money, and since when. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from app.database.clock import from_ms
from app.database.schema import ledger_tables

_rows = ledger_tables.reservations.c


@dataclass(frozen=True, slots=True)
class Held:
    """`oldest_at` None: nothing is pending."""

    requests: int
    images: int
    nanousd: int
    oldest_at: datetime | None


def read_held(connection: Connection) -> Held:
    """The sums over all pending reservations."""
    count, images, nanousd, oldest_ms = connection.execute(
        select(
            func.count(), func.sum(_rows.held_images), func.sum(_rows.held_nanousd), func.min(_rows.reserved_at_ms)
        ).where(ledger_tables.IS_PENDING)
    ).one()
    return Held(count, int(images or 0), int(nanousd or 0), None if oldest_ms is None else from_ms(oldest_ms))
