"""The JSON of OpenAI's reports."""

from typing import Generic, Literal

from app.admin_api.shapes.basics import Item, Shape


class UsageResultShape(Shape):
    """Images and requests of one group."""

    object: Literal["organization.usage.images.result"]
    images: int
    num_model_requests: int
    source: str | None
    size: str | None
    project_id: str | None
    user_id: str | None
    api_key_id: str | None
    model: str | None


class AmountShape(Shape):
    """Dollars."""

    value: float
    currency: Literal["usd"]


class CostsResultShape(Shape):
    """What one group cost."""

    object: Literal["organization.costs.result"]
    amount: AmountShape
    amount_nanousd: int
    line_item: str | None
    project_id: str | None
    api_key_id: str | None
    user_id: str | None
    api_source: str | None
    quantity: float | None
    quantity_unit: str | None


class BucketShape(Shape, Generic[Item]):
    """A minute, an hour or a day."""

    object: Literal["bucket"]
    start_time: int
    end_time: int
    results: list[Item]


class ReportShape(Shape, Generic[Item]):
    """A page of buckets."""

    object: Literal["page"]
    data: list[BucketShape[Item]]
    has_more: bool
    next_page: str | None
