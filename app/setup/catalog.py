"""The catalog as the settings and gateway.yaml give it: the built-in one, GATEWAY_CATALOG_FILE over it, and the file's
`catalog` section over both. Every fault in that section is named with its line in the file.
"""

from dataclasses import dataclass
from typing import NoReturn

from app.images.catalog.catalog import Catalog, load_catalog, read_catalog
from app.settings.settings import Settings
from app.setup.reading import SetupFile


@dataclass(frozen=True, slots=True)
class CatalogSection:
    """The `catalog` section of a file, as a source of entries."""

    file: SetupFile

    def parse(self) -> dict[str, object]:
        """The tables, with the keys of a catalog file."""
        return self.file.document.catalog

    def refuse(self, path: tuple[str, ...], message: str) -> NoReturn:
        """Raises SetupError about the key or table at `path`, or what is around it."""
        self.file.tree.refuse(("catalog", *path), message)


def catalog_of(settings: Settings, setup: SetupFile | None) -> Catalog:
    """The catalog of a gateway with these settings, whose GATEWAY_BOOTSTRAP_FILE is `setup`.

    Reads GATEWAY_CATALOG_FILE. Raises ConfigurationError that names the line at fault.
    """
    sections = () if setup is None else (CatalogSection(setup),)
    if settings.catalog_file is None:
        return load_catalog("", "", *sections)
    return read_catalog(settings.catalog_file, f"GATEWAY_CATALOG_FILE ({settings.catalog_file})", *sections)


def catalog_with(catalog: Catalog, setup: SetupFile) -> Catalog:
    """The catalog once `setup` is the gateway's file. A file without a `catalog` section leaves it as it is.

    Raises SetupError that names the line at fault.
    """
    if not setup.document.catalog:
        return catalog
    return load_catalog(catalog.override_toml, "GATEWAY_CATALOG_FILE", CatalogSection(setup))
