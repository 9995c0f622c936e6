"""Suggests a name that is similar to an unknown one. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str]) -> str:
    """` Did you mean …?` if a known word is similar to `word`, else an empty text."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f" Did you mean {close[0]}?" if close else ""
