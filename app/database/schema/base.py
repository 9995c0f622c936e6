"""What all tables share: the names of constraints, the types of ids, names and numbers given by the database, and
indexes of few rows.
"""

from sqlalchemy import BigInteger, Index, Integer, MetaData, String
from sqlalchemy.sql.elements import TextClause

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(64)
NAME = String(120)
AUTOINCREMENT = BigInteger().with_variant(Integer, "sqlite")


def partial_index(name: str, *columns: str, where: TextClause) -> Index:
    """An index of the rows for which `where` is true, on both engines.

    The steps in migrations/ make it. `postgresql_where` is not said here: with it, SQLAlchemy loads all it has for
    PostgreSQL at the start of every gateway. The test that compares this schema with the steps adds it.
    """
    return Index(name, *columns, sqlite_where=where)
