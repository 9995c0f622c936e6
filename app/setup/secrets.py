"""Secrets that gateway.yaml names and never has: in an environment variable or in a file. No message repeats one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from app.setup.tree import Path, Tree


@dataclass(frozen=True, slots=True)
class Secrets:
    """`read_text` gives the content of a file, or raises OSError."""

    tree: Tree
    environment: Mapping[str, str]
    read_text: Callable[[str], str]

    def find(self, path: Path, variable: str | None, file: str | None) -> SecretStr | None:
        """The secret of the part at `path`; None where it names neither. Raises SetupError with the line if it is not
        there."""
        if variable is not None:
            found = self.environment.get(variable, "").strip()
            if not found:
                self.tree.refuse(path, f"the environment variable {variable} is not set")
        elif file is not None:
            found = self._read(path, file)
        else:
            return None
        return SecretStr(found)

    def _read(self, path: Path, file: str) -> str:
        try:
            found = self.read_text(file).strip()
        except OSError as error:
            self.tree.refuse(path, f"the file {file} cannot be read: {error.strerror or 'it cannot be opened'}")
        except UnicodeDecodeError:
            self.tree.refuse(path, f"the file {file} cannot be read: it is not UTF-8 text")
        if not found:
            self.tree.refuse(path, f"the file {file} is empty")
        return found
