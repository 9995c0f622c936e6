"""System: what runs here, and how it is set, without a secret."""

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.status import read_status
from app.console.web.visit import Visit


async def show_system(visit: Visit) -> Response:
    """Version, schema, catalog, the store, the settlements that wait."""
    services = visit.services
    settings = services.settings
    status = await visit.read(read_status)
    policy = services.policy
    return visit.page(
        "system.html",
        found=status,
        database="PostgreSQL" if settings.database.startswith("postgresql") else "SQLite",
        models=len(policy.catalog.models),
        catalog_file=settings.catalog_file,
        draining=services.draining,
        in_flight=services.exchanges.in_flight,
        in_flight_max=services.exchanges.bounds.requests_in_flight_max,
    )


PAGES = (("GET", "/console/system", show_system, Permission.READ_GATEWAY),)
