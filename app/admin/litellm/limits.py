"""LiteLLM's budgets and rates as limits in written form. What has no window of the same length gets the next longer
one, which allows no more. Pure.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from app.admin.litellm.models import Models
from app.admin.litellm.objects import LitellmBudget, LitellmOwner
from app.errors import InvalidValue
from app.quotas.rules.limits import Window, parse_limit

Note = Callable[[str, str], None]
"""Takes the name of a part and what became of it."""

_DURATION = re.compile(r"(?P<count>\d{1,6})(?P<unit>s|m|h|d|w|mo)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 31 * 86_400}
_MONTH_SECONDS = range(28 * 86_400, 31 * 86_400 + 1)
_LONGEST = {Window.MINUTE: 60, Window.HOUR: 3600, Window.DAY: 86_400, Window.WEEK: 604_800, Window.MONTH: 31 * 86_400}
_BILLIONTH = Decimal("0.000000001")

_At = tuple[str, str, str]
"""Unit, window, model."""


def written_limits(owner: LitellmOwner, models: Models, note: Note) -> list[str]:
    """The limits of a team, a user or a key. Of two for the same thing, the smaller one."""
    found: dict[_At, Decimal] = {}
    for (unit, window, model), amount in _amounts(owner, models, note):
        smallest = min(amount, found.get((unit, window, model), amount))
        found[unit, window, model] = max(smallest, Decimal(0))
    return [text for at, amount in found.items() if (text := _written(at, amount, note))]


def _amounts(owner: LitellmOwner, models: Models, note: Note) -> Iterator[tuple[_At, Decimal]]:
    for budget in (owner, owner.litellm_budget_table):
        if budget is not None:
            yield from _plain(budget, note)
            yield from _by_model(budget, models, note)
    for field, unit in (("model_rpm_limit", "requests"), ("model_tpm_limit", "tokens")):
        rates = owner.metadata.get(field)
        for name, amount in (rates if isinstance(rates, dict) else {}).items():
            if isinstance(amount, int):
                for model in _models(models, name, field, note):
                    yield (unit, Window.MINUTE, model), Decimal(amount)


def _plain(budget: LitellmBudget, note: Note) -> Iterator[tuple[_At, Decimal]]:
    if budget.max_budget is not None:
        yield ("usd", _window(budget.budget_duration, "budget_duration", note), ""), _decimal(budget.max_budget)
    for each in budget.budget_limits:
        amount, duration = each.get("max_budget"), each.get("budget_duration")
        if isinstance(amount, int | float):
            yield ("usd", _window(duration, "budget_limits", note), ""), _decimal(amount)
    for rate, unit, window in (
        (budget.rpm_limit, "requests", Window.MINUTE),
        (budget.tpm_limit, "tokens", Window.MINUTE),
        (budget.tpd_limit, "tokens", Window.DAY),
        (budget.max_parallel_requests, "concurrent", Window.NOW),
    ):
        if rate is not None:
            yield (unit, window, ""), Decimal(rate)
    if budget.soft_budget is not None:
        note("soft_budget", "left out: GATEWAY_THRESHOLDS_PERCENT warns before any limit is reached")


def _by_model(budget: LitellmBudget, models: Models, note: Note) -> Iterator[tuple[_At, Decimal]]:
    for name, said in budget.model_max_budget.items():
        of_model: Mapping[str, Any] = said if isinstance(said, dict) else {"max_budget": said}
        amount = of_model.get("max_budget", of_model.get("budget_limit"))
        duration = of_model.get("budget_duration", of_model.get("time_period"))
        if isinstance(amount, int | float):
            for model in _models(models, name, "model_max_budget", note):
                yield ("usd", _window(duration, "model_max_budget", note), model), _decimal(amount)


def _models(models: Models, name: str, field: str, note: Note) -> list[str]:
    found = sorted(models.ids(name))
    if not found:
        note(field, f"left out for {name}, which is no image model here")
    return found


def _window(duration: object, field: str, note: Note) -> Window:
    """The window of that length, or the next longer one; without a length, or beyond a month: for good."""
    if duration is None:
        return Window.TOTAL
    match = _DURATION.fullmatch(str(duration))
    seconds = int(match["count"]) * _SECONDS[match["unit"]] if match else None
    if seconds is None:
        note(field, f"{str(duration)[:40]!r} is no length of time: the budget is for good")
        return Window.TOTAL
    window = next((window for window, longest in _LONGEST.items() if seconds <= longest), Window.TOTAL)
    if seconds != _LONGEST.get(window) and not (window is Window.MONTH and seconds in _MONTH_SECONDS):
        longer = "for good" if window is Window.TOTAL else f"for a whole {window}"
        note(field, f"the gateway has no window of {duration}: the budget is {longer}, which allows less")
    return window


def _decimal(amount: float) -> Decimal:
    return Decimal(str(amount)).quantize(_BILLIONTH, ROUND_DOWN) if abs(amount) < 1e15 else Decimal("1e15")


def _written(at: _At, amount: Decimal, note: Note) -> str | None:
    unit, window, model = at
    in_window = "" if window == Window.NOW else f"/{window}"
    text = f"{unit}:{amount.normalize():f}{in_window}{f'@{model}' if model else ''}"
    try:
        parse_limit(text)
    except InvalidValue:
        note(unit, f"no limit: {amount:f} is more than can be counted")
        return None
    return text
