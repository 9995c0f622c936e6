"""The database and the catalog, opened for one command: transactions, and what to say when they are not ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from sqlalchemy import Connection, Engine, text

from app.cli.configuration import read_settings
from app.cli.terminal import PROGRAM, Terminal, say
from app.database import migrate, migrations
from app.database.changes import Change
from app.database.engine import create_engine
from app.database.engine import reading as reading_transaction
from app.database.engine import writing as writing_transaction
from app.database.url import shown_place, sqlite_file
from app.errors import ConfigurationError
from app.images.catalog import Catalog, CatalogError, load_catalog
from app.settings import Settings


def settings_of(context: typer.Context) -> Settings:
    """The settings this command runs with. Raises ConfigurationError with every fault."""
    return read_settings(Terminal.of(context).config_file)


def change_by(context: typer.Context) -> Change:
    """Who makes the change of this command, and when."""
    terminal = Terminal.of(context)
    return Change(actor=terminal.who, now=terminal.clock(), new_id=lambda: terminal.random_bytes(12).hex())


@contextmanager
def reading(context: typer.Context) -> Iterator[Connection]:
    """One reading transaction, which may take as long as whoever typed the command waits.

    Raises ConfigurationError where there is no database, or an old one: it makes nothing.
    """
    settings = settings_of(context)
    file = sqlite_file(settings.database)
    if file is not None and not file.is_file():
        raise ConfigurationError(f"There is no database yet at {file}. {_first_steps(settings)}")
    with opened(settings) as engine:
        if migrate.current(engine) is None:
            raise ConfigurationError(f"The database is empty. {_first_steps(settings)}")
        _refuse_old(engine)
        with reading_transaction(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection


@contextmanager
def writing(context: typer.Context) -> Iterator[Connection]:
    """One writing transaction; sets up an empty database first. Raises ConfigurationError for an old one."""
    settings = settings_of(context)
    with opened(settings) as engine:
        if migrate.current(engine) is None:
            migrate.upgrade(engine)
            say(f"Made a new database: {shown_place(settings.database)}")
        _refuse_old(engine)
        with writing_transaction(engine) as connection:
            yield connection


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The engine of the settings' database, disposed of afterwards."""
    engine = create_engine(settings.database)
    try:
        yield engine
    finally:
        engine.dispose()


def catalog_of(settings: Settings) -> Catalog:
    """The models, the operator's file over the built-in ones. Raises ConfigurationError naming the line at fault."""
    if settings.catalog_file is None:
        return load_catalog()
    return read_catalog(settings.catalog_file, f"GATEWAY_CATALOG_FILE ({settings.catalog_file})")


def read_catalog(file: Path, name: str) -> Catalog:
    """The built-in models with those of `file` over them. Raises ConfigurationError."""
    try:
        return load_catalog(file.read_text(encoding="utf-8"), name)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8 text.") from None
    except CatalogError as error:
        raise ConfigurationError(str(error)) from None


def _refuse_old(engine: Engine) -> None:
    version = migrate.current(engine)
    migrate.refuse_unknown(version)
    if version != migrations.HEAD:
        raise ConfigurationError(
            f"The database has schema {version}, this version of {PROGRAM} needs {migrations.HEAD}. "
            f"Stop the gateway, back the database up, then: {PROGRAM} db upgrade"
        )


def _first_steps(settings: Settings) -> str:
    return (
        f"`{PROGRAM} keys create --user NAME` makes it, so does `{PROGRAM} serve`. If there should be one, look at "
        f"GATEWAY_DATA_DIR ({settings.data_dir}), GATEWAY_DATABASE_URL and GATEWAY_CONFIG."
    )
