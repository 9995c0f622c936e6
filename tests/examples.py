"""How many examples a test tries that chooses the number itself."""

from hypothesis import settings

_USUAL = 100


def examples(count: int) -> int:
    """`count` in `make test`, a quarter of it in `make test-quick`, five times as many in `make test-full`."""
    return max(1, count * settings().max_examples // _USUAL)
