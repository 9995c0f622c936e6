"""Every table of today's schema, whichever module of app/database/schema it is in."""

from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import MetaData

import app.database.schema
from app.database.schema.base import metadata


def todays_tables() -> MetaData:
    for module in iter_modules(app.database.schema.__path__):
        import_module(f"{app.database.schema.__name__}.{module.name}")
    return metadata
