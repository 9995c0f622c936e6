"""People: teams, users and their keys, made, moved, disabled; a new key is shown once."""

from datetime import timedelta

from starlette.responses import Response

from app.admin import keys as key_cases
from app.admin import teams as team_cases
from app.admin import users as user_cases
from app.admin.access.permissions import Permission
from app.admin.keys import WantedKey
from app.admin.reads.explain import explain_user
from app.admin.views import MintedKeyView
from app.console.pages.limits import model_names
from app.console.web.forms import NO_FORM, Form
from app.console.web.snippets import snippets_for
from app.console.web.visit import Visit
from app.errors import AdministrationError, InvalidValue
from app.identity.people.roles import Role

PATH = "/console/people"
_OVERLAPS = {"0": timedelta(), "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}
_EXPIRIES = {"": None, "30d": timedelta(days=30), "90d": timedelta(days=90), "365d": timedelta(days=365)}


async def show_people(visit: Visit, error: str | None = None, form: Form = NO_FORM) -> Response:
    """Every team and user."""
    users, teams = await visit.read(user_cases.list_users), await visit.read(team_cases.list_teams)
    wanted = visit.asked("q").casefold()
    shown = [view for view in users if wanted in view.user.name.casefold()]
    return visit.page(
        "people.html", 200 if error is None else 400, users=shown, teams=teams, error=error, form=form, q=wanted
    )


async def show_user(visit: Visit, error: str | None = None, minted: MintedKeyView | None = None) -> Response:
    """One user: keys, limits with their use, team. `minted`: a key just made, shown this once."""
    name: str = visit.request.path_params["name"]
    view = await visit.read(lambda operator: user_cases.show_user(operator, name))
    keys = await visit.read(lambda operator: key_cases.list_keys(operator, view.user.id))
    return visit.page(
        "user.html",
        200 if error is None else 400,
        view=view,
        keys=keys,
        may_make_key=visit.may_make_key_of(view.user.id),
        teams=await visit.read(team_cases.list_teams),
        roles=list(Role),
        statuses=(await visit.read(lambda operator: explain_user(operator, view.user.id))).statuses,
        models=[spec.name for spec in visit.services.policy.catalog.models],
        expiries=_EXPIRIES,
        overlaps=_OVERLAPS,
        error=error,
        minted=minted,
        snippets=None if minted is None else snippets_for(visit, minted.text.get_secret_value()),
    )


async def make_user(visit: Visit) -> Response:
    """Makes a user with the default limits."""
    form = await visit.form()
    name, team = form.get("name"), form.get("team") or None
    try:
        made = await visit.change(lambda operator: user_cases.create_user(operator, name, team=team))
    except AdministrationError as error:
        return await show_people(visit, error.message, form)
    return visit.to(user_path(made.user.id), "user-made")


async def make_team(visit: Visit) -> Response:
    """Makes a team."""
    form = await visit.form()
    name = form.get("team_name")
    try:
        await visit.change(lambda operator: team_cases.create_team(operator, name))
    except AdministrationError as error:
        return await show_people(visit, error.message, form)
    return visit.to(PATH, "team-made")


async def change_user(visit: Visit) -> Response:
    """Moves a user into a team, gives a role, disables or enables them: whatever button was pressed."""
    form, name = await visit.form(), visit.request.path_params["name"]
    try:
        match form.get("do"):
            case "team":
                team = form.get("team") or None
                await visit.change(lambda operator: user_cases.set_user_team(operator, name, team))
                return visit.to(user_path(name), "team-set")
            case "role":
                role = form.get("role")
                await visit.change(lambda operator: user_cases.set_user_role(operator, name, role))
                return visit.to(user_path(name), "role-set")
            case "disable":
                await visit.change(lambda operator: user_cases.disable_user(operator, name))
                return visit.to(user_path(name), "user-disabled")
            case "enable":
                await visit.change(lambda operator: user_cases.enable_user(operator, name))
                return visit.to(user_path(name), "user-enabled")
        raise InvalidValue("The form does not say what to do.")
    except AdministrationError as error:
        return await show_user(visit, error.message)


async def make_key(visit: Visit) -> Response:
    """Makes a key. The answer to this form is the only place that ever shows it."""
    form, name = await visit.form(), visit.request.path_params["name"]
    try:
        names = model_names(visit)
        models = tuple(names.id_of(each) for each in form.all("model")) or None
        lifetime = _EXPIRIES.get(form.get("expires"))
        wanted = WantedKey(
            name,
            form.get("key_name") or None,
            models,
            None if lifetime is None else visit.now + lifetime,
            names.limits_of(form.all("limit")),
        )
        minted = await visit.change(lambda operator: key_cases.create_key(operator, wanted))
    except AdministrationError as error:
        return await show_user(visit, error.message)
    return await show_user(visit, minted=minted)


async def change_key(visit: Visit) -> Response:
    """Rotates, disables or enables a key of this user."""
    form = await visit.form()
    name, key_id = visit.request.path_params["name"], visit.request.path_params["key"]
    try:
        match form.get("do"):
            case "rotate":
                overlap = _OVERLAPS.get(form.get("overlap"), timedelta(days=1))
                minted = await visit.change(lambda operator: key_cases.rotate_key(operator, key_id, overlap))
                return await show_user(visit, minted=minted)
            case "disable":
                await visit.change(lambda operator: key_cases.disable_key(operator, key_id))
                return visit.to(user_path(name), "key-disabled")
            case "enable":
                await visit.change(lambda operator: key_cases.enable_key(operator, key_id))
                return visit.to(user_path(name), "key-enabled")
        raise InvalidValue("The form does not say what to do.")
    except AdministrationError as error:
        return await show_user(visit, error.message)


async def back_to_user(visit: Visit) -> Response:
    """Whoever made a key, and signed in again since, comes back to an address that only takes forms."""
    return visit.to(user_path(visit.request.path_params["name"]))


def user_path(name: str) -> str:
    """The page of a user, by their id: a name may contain anything."""
    return f"{PATH}/{name}"


PAGES = (
    ("GET", PATH, show_people, Permission.READ_PEOPLE),
    ("POST", f"{PATH}/users", make_user, Permission.CHANGE_USERS),
    ("POST", f"{PATH}/teams", make_team, Permission.CHANGE_TEAMS),
    ("GET", f"{PATH}/{{name}}", show_user, Permission.READ_PEOPLE),
    ("POST", f"{PATH}/{{name}}", change_user, Permission.CHANGE_USERS),
    ("GET", f"{PATH}/{{name}}/keys", back_to_user, Permission.READ_PEOPLE),
    ("POST", f"{PATH}/{{name}}/keys", make_key, Permission.MINT_KEYS),
    ("GET", f"{PATH}/{{name}}/keys/{{key}}", back_to_user, Permission.READ_PEOPLE),
    ("POST", f"{PATH}/{{name}}/keys/{{key}}", change_key, Permission.DISABLE_KEYS),
)
