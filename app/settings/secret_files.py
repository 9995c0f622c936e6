"""Secrets in files: `NAME_FILE=/run/secrets/name` means `NAME=<the content of that file>`. Knows no setting
by its name, and never repeats the content of a file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

_SUFFIX = "_file"
_BYTES_MAX = 65_536


class SettingsWithSecretFiles(BaseSettings):
    """Settings from the environment, then the settings file; in both, `NAME_FILE` may stand for a secret `NAME`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it; not used
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        names = secret_names(settings_cls.model_fields, settings_cls.model_config.get("env_prefix", ""))
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            source.env_vars = with_secret_files(source.env_vars, names)
        return init_settings, env_settings, dotenv_settings


def secret_names(fields: Mapping[str, FieldInfo], prefix: str) -> frozenset[str]:
    """The environment names, in upper case, of every setting that is a secret or may hold one, as a URL does."""
    return frozenset(
        (field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}").upper()
        for name, field in fields.items()
        if _holds_secret(field.annotation) or name == "database_url"
    )


def with_secret_files(variables: Mapping[str, str | None], names: Collection[str]) -> dict[str, str | None]:
    """The variables, whose names are in lower case, with every `name_file` replaced by `name` and what the file holds.

    An empty variable and an empty file count as unset; a line break at a file's end is no part of the secret. Raises
    SettingsError when a secret is given twice, or its file cannot be read.
    """
    found = dict(variables)
    for name in names:
        path = found.pop(f"{name.lower()}{_SUFFIX}", None)
        content = _read(f"{name}_FILE", Path(path)) if path else ""
        if not content:
            continue
        if found.get(name.lower()):
            raise SettingsError(f"{name} and {name}_FILE are both set; keep one of them.")
        found[name.lower()] = content
    return found


def _holds_secret(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    return annotation is SecretStr or any(_holds_secret(part) for part in get_args(annotation))


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{name} names {path}, which cannot be read: {error.strerror}.") from None
    if len(content) > _BYTES_MAX:
        raise SettingsError(f"{name} names {path}, which is too large for a secret (over {_BYTES_MAX} bytes).")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{name} names {path}, which is not UTF-8 text.") from None
    text = text.removeprefix("\ufeff").rstrip("\r\n")
    if not text.isprintable():
        raise SettingsError(f"{name} names {path}, which holds more than one line of text.")
    return text
