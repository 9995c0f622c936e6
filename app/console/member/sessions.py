"""My sessions: where I am signed in, and an end to each."""

from starlette.responses import Response

from app.admin.access.sign_in import list_sessions, sign_out
from app.console.web.visit import Visit

PATH = "/console/me/sessions"


async def show_sessions(visit: Visit) -> Response:
    """The open sessions of the visitor."""
    assert visit.session is not None
    user_id, bounds = visit.session.user_id, visit.site.bounds
    found = await visit.read(lambda operator: list_sessions(operator, user_id, bounds))
    return visit.page("sessions.html", sessions=found)


async def end_session_page(visit: Visit) -> Response:
    """Ends one of them."""
    assert visit.session is not None
    session_id, user_id = (await visit.form()).get("session"), visit.session.user_id
    await visit.change(lambda operator: sign_out(operator, session_id, user_id))
    return visit.to(PATH, "session-ended")


PAGES = (("GET", PATH, show_sessions, None), ("POST", PATH, end_session_page, None))
