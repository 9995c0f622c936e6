"""What `config check` says of files: where they go, whether all gateways see the same ones, and where links lead."""

from collections.abc import Iterator

from app.admin.files import gateways_elsewhere
from app.database import migrate
from app.database.engine import opened
from app.database.url import sqlite_file
from app.errors import ConfigurationError, GatewayError
from app.files.links import base_url
from app.files.opening import place_of
from app.settings.settings import Settings

OK, WARNING, ERROR = "ok", "warning", "error"
_REMEDY = "mount one volume as GATEWAY_DATA_DIR/files in every gateway, or name a bucket in GATEWAY_FILES_URL"


def check_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """(ok, warning or error, what was found) for each. Looks only, and makes nothing."""
    try:
        place = place_of(settings)
    except ConfigurationError as error:
        yield ERROR, error.message
        return
    where = settings.files_url or str(settings.files_dir)
    try:
        file = sqlite_file(settings.database)
        if file is not None and not file.exists():
            yield OK, f"images with links are kept in {where}"
        else:
            with opened(settings.database) as engine:
                count, elsewhere = gateways_elsewhere(engine, place) if migrate.is_current(engine) else (0, 0)
            if elsewhere:
                yield (
                    WARNING,
                    f"{elsewhere} of {count} running gateways keep files elsewhere than in {where}: {_REMEDY}",
                )
            else:
                yield OK, f"images with links are kept in {where}" + (f", as {count} gateways do" if count > 1 else "")
    except OSError as error:
        yield WARNING, f"{where} does not answer: {error}; requests for links are refused until it does"
    except GatewayError:
        return  # the check of the database says so
    if base_url(settings.public_url, settings.host, settings.port) is None:
        yield (
            WARNING,
            f"response_format=url is refused: {settings.host} is no address for a link; set GATEWAY_PUBLIC_URL to "
            "the one under which callers reach the gateway",
        )
