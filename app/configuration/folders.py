"""The folders the gateway writes to, looked at before a start: what cannot work is said in a line, with the remedy."""

import os
from pathlib import Path

from app.errors import ConfigurationError
from app.settings.settings import Settings


def check_folders(settings: Settings) -> None:
    """Makes nothing. Raises ConfigurationError for a folder that cannot be made, or cannot be written."""
    for folder in (settings.data_dir, settings.spool_dir, settings.uploads_dir, settings.files_dir):
        _check(folder.absolute())


def _check(folder: Path) -> None:
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ConfigurationError(
            f"The gateway needs the folder {folder}, but {there} is there and is no folder. Move it away, or name "
            "another folder in GATEWAY_DATA_DIR."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The gateway needs to write to the folder {folder}, but the user it runs as (number {os.geteuid()}) may "
            f"not write to {there}. Give that folder to this user, or name another one in GATEWAY_DATA_DIR."
        )
