"""Settings for the terminal: loaded with their faults explained, shown without secrets, with their origin.

The only rules here are those that a validator of one field cannot know: the kind of ZenMux key, misspelt names.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from app.admin.lookup.suggestion import suggestion
from app.cli.terminal.parsing import MASK, mask_url
from app.errors import ConfigurationError
from app.settings.secret_files import secret_names
from app.settings.settings import Settings, load_settings, setting_name
from app.setup.accounts import accounts_of
from app.setup.reading import SetupFile, bootstrap_of
from app.setup.secrets import Secrets
from app.setup.sign_in import sign_in_of

_CONFIG_NAME = "GATEWAY_CONFIG"
_OPTION_NAMES = frozenset({_CONFIG_NAME, "GATEWAY_ACTOR"})  # of the command line


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One line of `config show`. `origin` is environment, file or default."""

    name: str
    value: str | None
    origin: str
    description: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What the form of a setting shows. `serious`: the gateway could not work with it."""

    message: str
    serious: bool


def setting_names() -> list[str]:
    """All names, in the order of the settings file."""
    return [setting_name(field) for field in Settings.model_fields]


def secret_file_names() -> list[str]:
    """`ZENMUX_API_KEY_FILE` and similar names: they name the file that contains a secret."""
    return [f"{name}_FILE" for name in sorted(secret_names(Settings.model_fields, "GATEWAY_"))]


def read_settings(config_file: Path | None, **overrides: Any) -> Settings:  # noqa: ANN401 - see load_settings
    """The settings. Raises ConfigurationError with each fault on its own line, and no value that could be a secret."""
    try:
        return load_settings(config_file, **overrides)
    except FileNotFoundError:
        raise ConfigurationError(f"{_CONFIG_NAME} (or --config) names {config_file}, which is not a file.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The settings file {config_file} is not UTF-8 text.") from None
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(error))) from None
    except SettingsError as error:
        raise ConfigurationError(str(error).partition("\n")[0]) from None


def with_accounts(settings: Settings) -> Settings:
    """The settings, with the accounts of GATEWAY_BOOTSTRAP_FILE if no setting names any. Reads that file, and those
    that it names. Raises SetupError with the line.
    """
    file = None if settings.accounts else bootstrap_of(settings)
    return settings if file is None else settings.with_file_accounts(accounts_of(file, _secrets(file)))


def with_setup(settings: Settings) -> Settings:
    """The same, with the identity providers of that file, too. Raises ConfigurationError as well if the extra `oidc`,
    which they need, is not installed.
    """
    file = bootstrap_of(settings)
    if file is None:
        return settings
    sign_in = sign_in_of(file, _secrets(file))
    if sign_in.providers and find_spec("authlib") is None:
        raise ConfigurationError("Identity providers need a package more: pip install 'zenmux-gateway[oidc]'.")
    return with_accounts(settings).with_sign_in(sign_in)


def _secrets(file: SetupFile) -> Secrets:
    return Secrets(file.tree, os.environ, lambda name: Path(name).read_text("utf-8"))


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        written = str(fault["loc"][0]) if fault["loc"] else ""
        name = setting_name(written) if written in Settings.model_fields else written.upper()
        if fault["type"] == "extra_forbidden":
            yield f"{name}: there is no such setting.{suggestion(name, [*setting_names(), *secret_file_names()])}"
            continue
        message = "That does not fit" if fault["type"] == "string_pattern_mismatch" else fault["msg"]
        message = message.removeprefix("Value error, ").removesuffix(".")
        field = next((field for field in Settings.model_fields if setting_name(field) == name), None)
        meant = f" ({Settings.model_fields[field].description})" if field else ""
        yield f"{name}: {message}.{meant}" if name else f"{message}."


def misspelt_names(environment: Mapping[str, str]) -> list[str]:
    """One line for each GATEWAY_… or ZENMUX_… variable that is no setting; pydantic ignores those silently."""
    known = {*setting_names(), *secret_file_names(), *_OPTION_NAMES}
    strangers = [
        name for name in sorted(environment) if name.startswith(("GATEWAY_", "ZENMUX_")) and name.upper() not in known
    ]
    return [f"{name}: there is no such setting.{suggestion(name, known)}" for name in strangers]


def show_settings(settings: Settings, environment: Mapping[str, str]) -> list[ShownSetting]:
    """Every setting with its value (secrets hidden) and where it came from."""
    in_environment = {name.upper() for name, value in environment.items() if value}
    followed = asdict(settings.capacity)  # what is in use where the setting is unset
    return [
        ShownSetting(
            name=setting_name(field),
            value=_shown(followed.get(field) if (chosen := getattr(settings, field)) is None else chosen),
            origin=_origin(field, settings, in_environment),
            description=information.description or "",
        )
        for field, information in Settings.model_fields.items()
    ]


def _origin(field: str, settings: Settings, in_environment: set[str]) -> str:
    if {setting_name(field), f"{setting_name(field)}_FILE"} & in_environment:
        return "environment"
    return "file" if field in settings.model_fields_set else "default"


def _shown(value: object) -> str | None:
    match value:
        case None:
            return None
        case SecretStr():
            return MASK
        case tuple():
            return ",".join(str(part) for part in value)
        case _:
            return mask_url(str(value))


def judge_keys(settings: Settings) -> list[Advice]:
    """What the prefixes of the ZenMux keys say about their use here. Never repeats a key."""
    accounts = settings.accounts
    if not accounts:
        return [
            Advice(
                "ZENMUX_API_KEY is not set: the gateway has nothing to buy images with. Make a pay-as-you-go key at "
                "zenmux.ai and set it, or try the gateway without one: zenmux-gateway dev.",
                serious=True,
            )
        ]
    if settings.zenmux_api_key is not None:
        return _judge_key("ZENMUX_API_KEY", settings.zenmux_api_key)
    return [
        advice
        for account in accounts
        if account.key is not None
        for advice in _judge_key(f"The key of the account {account.name}", account.key)
    ]


def _judge_key(name: str, key: SecretStr) -> list[Advice]:
    text = key.get_secret_value()
    if text.startswith("sk-mg-"):
        return [
            Advice(
                f"{name} is a management key (sk-mg-…): ZenMux refuses to make images with it. "
                "Set a pay-as-you-go key (sk-ai-v1-…).",
                serious=True,
            )
        ]
    if text.startswith("sk-ss-v1-"):
        return [
            Advice(
                f"{name} is a subscription key (sk-ss-v1-…): ZenMux's terms forbid sharing a subscription among "
                "several people and using it in production. Use a pay-as-you-go or Organization key (sk-ai-v1-…).",
                serious=False,
            )
        ]
    if text.startswith("sk-zg-"):
        return [Advice(f"{name} is a key of this gateway, not one of ZenMux (sk-ai-v1-…).", serious=True)]
    if not text.startswith("sk-ai-v1-"):
        return [Advice(f"{name} does not look like a ZenMux key (sk-ai-v1-…).", serious=False)]
    return []


def judge_workers(settings: Settings) -> list[Advice]:
    """Several processes cannot share the one ledger of an SQLite file."""
    if settings.workers == 1 or not settings.database.startswith("sqlite"):
        return []
    return [
        Advice(
            f"GATEWAY_WORKERS is {settings.workers}, and an SQLite database serves one process. Set "
            "GATEWAY_DATABASE_URL=postgresql://… for several workers, or leave GATEWAY_WORKERS at 1.",
            serious=True,
        )
    ]
