"""YAML text as plain values, with the line of every part. Refuses what people write by mistake: a name twice, a file
without an end. Names stay as they are written (`1234` and `yes` are names). Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from app.errors import ConfigurationError

SIZE_MAX = 16_777_216  # bytes, or characters
_PARTS_MAX = 300_000  # with what aliases repeat
_DEPTH_MAX = 20

Path = tuple[str | int, ...]


class SetupError(ConfigurationError):
    """The file is at fault. The message names the file, the line and the part."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A file's values, and where they are. `name` is what messages call the file."""

    name: str
    value: Any
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of the part at `path`, or else of the nearest part around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, path: Path, message: str) -> str:
        """One line about the part at `path`."""
        shown = f"{shown_path(path)}: " if path else ""
        return f"{self.name}, line {self.line_of(path)}: {shown}{message}"

    def refuse(self, path: Path, message: str) -> NoReturn:
        """Raises SetupError about the part at `path`."""
        raise SetupError(self.fault(path, message))


def refuse_large(content: str | bytes, name: str) -> None:
    """Raises SetupError that names the line where it becomes too large."""
    if len(content) > SIZE_MAX:
        kept = content[:SIZE_MAX]
        line = 1 + (kept.count("\n") if isinstance(kept, str) else kept.count(b"\n"))
        raise SetupError(f"{name}, line {line}: the file is too large; {SIZE_MAX:,} bytes are the most")


def read_tree(text: str, name: str) -> Tree:
    """The values of a YAML file; an empty file is an empty mapping. Raises SetupError that names the line."""
    refuse_large(text, name)
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise SetupError(f"{name}, line {line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SetupError(f"{name}, line {line}: it contains a character that YAML does not allow") from None
    except RecursionError:
        raise SetupError(f"{name}, line 1: it is nested too deeply") from None
    reading = _Reading(name)
    value: Any = {} if root is None else reading.value_of(root, ())
    return Tree(name, value, reading.lines)


def shown_path(path: Path) -> str:
    """`users.alice.limits[0]`; a name that is no plain word is quoted."""
    return "".join(_shown_parts(path)).removeprefix(".")


def _shown_parts(path: Path) -> Iterator[str]:
    for part in path:
        if isinstance(part, int):
            yield f"[{part}]"
        else:
            plain = part.replace("_", "").replace("-", "").replace("/", "").isalnum()
            yield f".{part}" if plain else f".{part!a}"


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast


class _Reading:
    """One pass over the nodes. Values are made as `safe_load` makes them; mappings keep the words of their names."""

    def __init__(self, name: str) -> None:
        self.lines: dict[Path, int] = {}
        self._name = name
        self._scalars = yaml.SafeLoader("")
        self._parts = 0

    def value_of(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever the file says
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._parts += 1
        if self._parts > _PARTS_MAX or len(path) > _DEPTH_MAX:
            raise SetupError(f"{self._name}, line {line}: it has too many parts, or is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping_of(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(each, (*path, number)) for number, each in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._refuse(node, path, f"{node.value!a} cannot be read; put quotes around a text")

    def _mapping_of(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, path, "a name must be one word or a quoted text")
            here = (*path, key.value)
            if key.value in found:
                self._refuse(key, here, f"is there twice; the first is in line {self.lines[here]}")
            self.lines[here] = key.start_mark.line + 1
            found[key.value] = self.value_of(value, here)
        return found

    def _refuse(self, node: yaml.Node, path: Path, message: str) -> NoReturn:
        line = node.start_mark.line + 1
        shown = f"{shown_path(path)}: " if path else ""
        raise SetupError(f"{self._name}, line {line}: {shown}{message}")
