"""What an image of each model, size and quality really cost, from the totals of days. Reads only; exact integers."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, cast, func, select

from app.database.clock import to_ms
from app.database.schema.total_tables import usage_days

_COMBINATIONS_MAX = 500  # a size may be anything that a model allows; the dearest are kept


@dataclass(frozen=True, slots=True)
class SizeCost:
    """The images of one model, size and quality, and what they cost together."""

    model: str
    size: str
    quality: str
    images: int
    nanousd: int

    @property
    def mean_nanousd(self) -> int:
        return self.nanousd // self.images


def costs_by_size(connection: Connection, since: datetime) -> list[SizeCost]:
    """Everything that was charged for images since that midnight (UTC), the dearest together first."""
    days = usage_days.c
    images, nanousd = (cast(func.sum(days[name]), BigInteger) for name in ("charged_images", "charged_nanousd"))
    query = (
        select(days.model, days.size, days.quality, images, nanousd)
        .where(days.day_start_ms >= to_ms(since), days.size != "")
        .group_by(days.model, days.size, days.quality)
        .having(images > 0)
        .order_by(nanousd.desc(), days.model, days.size, days.quality)
        .limit(_COMBINATIONS_MAX)
    )
    return [SizeCost(*row) for row in connection.execute(query)]
