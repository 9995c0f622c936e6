"""One request of a browser: who visits, what they may see, and the answers a page can give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.admin.access.leads import check_new_key
from app.admin.access.permissions import Permission, Reach, permit
from app.admin.operator import Operator
from app.api.services import Services, services_of
from app.console.web.cookies import Cookies
from app.console.web.forms import Form, read_form
from app.console.web.headers import PAGE_HEADERS
from app.console.web.notices import NOTICES
from app.console.web.site import Site
from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.identity.sessions.sessions import ConsoleSession

_T = TypeVar("_T")


@dataclass(slots=True)
class Visit:
    """A request to a page. `session` is None only on the pages of signing in."""

    request: Request
    site: Site
    session: ConsoleSession | None

    @property
    def services(self) -> Services:
        return services_of(self.request)

    @property
    def now(self) -> datetime:
        return self.services.clock()

    @property
    def cookies(self) -> Cookies:
        return self.site.cookies_for(self.request)

    @property
    def principal(self) -> Principal:
        """Who visits. Only the session says so."""
        assert self.session is not None
        return principal_of_session(self.session)

    @property
    def user_id(self) -> str:
        """The id of the user who visits. Raises NotPermitted for the admin key, which belongs to nobody."""
        assert self.session is not None
        if self.session.user_id is None:
            raise NotPermitted("The admin key belongs to nobody, so it has no keys and no usage. Sign in as a user.")
        return self.session.user_id

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def asked(self, name: str) -> str:
        """One value of the query, without spaces around it."""
        return self.request.query_params.get(name, "").strip()

    @property
    def is_operator(self) -> bool:
        """Whether the pages of operators are for the visitor."""
        return self.may(Permission.READ_PEOPLE)

    def may(self, action: Permission) -> bool:
        """Whether the visitor may do it to others: what the pages of operators offer."""
        try:
            return permit(self.principal, action) is not Reach.OWN
        except NotPermitted:
            return False

    def may_make_key_of(self, user_id: str | None) -> bool:
        """Whether the visitor may make a key of this user whom they see; None: of nobody."""
        try:
            check_new_key(self.principal, user_id or "")
        except NotPermitted:
            return False
        return user_id is not None

    async def read(self, use_case: Callable[[Operator], _T]) -> _T:
        """What a use case that only reads returns or raises, beside the event loop."""
        return await self.services.administration.read(self.principal, use_case)

    async def change(self, use_case: Callable[[Operator], _T]) -> _T:
        """The same for a use case that changes something."""
        return await self.services.administration.change(self.principal, use_case)

    async def form(self) -> Form:
        """The form that was sent."""
        return await read_form(self.request)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401 - each template's own
        """A template as an answer, with what every page shows."""
        return page(self, template, status, values)

    def to(self, path: str, notice: str | None = None, **query: str) -> Response:
        """Sends the browser on with a GET. `notice` is a key of NOTICES, which the next page shows."""
        assert notice is None or notice in NOTICES, notice
        pairs = {**query, **({"done": notice} if notice else {})}
        return see_other(f"{path}?{urlencode(pairs)}" if pairs else path)


def page(visit: Visit, template: str, status: int, values: Mapping[str, Any]) -> Response:
    """A template as an answer."""
    environment: Environment = visit.site.templates
    settings = visit.services.settings
    text = environment.get_template(template).render(
        visit=visit,
        site=visit.site,
        now=visit.now,
        path=visit.request.url.path,
        theme=visit.cookies.theme(visit.request),
        notice=NOTICES.get(visit.asked("done")),
        is_sandbox=settings.sandbox,
        Permission=Permission,
        **values,
    )
    return HTMLResponse(text, status, headers=PAGE_HEADERS)


def see_other(path: str) -> Response:
    """Sends the browser on with a GET, to a path of ours."""
    return RedirectResponse(path, 303, headers=PAGE_HEADERS)


def principal_of_session(session: ConsoleSession) -> Principal:
    """As whom a session acts: the admin key's as `admin-key`, everybody else's as `user:<name>`."""
    actor = "admin-key" if session.user_id is None else f"user:{session.user_name}"
    return Principal(actor, Role(session.role), session.user_id, session.team_id)
