"""What a limit is and how it is written: `images:100/day`, `usd:5.50/month@openai/gpt-image-2`, `concurrent:3`.

Pure values and text. Counts nothing and refuses nobody: admission.py decides.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from app.errors import InvalidValue
from app.images.catalog.model_spec import NANOUSD_PER_USD

_COUNT_MAX = 10**15
_NANOUSD_MAX = 10**9 * NANOUSD_PER_USD
_WRITTEN = re.compile(r"(?P<unit>[a-z]+):(?P<amount>[^/@]+)(?:/(?P<window>[a-z]+))?(?:@(?P<model>.*))?", re.DOTALL)
_COUNT = re.compile(r"[0-9]{1,16}")
_USD = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?")
_MODEL = re.compile(r"[A-Za-z0-9._:/-]{1,120}")


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    IMAGES = "images"
    TOKENS = "tokens"
    USD = "usd"  # nano-USD inside
    CONCURRENT = "concurrent"  # requests that are pending now


class Window(StrEnum):
    """The span in which a limit counts. UTC calendar."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"
    NOW = "now"  # only for `concurrent`: the present moment


class Scope(StrEnum):
    """Whose usage a limit counts. `default` counts nothing: it is copied to every new user."""

    GATEWAY = "gateway"
    TEAM = "team"
    USER = "user"
    KEY = "key"
    ACCOUNT = "account"  # one of the gateway's ZenMux accounts
    DEFAULT = "default"


_WINDOWS_WRITTEN = ", ".join(window for window in Window if window is not Window.NOW)
_UNITS_WRITTEN = ", ".join(unit for unit in Unit if unit is not Unit.CONCURRENT)
_HOW = "write unit:amount/window, such as images:100/day, or concurrent:3, and @model to limit one model"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` (nano-USD for usd) of `unit` in each `window`, by `scope_id`, with `model` ('': any model).

    A shadow limit counts and reports what it would have refused, and refuses nothing. Until `raised_until_ms` it allows
    `raised_amount`, if that is more. Raises ValueError if the parts do not fit together.
    """

    unit: Unit
    amount: int
    window: Window
    scope: Scope
    scope_id: str
    model: str = ""
    shadow: bool = False
    raised_amount: int | None = None
    raised_until_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.raised_amount is None) != (self.raised_until_ms is None):
            raise ValueError("a limit is raised to an amount until a moment")
        if (self.unit is Unit.CONCURRENT) != (self.window is Window.NOW):
            raise ValueError("concurrent counts now, everything else counts in a window")
        if not 0 <= self.amount <= _amount_max(self.unit):
            raise ValueError(f"{self.unit} {self.amount} is negative or beyond what can be counted")
        if (self.scope in (Scope.GATEWAY, Scope.DEFAULT)) != (self.scope_id == ""):
            raise ValueError(f"scope {self.scope} with id {self.scope_id!r}: gateway and default have none, others one")

    def at(self, now_ms: int) -> "Limit":
        """The limit as it counts at a moment: with the amount of then; without a raise that has ended."""
        if self.raised_until_ms is None or self.raised_amount is None:
            return self
        if now_ms < self.raised_until_ms:
            return replace(self, amount=max(self.amount, self.raised_amount))
        return replace(self, raised_amount=None, raised_until_ms=None)

    @property
    def counter_window(self) -> Window:
        """The window of the counter this limit uses: the `total` counter has what is pending now."""
        return Window.TOTAL if self.window is Window.NOW else self.window


@dataclass(frozen=True, slots=True)
class WrittenLimit:
    """A limit as it is written, without an owner."""

    unit: Unit
    amount: int
    window: Window
    model: str = ""

    def on(self, scope: Scope, scope_id: str = "", *, shadow: bool = False) -> Limit:
        """The limit for one team, user or key, for the gateway, or as a default of new users."""
        return Limit(self.unit, self.amount, self.window, scope, scope_id, self.model, shadow)


def parse_limit(text: str) -> WrittenLimit:
    """The limit written in `text`. The model after `@` is not translated: the caller turns it into a catalog id.

    Raises InvalidValue that names the part that is wrong.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        raise InvalidValue(f"limit {text!r} is not understood: {_HOW}")
    unit, model = _unit(match["unit"], text), match["model"]
    if model is not None and not _MODEL.fullmatch(model):
        raise InvalidValue(f"limit {text!r}: {model!r} is no model name")
    return WrittenLimit(unit, _amount(unit, match["amount"], text), _window(unit, match["window"], text), model or "")


def format_limit(limit: Limit | WrittenLimit) -> str:
    """The written form of a limit; `parse_limit` reads it back."""
    amount = format_usd(limit.amount) if limit.unit is Unit.USD else str(limit.amount)
    window = "" if limit.window is Window.NOW else f"/{limit.window}"
    model = f"@{limit.model}" if limit.model else ""
    return f"{limit.unit}:{amount}{window}{model}"


def format_usd(nanousd: int) -> str:
    """Nano-USD as exact dollars without a sign, with at least two decimals and no further zeros."""
    sign, (dollars, rest) = "-" if nanousd < 0 else "", divmod(abs(nanousd), NANOUSD_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{decimals}"


def describe_amount(unit: Unit, amount: int) -> str:
    """An amount for people: `$5.50`, `1 image`, `12,000 tokens`."""
    if unit is Unit.USD:
        return f"${format_usd(amount)}"
    noun = Unit.REQUESTS.value if unit is Unit.CONCURRENT else unit.value
    return f"{amount:,} {noun.removesuffix('s') if amount == 1 else noun}"


def _amount_max(unit: Unit) -> int:
    return _NANOUSD_MAX if unit is Unit.USD else _COUNT_MAX


def _unit(written: str, text: str) -> Unit:
    try:
        return Unit(written)
    except ValueError:
        raise InvalidValue(f"limit {text!r}: unit {written!r} is none of {_UNITS_WRITTEN}, concurrent") from None


def _window(unit: Unit, written: str | None, text: str) -> Window:
    if unit is Unit.CONCURRENT:
        if written is not None:
            raise InvalidValue(f"limit {text!r}: concurrent counts what runs now and takes no window; drop /{written}")
        return Window.NOW
    if written is None:
        raise InvalidValue(f"limit {text!r} names no window: add one of {_WINDOWS_WRITTEN}, such as /day")
    if written == Window.NOW or written not in list(Window):
        raise InvalidValue(f"limit {text!r}: window {written!r} is none of {_WINDOWS_WRITTEN}")
    return Window(written)


def _amount(unit: Unit, written: str, text: str) -> int:
    if unit is Unit.USD:
        if not _USD.fullmatch(written):
            raise InvalidValue(f"limit {text!r}: {written!r} is no amount in dollars with at most 9 decimals")
        amount = int(Decimal(written) * NANOUSD_PER_USD)
    elif not _COUNT.fullmatch(written):
        raise InvalidValue(f"limit {text!r}: {written!r} is no whole number")
    else:
        amount = int(written)
    if amount > _amount_max(unit):
        raise InvalidValue(f"limit {text!r}: {written} is more than can be counted; leave the limit out instead")
    return amount
