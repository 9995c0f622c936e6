"""A request's path, made safe for a log line or an answer: short, on one line, without keys. Pure."""

import re

_LENGTH_MAX = 200
_READ_MAX = 1000  # a path may have 60 KB; the rest is not inspected
_KEY = re.compile(r"sk-[\w-]+", re.IGNORECASE)
_LINK = re.compile(r"(/console/link/)[^/]+")  # whoever has the rest is signed in


def shown_path(path: str) -> str:
    """`path` with everything that looks like a key masked, unprintable characters replaced, and cut."""
    if len(path) <= _LENGTH_MAX and path.isprintable() and "sk-" not in path.lower() and "/link/" not in path:
        return path
    masked = _LINK.sub(r"\1***", _KEY.sub("sk-***", path[:_READ_MAX]))
    clean = "".join(character if character.isprintable() else "?" for character in masked[:_LENGTH_MAX])
    return clean + "…" if len(masked) > _LENGTH_MAX or len(path) > _READ_MAX else clean
