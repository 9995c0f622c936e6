"""The templates, with the words and drawings that they use. Everything is escaped unless a drawing made it."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.console.drawing import charts, words
from app.console.web.assets import Assets

_FOLDER = Path(__file__).parents[1] / "templates"


def templates(assets: Assets, clock: Callable[[], datetime]) -> Environment:
    """The environment that renders every page."""
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(
        money=words.money,
        count=words.count,
        percent=words.percent,
        in_unit=words.in_unit,
        span=words.span,
        milliseconds=words.milliseconds,
        size_of=words.size_of,
        time=_time,
        moment_of=lambda text: _time(datetime.fromisoformat(text)),
        since=lambda at: _time(at, words.since(at, clock())),
    )
    found.globals.update(asset=assets.url, icon=_icon(assets), limit_bar=_limit_bar)
    return found


def _time(at: datetime, said: str | None = None) -> Markup:
    """A `<time>` that says UTC, or how long ago with the moment as its title."""
    machine, full = words.machine_moment(at), words.moment(at)
    if said is None:
        return Markup('<time datetime="{}">{}</time>').format(machine, full)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, full, said)


def _icon(assets: Assets) -> Callable[[str], Markup]:
    sprite = assets.url("icons")

    def icon(name: str) -> Markup:
        """One of the sprite's icons; the text beside it says what it means."""
        return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>').format(sprite, name)

    return icon


def _limit_bar(status: Any) -> Markup:  # noqa: ANN401 - a LimitStatus, of a room that this one does not import
    amount = status.limit.amount or 1
    settled, pending = (status.used - status.pending) / amount, status.pending / amount
    label = f"{words.percent(status.used / amount)} used"
    return Markup(charts.limit_bar(settled, pending, label))  # noqa: S704 - charts.py escapes
