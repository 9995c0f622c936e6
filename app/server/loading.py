"""Makes loading modules quick: what they make stays, so looking for garbage meanwhile is work for nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Holds the garbage collector off for the length of some imports: a sixth of the time to the first answer.

    What is there at the end it never looks at again: its first look at all of that was a twentieth.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
