"""Reads the whole configuration: settings, catalog, set-up file. Everything is checked before anything is changed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from app.admin.catalog import catalog_lines
from app.admin.changes import trial_change_json
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.apply import apply_setup
from app.alerts.hook import webhook_of
from app.configuration.configuration import Configuration
from app.database.changes import RecordedChange
from app.database.clock import Clock
from app.database.engine import opened
from app.images.request.policy import request_policy
from app.settings.reloading import reloaded
from app.settings.settings import Settings
from app.setup.catalog import catalog_of
from app.setup.reading import SetupFile, bootstrap_of
from app.upstream.wire.proxies import check_way, proxy_of

logger = logging.getLogger("gateway")

_MODELS_SHOWN_MAX = 20  # in a log line


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration that can work, and the set-up file that belongs to it, which is not applied yet."""

    configuration: Configuration
    setup: SetupFile | None = None

    def apply_setup(self, clock: Clock, trial: list[RecordedChange] | None = None) -> None:
        """Applies the set-up file: all of it, or nothing. What it does not mention stays. `trial` as of an Operator.

        Blocks. Raises SetupError with the line, StoreUnavailable.
        """
        if self.setup is None:
            return
        settings, policy = self.configuration.settings, self.configuration.policy
        models = ModelNames.of(settings, policy.catalog)
        with opened(settings.database) as engine:
            applied = apply_setup(Operator(engine, clock, f"file:{self.setup.digest}", trial=trial), self.setup, models)
        if trial is not None:
            return
        about = {"file": self.setup.file, "digest": self.setup.digest, "changes": applied.plan.count}
        logger.info("setup_applied", extra=about)
        for notice in applied.plan.notices:
            logger.warning(notice)


@dataclass(frozen=True, slots=True)
class Reread:
    """What a reload found. `needs_restart` and `trial_changes` as of a ConfigurationState; `models` has a line for each
    model that has changed, if they are few.
    """

    configuration: Configuration
    read_at: datetime
    needs_restart: tuple[str, ...]
    models: tuple[str, ...] = ()
    trial_changes: tuple[dict[str, Any], ...] | None = None


def check(settings: Settings) -> Checked:
    """Reads the files that the settings name. Opens and changes nothing. Raises ConfigurationError for whatever cannot
    work: a catalog, a set-up file, a webhook without a secret, a server to which no way leads.
    """
    setup = bootstrap_of(settings)
    policy = request_policy(settings, catalog_of(settings, setup))
    hook = webhook_of(settings)
    if hook is not None:
        proxy_of(settings, hook.url)
    for url in {settings.zenmux_base_url, *(spec.base_url or settings.zenmux_base_url for spec in settings.accounts)}:
        check_way(settings, url)
    return Checked(Configuration(settings, policy, "" if setup is None else setup.digest), setup)


def reread(
    running: Configuration, read_settings: Callable[[], Settings], clock: Clock, *, is_trial: bool = False
) -> Reread:
    """Reads everything again, for a gateway that runs with `running`, and applies the set-up file as the last step; a
    trial only sees what that would change.

    Blocks. Raises GatewayError for whatever cannot work; then nothing has changed.
    """
    read_at = clock()
    settings, needs_restart = reloaded(running.settings, read_settings())
    checked = check(settings)
    trial: list[RecordedChange] | None = [] if is_trial else None
    checked.apply_setup(clock, trial)
    changes = None if trial is None else tuple(map(trial_change_json, trial))
    models = catalog_lines(running.policy.catalog, checked.configuration.policy.catalog)
    shown = tuple(islice(models, _MODELS_SHOWN_MAX))
    return Reread(checked.configuration, read_at, needs_restart, shown, changes)
