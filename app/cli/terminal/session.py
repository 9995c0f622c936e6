"""The run of one command: its settings, read once, its catalog, and its database, opened for the use cases.

Reading makes nothing; the first change sets an empty database up. Knows no SQL.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import typer

from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.zenmux.accounts import check_account
from app.cli.terminal.output import PROGRAM, Terminal, say
from app.cli.terminal.settings_view import read_settings, with_accounts
from app.database import migrate, migrations
from app.database.engine import opened
from app.database.url import shown_place, sqlite_file
from app.errors import CallerError, ConfigurationError, InvalidValue
from app.images.catalog.catalog import Catalog
from app.images.request.normalize import ImageRequest, normalize
from app.images.request.policy import request_policy
from app.settings.settings import Settings
from app.setup.catalog import catalog_of
from app.setup.reading import bootstrap_of


class Session:
    """`terminal` is the command's surroundings."""

    def __init__(self, context: typer.Context) -> None:
        self.terminal = Terminal.of(context)

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises ConfigurationError with every fault."""
        return read_settings(self.terminal.config_file)

    @cached_property
    def settings_with_accounts(self) -> Settings:
        """Also with those of GATEWAY_BOOTSTRAP_FILE. Raises ConfigurationError with every fault."""
        return with_accounts(self.settings)

    @cached_property
    def catalog(self) -> Catalog:
        """The models, the operator's files over the built-in ones. Raises ConfigurationError that names the line."""
        return catalog_of(self.settings, bootstrap_of(self.settings))

    @property
    def models(self) -> ModelNames:
        """The names of models. Raises ConfigurationError as `catalog` does."""
        return ModelNames.of(self.settings, self.catalog)

    def image_request(self, fields: Mapping[str, object]) -> ImageRequest:
        """A request with these fields, as the gateway would take it. Raises InvalidValue that says what is wrong."""
        policy, today = request_policy(self.settings, self.catalog), self.terminal.clock().date()
        try:
            return normalize({"prompt": "-", **fields}, policy, today)
        except CallerError as error:
            raise InvalidValue(error.message) from None

    def check_account(self, name: str) -> None:
        """Raises NotFound if no ZenMux account has this name."""
        check_account(self.settings_with_accounts.accounts, name)

    @contextmanager
    def existing(self) -> Iterator[Operator]:
        """The existing database. Raises ConfigurationError if there is none, or an old one. Makes nothing."""
        file = sqlite_file(self.settings.database)
        if file is not None and not file.is_file():
            raise ConfigurationError(f"There is no database yet at {file}. {self._first_steps}")
        with operating(self.terminal, self.settings.database) as operator:
            if migrate.current(operator.engine) is None:
                raise ConfigurationError(f"The database is empty. {self._first_steps}")
            _refuse_old(operator)
            yield operator

    @contextmanager
    def made(self) -> Iterator[Operator]:
        """The database, set up where it is empty. Raises ConfigurationError for an old one."""
        with operating(self.terminal, self.settings.database) as operator:
            if migrate.current(operator.engine) is None:
                migrate.upgrade(operator.engine)
                say(f"Made a new database: {shown_place(self.settings.database)}")
            _refuse_old(operator)
            yield operator

    @property
    def _first_steps(self) -> str:
        return (
            f"`{PROGRAM} keys create --user NAME` makes it, so does `{PROGRAM} serve`. If there should be one, look at "
            f"GATEWAY_DATA_DIR ({self.settings.data_dir}), GATEWAY_DATABASE_URL and GATEWAY_CONFIG."
        )


@contextmanager
def operating(terminal: Terminal, database_url: str) -> Iterator[Operator]:
    """The existing database, for the use cases. A person at a terminal needs no deadline."""
    with opened(database_url) as engine:
        yield Operator(engine, terminal.clock, terminal.who, terminal.random_bytes, has_deadline=False)


def _refuse_old(operator: Operator) -> None:
    version = migrate.current(operator.engine)
    migrate.refuse_unknown(version)
    if version != migrations.HEAD:
        raise ConfigurationError(
            f"The database has schema {version}, this version of {PROGRAM} needs {migrations.HEAD}. "
            f"Stop the gateway, back the database up, then: {PROGRAM} db upgrade"
        )
