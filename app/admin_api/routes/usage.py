"""/admin/v1/usage and /admin/v1/refusals: sums over time, for charts and tables."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from app.admin.operator import Operator
from app.admin.reads.others import list_refusals
from app.admin.reads.usage_series import list_series, series_page
from app.admin_api.calls import ReadingCall
from app.admin_api.filters import OwnersQuery, Word
from app.admin_api.lists import page_answer
from app.admin_api.requests import StrictRoute, of_field
from app.admin_api.shapes.basics import ListShape
from app.admin_api.shapes.records import RefusalShape, UsageShape
from app.errors import InvalidRequest
from app.quotas.reports.lists.refusals import WantedRefusals
from app.quotas.reports.lists.series import Span, WantedSeries

router = APIRouter(prefix="/admin/v1", tags=["usage"], route_class=StrictRoute)

_OWNERS = ("user", "team", "key")
_WORDS = (*_OWNERS, "model", "operation", "size", "quality", "outcome", "account")
_USUAL = timedelta(days=30)


class UsageQuery(OwnersQuery):
    """Which sums."""

    by: str = Field("", description=f"Split by these words, with commas: {', '.join(_WORDS)}.", max_length=200)
    bucket: Span = Field(Span.DAY, description="How long one sum is. `minute` needs the records, which are pruned.")
    model: Word = Field(None, description="Only of this model, by its full id.")
    operation: Word = None
    size: Word = None
    quality: Word = None
    outcome: Word = None
    account: Word = None

    @property
    def split(self) -> tuple[str, ...]:
        """Raises InvalidRequest for a word by which nothing is split."""
        words = [word.strip() for word in self.by.split(",") if word.strip()]
        for word in words:
            if word not in _WORDS or words.count(word) > 1:
                message = f"Invalid query parameter 'by': {word[:80]!a} is none of {', '.join(_WORDS)}, or there twice."
                raise InvalidRequest(message, param="by", code="invalid_value")
        return tuple(map(_column, words))


class RefusalsQuery(OwnersQuery):
    """Which refusals."""

    code: Word = Field(None, description="Only with this code of an error.")


@router.get("/usage", response_model=ListShape[UsageShape])
async def list_usage(request: Request, call: ReadingCall, asked: Annotated[UsageQuery, Query()]) -> Response:
    """Sums of what was resolved, of the last 30 days if no time is given. Nothing that is pending is in them."""
    only = tuple((_column(word), frozenset([value])) for word in _WORDS if (value := getattr(asked, word)) is not None)
    since, until = _times(call.services.clock(), asked.since, asked.until)
    wanted = WantedSeries(since, until, asked.bucket, asked.split, only)
    with of_field("after"):
        page = series_page(wanted, asked.after, asked.limit)

    def answer(operator: Operator) -> Response:
        return page_answer(request, UsageShape, "usage", list_series(operator, wanted, page))

    with of_field("since"):
        return await call.answer(answer)


@router.get("/refusals", response_model=ListShape[RefusalShape])
async def list_all_refusals(request: Request, call: ReadingCall, asked: Annotated[RefusalsQuery, Query()]) -> Response:
    """How often requests were refused, by hour, user, key and code: of the last 30 days if no time is given."""
    since, until = _times(call.services.clock(), asked.since, asked.until)
    wanted = WantedRefusals(since, until, asked.columns("code"))

    def answer(operator: Operator) -> Response:
        page = list_refusals(operator, wanted, asked.after, asked.limit)
        return page_answer(request, RefusalShape, "refusal", page)

    with of_field("after"):
        return await call.answer(answer)


def _column(word: str) -> str:
    return f"{word}_id" if word in _OWNERS else word


def _times(now: datetime, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """The last 30 whole days and today, where nothing is said."""
    end = until or now + timedelta(minutes=1)
    return since or (min(end, now) - _USUAL).replace(hour=0, minute=0, second=0, microsecond=0), end
