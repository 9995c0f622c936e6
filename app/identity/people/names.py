"""What names of teams, users and keys may be: one line that people can read, compare and type. Pure."""

import unicodedata

from app.errors import InvalidValue

NAME_LENGTH_MAX = 80


def checked_name(name: str, what: str) -> str:
    """`name` as the database keeps it; see `spelled`.

    Raises InvalidValue, naming `what` it is the name of, unless it has 1 to 80 printable characters.
    """
    name = spelled(name)
    if not name:
        raise InvalidValue(f"The name of the {what} is empty.")
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidValue(f"The name of the {what} has {len(name)} characters; {NAME_LENGTH_MAX} are the most.")
    if not name.isprintable():
        raise InvalidValue(f"The name of the {what} has characters that cannot be printed, such as a line break.")
    return name


def spelled(name: str) -> str:
    """`name` without spaces around it, its accents in the one spelling (NFC) in which names are compared."""
    return unicodedata.normalize("NFC", name.strip())
