"""Every table of today's schema, whichever module of app/database/schema it is in, with all that it means on both
engines.
"""

from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import MetaData

import app.database.schema
from app.database.schema.base import metadata


def todays_tables() -> MetaData:
    for module in iter_modules(app.database.schema.__path__):
        import_module(f"{app.database.schema.__name__}.{module.name}")
    for table in metadata.tables.values():
        for index in table.indexes:  # as `partial_index` says
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return metadata
