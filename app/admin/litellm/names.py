"""Names for what LiteLLM calls by ids, aliases and addresses: allowed here, and each for one thing only. Pure."""

from app.identity.people.names import NAME_LENGTH_MAX, spelled


class Names:
    """The names that were given so far."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, *wanted: str | None) -> str:
        """The first of these texts that is one, as a name; with a number if it was given before."""
        plain = next((name for text in wanted if (name := readable(text or ""))), "unnamed")
        name, number = plain, 1
        while name in self._given:
            number += 1
            ending = f" {number}"
            name = plain[: NAME_LENGTH_MAX - len(ending)] + ending
        self._given.add(name)
        return name


def readable(text: str) -> str:
    """`text` as a name may be: one line, not too long."""
    return spelled("".join(each for each in spelled(text) if each.isprintable())[:NAME_LENGTH_MAX])
