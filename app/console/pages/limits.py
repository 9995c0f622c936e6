"""Limits: the fullest first, each owner's, with forms to set and remove them."""

from datetime import timedelta

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.limits import Target, list_limits, raise_limits, remove_limits, set_limits
from app.admin.lookup.model_names import ModelNames
from app.admin.reads.glance import read_nearest
from app.admin.views import written_limit
from app.console.web.csv_answer import csv_answer
from app.console.web.forms import NO_FORM, Form
from app.console.web.visit import Visit
from app.errors import AdministrationError, InvalidValue
from app.quotas.rules.limits import Scope, Unit, Window, format_limit
from app.settings.values import UnknownModels

PATH = "/console/limits"
NEAREST_SHOWN = 20
_SCOPES = {
    Scope.USER: "User",
    Scope.TEAM: "Team",
    Scope.KEY: "Key",
    Scope.GATEWAY: "The gateway",
    Scope.DEFAULT: "New users",
}
_RAISES = {"": None, "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}
_OF_LEADS = (Scope.USER, Scope.KEY)


async def show_limits(visit: Visit, error: str | None = None, form: Form = NO_FORM) -> Response:
    """The page. `error` and `form`: what a form was refused for, and what it held."""
    limits = await visit.read(list_limits)
    if visit.asked("format") == "csv":
        rows = (
            (each.limit.scope.value, each.name, format_limit(each.limit), str(each.limit.shadow)) for each in limits
        )
        return csv_answer("limits", ("scope", "owner", "limit", "shadow"), rows)
    sees_all = visit.may(Permission.READ_GATEWAY)
    fullest = await visit.read(lambda operator: read_nearest(operator, NEAREST_SHOWN)) if sees_all else None
    is_lead = not visit.may(Permission.REMOVE_LIMITS)
    return visit.page(
        "limits.html",
        200 if error is None else 400,
        limits=limits,
        fullest=fullest,
        scopes={scope: text for scope, text in _SCOPES.items() if not is_lead or scope in _OF_LEADS},
        units=list(Unit),
        windows=[window for window in Window if window is not Window.NOW],
        models=[spec.name for spec in visit.services.policy.catalog.models],
        written=format_limit,
        shown=written_limit,
        raises=_RAISES,
        error=error,
        form=form,
    )


async def set_limit_page(visit: Visit) -> Response:
    """Sets a limit, or changes the one with the same unit, window and model: for good, or raises it for a time."""
    form = await visit.form()
    try:
        target, written = _target(form), model_names(visit).limit_of(_written(form))
        shadow, lasts = form.get("shadow") == "on", _lasts(form)
        if lasts is not None and shadow:
            raise InvalidValue("A shadow limit refuses nothing, so there is nothing to raise.")
        if lasts is not None:
            until = visit.now + lasts
            await visit.change(lambda operator: raise_limits(operator, target, [written], until))
            return visit.to(PATH, "limit-raised")
        await visit.change(lambda operator: set_limits(operator, target, [written], shadow=shadow))
    except AdministrationError as error:
        return await show_limits(visit, error.message, form)
    return visit.to(PATH, "limit-set")


async def remove_limit_page(visit: Visit) -> Response:
    """Removes a limit."""
    form = await visit.form()
    try:
        target, written = _target(form), model_names(visit).limit_of(form.get("limit"))
        await visit.change(lambda operator: remove_limits(operator, target, [written]))
    except AdministrationError as error:
        return await show_limits(visit, error.message, form)
    return visit.to(PATH, "limit-removed")


def model_names(visit: Visit) -> ModelNames:
    """The names of models, as the settings allow them."""
    policy, settings = visit.services.policy, visit.services.settings
    passes_unknown = settings.unknown_models is UnknownModels.PASS
    return ModelNames(policy.catalog, passes_unknown, settings.successor_model or policy.catalog.successor)


def _lasts(form: Form) -> timedelta | None:
    if form.get("until") not in _RAISES:
        raise InvalidValue("Say for how long: for good, or one of the times of the form.")
    return _RAISES[form.get("until")]


def _target(form: Form) -> Target:
    try:
        scope = Scope(form.get("scope"))
    except ValueError:
        raise InvalidValue("Say whose limit it is: one of " + ", ".join(_SCOPES.values()) + ".") from None
    if scope in (Scope.GATEWAY, Scope.DEFAULT):
        return Target(scope)
    if not form.get("owner"):
        raise InvalidValue(f"Say which {scope}: its name, or a key's id.")
    return Target(scope, form.get("owner"))


def _written(form: Form) -> str:
    """The limit as it is typed at the terminal: one form of it, one message for what is wrong."""
    unit, model = form.get("unit"), form.get("model")
    window = "" if unit == Unit.CONCURRENT else f"/{form.get('window')}"
    return f"{unit}:{form.get('amount')}{window}" + (f"@{model}" if model else "")


PAGES = (
    ("GET", PATH, show_limits, Permission.READ_PEOPLE),
    ("POST", PATH, set_limit_page, Permission.SET_LIMITS),
    ("POST", f"{PATH}/remove", remove_limit_page, Permission.REMOVE_LIMITS),
)
