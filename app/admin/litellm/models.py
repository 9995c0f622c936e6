"""Which of the catalog's models LiteLLM's names mean. Pure."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from app.admin.litellm.objects import Deployment
from app.images.catalog.catalog import Catalog, names_of

_EVERY = frozenset({"*", "all-proxy-models", "all-team-models", "all-models"})


class Models:
    """Names are those of the model list first, then access groups, patterns, and the catalog's own."""

    def __init__(self, catalog: Catalog, deployments: Sequence[Deployment]) -> None:
        self._catalog = catalog
        self._deployments: dict[str, set[str]] = {}
        self._groups: dict[str, set[str]] = {}
        for each in deployments:
            found = self._deployments.setdefault(each.model_name, set())
            for name in _names(each):
                if ids := self._listed(name):
                    found |= ids
                    break
            groups = each.model_info.get("access_groups")
            for group in groups if isinstance(groups, list) else ():
                self._groups.setdefault(str(group), set()).add(each.model_name)

    def ids(self, name: str) -> frozenset[str]:
        """The models behind a name, as full catalog ids; none if none of them makes images here."""
        found = set(self._deployments.get(name, ()))
        for member in self._groups.get(name, ()):
            found |= self._deployments[member]
        if not found and "*" in name:
            found = {s.id for s in self._catalog.models if any(fnmatchcase(each, name) for each in names_of(s))}
        return frozenset(found or self._listed(name))

    def allowed(self, names: Sequence[str]) -> frozenset[str] | None:
        """Those a list of names allows; None for every model, as an empty list says."""
        if not names or _EVERY.intersection(names):
            return None
        return frozenset().union(*(self.ids(name) for name in names))

    def _listed(self, name: str) -> frozenset[str]:
        for candidate in dict.fromkeys((name, name.partition("/")[2], name.rpartition("/")[2])):
            spec = self._catalog.find(candidate)
            if spec is None and self._catalog.is_dead(candidate):
                spec = self._catalog.find(self._catalog.successor)
            if spec is not None:
                return frozenset({spec.id})
        return frozenset()


def _names(deployment: Deployment) -> Iterator[str]:
    """What a deployment says it is, the surest first."""
    said = (
        deployment.model_info.get("base_model"),
        deployment.litellm_params.get("base_model"),
        deployment.litellm_params.get("model"),
        deployment.model_name,
    )
    yield from (name for name in said if isinstance(name, str))
