"""Requests that are sent again: when they are answered with what was bought before, and what is kept for that."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field


class KeepAnswers(StrEnum):
    """Which answers are kept that nobody asked to keep."""

    NEEDED = "needed"
    ALWAYS = "always"


def _on_or_off(value: object) -> object:
    return {"on": True, "off": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


OnOff = Annotated[bool, BeforeValidator(_on_or_off)]


class ReplaySettings(BaseModel):
    """Requests that are sent again: when they are answered with what was bought before, and what is kept for that."""

    join_retries: OnOff = Field(
        default=True,
        description="on: a retry of a request whose answer was not delivered gets that answer; off: buys anew.",
    )
    join_abandoned_seconds: float = Field(
        60,
        ge=0,
        le=600,
        description="How long an equal request that does not say it is a retry gets an undelivered answer; 0: never.",
    )
    replay_seconds: int = Field(
        86_400,
        ge=1200,  # as long as an answer without a key is kept, and longer than an image takes
        le=2_592_000,
        description="How long a request with an Idempotency-Key is answered from what is kept.",
    )
    keep_answers: KeepAnswers = Field(
        KeepAnswers.NEEDED,
        description="needed keeps answers that may be asked for again; always keeps all, so that cut ones can be had.",
    )

    @property
    def keeps_all_answers(self) -> bool:
        return self.keep_answers is KeepAnswers.ALWAYS
