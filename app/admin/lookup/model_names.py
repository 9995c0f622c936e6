"""Models, and limits on them, in the form that people write, translated to the catalog's full ids. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.admin.lookup.suggestion import suggestion
from app.errors import InvalidValue, NotFound
from app.images.catalog.catalog import Catalog, ModelSpec, names_of
from app.quotas.rules.limits import WrittenLimit, parse_limit
from app.settings.settings import Settings
from app.settings.values import UnknownModels

_UNLISTED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,119}")


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Translates names of models. `passes_unknown`: the gateway forwards models that the catalog does not list.
    `successor` is what messages suggest instead of a retired one.
    """

    catalog: Catalog
    passes_unknown: bool
    successor: str

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog) -> "ModelNames":
        """The names of models, as the settings allow them."""
        passes_unknown = settings.unknown_models is UnknownModels.PASS
        return cls(catalog, passes_unknown, settings.successor_model or catalog.successor)

    def id_of(self, text: str) -> str:
        """The full id of a model by any of its names. Raises InvalidValue for a model that no request can use."""
        spec = self.catalog.find(text)
        if spec is not None:
            return spec.id
        if self.passes_unknown and not self.catalog.resembles_listed(text) and _UNLISTED_NAME.fullmatch(text):
            return text
        raise InvalidValue(self._why_not(text))

    def existing(self, text: str) -> ModelSpec:
        """The listed model by any of its names. Raises NotFound, with a similar name."""
        spec = self.catalog.find(text)
        if spec is None:
            raise NotFound(self._why_not(text))
        return spec

    def limit_of(self, text: str) -> WrittenLimit:
        """A limit in written form, its model as the full id. Raises InvalidValue that says how limits are written."""
        written = parse_limit(text)
        return replace(written, model=self.id_of(written.model)) if written.model else written

    def limits_of(self, texts: Iterable[str]) -> tuple[WrittenLimit, ...]:
        """Several at once. Raises InvalidValue, also for two with the same unit, window and model."""
        limits = tuple(self.limit_of(text) for text in texts)
        if len({(limit.unit, limit.window, limit.model) for limit in limits}) < len(limits):
            raise InvalidValue("Two of these limits are for the same unit, window and model; leave one.")
        return limits

    def _why_not(self, text: str) -> str:
        if self.catalog.is_dead(text):
            return f"The model {text!r} is retired; name {self.successor}, which takes its place."
        close = suggestion(text, [name for spec in self.catalog.models for name in names_of(spec)])
        return f"The catalog has no model {text!r}.{close or ' `catalog show` lists those it has.'}"
