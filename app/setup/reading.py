"""Reads gateway.yaml: text to a checked document, every fault with its line; and its digest. Its `catalog` section is
checked by catalog.py."""

import hashlib
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import ValidationError

from app.settings.settings import Settings
from app.setup.document import Document, KeyPart, Limited
from app.setup.tree import SIZE_MAX, Path, SetupError, Tree, read_tree, refuse_large

_FAULTS_SHOWN_MAX = 20
_DIGEST_LENGTH = 12

KeyAddress = tuple[str, str]
"""A user's name and a key's."""


@dataclass(frozen=True, slots=True)
class SetupFile:
    """A file that was read. `keys` has the keys' parts by user and name, and where each is in the file."""

    tree: Tree
    document: Document
    keys: dict[KeyAddress, tuple[Path, KeyPart]]
    digest: str

    @property
    def file(self) -> str:
        """The name by which objects remember the file: without its folder, so that it may be moved."""
        return FilePath(self.tree.name).name


def read_setup_file(file: FilePath) -> SetupFile:
    """The set-up in a file. Raises SetupError with a line for each fault, or with the reason why it cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(SIZE_MAX + 1)
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}.") from None
    return read_setup(content, str(file))


def bootstrap_of(settings: Settings) -> SetupFile | None:
    """The file of GATEWAY_BOOTSTRAP_FILE; None without one. Raises SetupError as `read_setup_file` does."""
    return None if settings.bootstrap_file is None else read_setup_file(settings.bootstrap_file)


def read_setup(content: bytes, name: str) -> SetupFile:
    """The set-up in a file's content. Raises SetupError with a line for each fault."""
    refuse_large(content, name)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SetupError(f"{name}, line {line}: it is not UTF-8 text") from None
    tree = read_tree(text.removeprefix("\ufeff"), name)
    try:
        document = Document.model_validate(tree.value)
    except ValidationError as error:
        raise SetupError(_explained(error, tree)) from None
    _refuse_double_limits(tree, document)
    keys = _addressed(tree, document)
    _refuse_odd_secrets(tree, document)
    return SetupFile(tree, document, keys, hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH])


def _explained(error: ValidationError, tree: Tree) -> str:
    lines: list[tuple[int, str]] = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        path = tuple(part for part in fault["loc"] if part != "[key]")
        message = fault["msg"].removeprefix("Value error, ").removesuffix(".")
        match fault["type"]:
            case "extra_forbidden":
                message = "there is no such field; `apply --schema` lists those there are"
            case "missing":
                message = "is missing"
            case "string_type":
                message = "must be a text; put quotes around it"
            case "model_type" | "dict_type":
                message = "must be a mapping of names to values"
            case "list_type":
                message = "must be a list"
        lines.append((tree.line_of(path), tree.fault(path, message)))
    lines.sort(key=lambda each: each[0])
    shown = [line for _, line in lines[:_FAULTS_SHOWN_MAX]]
    if len(lines) > len(shown):
        shown.append(f"{tree.name}: {len(lines) - len(shown)} more faults")
    return "\n".join(shown)


def _addressed(tree: Tree, document: Document) -> dict[KeyAddress, tuple[Path, KeyPart]]:
    found: dict[KeyAddress, tuple[Path, KeyPart]] = {}
    for address, part in document.keys.items():
        path: Path = ("keys", address)
        user, slash, name = address.partition("/")
        user, name = part.user or user, part.name or name
        if not user or not name or not (slash or part.name):
            tree.refuse(path, "name the key as user/name, such as alice/laptop")
        _refuse_odd_name(tree, path, user, name)
        if (user, name) in found:
            first = tree.line_of(found[user, name][0])
            tree.refuse(path, f"the key {name} of {user} is there twice; the first is in line {first}")
        found[user, name] = (path, part)
    return found


def _refuse_odd_name(tree: Tree, path: Path, user: str, name: str) -> None:
    try:
        KeyPart(user=user, name=name)
    except ValidationError as error:
        message = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        tree.refuse(path, message.removesuffix("."))


def _refuse_double_limits(tree: Tree, document: Document) -> None:
    """The same limit twice, as far as the text tells; models have several names, which the plan knows."""
    for section in ("teams", "users", "keys", "accounts"):
        for name, part in getattr(document, section).items():
            _refuse_double(tree, (section, name), part)
    for section in ("gateway", "defaults"):
        _refuse_double(tree, (section,), getattr(document, section))


def _refuse_double(tree: Tree, path: Path, part: Limited) -> None:
    seen: set[str] = set()
    for field in ("limits", "shadow_limits"):
        for number, text in enumerate(getattr(part, field)):
            if text in seen:
                tree.refuse((*path, field, number), f"{text} is there twice")
            seen.add(text)


def _refuse_odd_secrets(tree: Tree, document: Document) -> None:
    for name, part in document.accounts.items():
        path: Path = ("accounts", name)
        has_limits_alone = bool(part.model_fields_set) and part.model_fields_set <= Limited.model_fields.keys()
        if (part.key_env is None) == (part.key_file is None) and not has_limits_alone:
            tree.refuse(path, "name the key with key_env or with key_file, not with both")
        if part.models is not None and not part.models:
            tree.refuse((*path, "models"), "an account without any model could do nothing; write null for all")
        if part.management_key_env is not None and part.management_key_file is not None:
            tree.refuse(path, "name the management key with management_key_env or with management_key_file")
    for name, provider in document.oidc.providers.items():
        if provider.client_secret_env is not None and provider.client_secret_file is not None:
            where = ("oidc", "providers", name)
            tree.refuse(where, "name the secret with client_secret_env or with client_secret_file, not with both")
