"""The models the gateway knows, by each of their names. Loads them from catalog.toml and the operator's own sources.
What a request may ask of a model is decided elsewhere.
"""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from app.errors import ConfigurationError
from app.images.catalog.entry import CatalogError, CatalogSource, Entry, TomlSource
from app.images.catalog.file import MODEL_NAME, read_model
from app.images.catalog.model_spec import ModelSpec

__all__ = ["Catalog", "CatalogError", "ModelSpec", "load_catalog", "read_catalog"]

_IDENTITY = frozenset({"id", "aliases", "created", "ends_on", "successor", "like"})  # what `like` does not copy


class Catalog:
    """All listed models, in the order of the file. Immutable. `successor` names what takes the place of retired models,
    and of those that end and name no successor of their own. `override_toml` is the operator's file, as it was read."""

    def __init__(
        self,
        models: Iterable[ModelSpec],
        retired: Iterable[str],
        successor: str,
        unlisted_image_tokens: int,
        override_toml: str = "",
    ) -> None:
        self.models = tuple(models)
        self.retired = frozenset(retired)
        self.successor = successor
        self.unlisted_image_tokens = unlisted_image_tokens
        self.override_toml = override_toml
        self._by_name = {name: spec for spec in self.models for name in names_of(spec)}

    def find(self, name: str) -> ModelSpec | None:
        """The model of that name: bare name, full id, alias, or alias after its provider's name. None if there is none.

        A provider pin (`openai/gpt-image-2:azure`) names no listed model: another provider may have another price. An
        operator who wants one lists it as an entry whose id contains the pin.
        """
        return self._by_name.get(name)

    def is_dead(self, name: str) -> bool:
        """Whether the name is that of a retired model, bare or after `openai/`."""
        return name.removeprefix("openai/") in self.retired

    def resembles_listed(self, name: str) -> bool:
        """Whether the name is another spelling of a listed or retired one: other case, other provider, a provider pin.

        Such a name must not pass as an unlisted model, because its images might be held at less than this model's
        price.
        """
        bare = name.split(":", 1)[0].rsplit("/", 1)[-1].lower()
        return any(bare == known.rsplit("/", 1)[-1].lower() for known in (*self._by_name, *self.retired))


def names_of(spec: ModelSpec) -> tuple[str, ...]:
    """Every name of the model, each once."""
    provider = spec.id.split("/")[0]
    bare = (spec.name, *spec.aliases)
    return tuple(dict.fromkeys((spec.id, *bare, *(f"{provider}/{name}" for name in bare))))


def read_catalog(file: Path, name: str, *further: CatalogSource) -> Catalog:
    """The built-in catalog with `file` over it, and the further sources over that. Messages call the file `name`.

    Raises ConfigurationError that names the line at fault, or says why the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8 text.") from None
    return load_catalog(text, name, *further)


def load_catalog(
    override_toml: str = "", override_name: str = "GATEWAY_CATALOG_FILE", *further: CatalogSource
) -> Catalog:
    """The built-in catalog, with the operator's entries over it: first those of a file, then those of each further
    source. An entry replaces the keys it gives, and keeps the others as the sources before left them.

    `override_toml` is the text of a file in the form of catalog.toml, `override_name` what messages call it. Raises
    ConfigurationError naming the line and the entry at fault.
    """
    builtin = TomlSource("catalog.toml", files("app.images.catalog").joinpath("catalog.toml").read_text("utf-8"))
    tables: dict[str, dict[str, object]] = {}
    specs: dict[str, ModelSpec] = {}
    retired: set[str] = set()
    successor = ""
    unlisted_image_tokens = 0
    for source in (builtin, TomlSource(override_name, override_toml), *further):
        file = Entry(source, (), source.parse())
        own = file.table("models").tables()
        tables |= {name: _complete(source, name, own, tables, ()) for name in own}
        specs |= {name: read_model(source, name, tables[name]) for name in own}
        now_retired = file.words("retired", MODEL_NAME)
        for name in now_retired:
            if name in own:
                file.refuse("retired", f"{name} is also in [models]")
            specs.pop(name, None)
        retired = (retired - own.keys()) | set(now_retired)
        successor = file.word("successor", MODEL_NAME, successor or None)
        unlisted_image_tokens = file.integer("unlisted_image_tokens", 0, 10_000_000, unlisted_image_tokens)
        file.finish()
        _refuse_shared_names(source, specs.values())
        if file.has("successor") and successor not in specs:
            file.refuse("successor", "names no entry")
        for name in own:
            if specs[name].successor is not None and specs[name].successor not in specs.keys() - {name}:
                source.refuse(("models", name, "successor"), "names no other entry")
    return Catalog(specs.values(), retired, successor, unlisted_image_tokens, override_toml)


def _complete(
    source: CatalogSource,
    name: str,
    own: Mapping[str, dict[str, object]],
    known: Mapping[str, dict[str, object]],
    inheriting: tuple[str, ...],
) -> dict[str, object]:
    """The entry's table with what it inherits. Its own keys win over those of the entry it is `like`, which win over
    its earlier ones.
    """
    table = own[name]
    path = ("models", name, "like")
    like, liked = table.get("like"), dict[str, object]()
    if like is not None:
        if not isinstance(like, str) or (like not in own and like not in known):
            source.refuse(path, "names no entry")
        if like in (name, *inheriting):
            source.refuse(path, "goes round in a circle")
        liked = _complete(source, like, own, known, (*inheriting, name)) if like in own else known[like]
    inherited = known.get(name, {}) | {key: value for key, value in liked.items() if key not in _IDENTITY}
    if "prices" in table or "hold_usd" in table:  # one replaces the other
        inherited = {key: value for key, value in inherited.items() if key not in ("prices", "hold_usd")}
    return inherited | {key: value for key, value in table.items() if key != "like"}


def _refuse_shared_names(source: CatalogSource, specs: Iterable[ModelSpec]) -> None:
    owners: dict[str, str] = {}
    for spec in specs:
        for name in names_of(spec):
            owner = owners.setdefault(name, spec.name)
            if owner != spec.name:
                source.refuse(("models", spec.name), f"the name {name} belongs to {owner}")
