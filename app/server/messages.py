"""What the supervisor and a worker say to each other over their line, once the worker has its assignment: lines of
text. An empty line says only that the event loop runs.
"""

import base64
import pickle
from typing import NamedTuple

from app.configuration.configuration import ConfigurationState

READY = b"ready\n"
RELOAD = b"reload\n"  # a worker was asked to have the configuration read again
TRY = b"try\n"  # the same as a trial: the answer comes as a configuration that nobody is to use
ALIVE = b"\n"

_DEAD, _CONFIGURATION, _USING = b"dead", b"configuration", b"using"


class Using(NamedTuple):
    """A worker's answer to the configuration with this number. `hash` is empty if it could not be used."""

    number: int
    hash: str


def encode_death(instance: str) -> bytes:
    """For one worker that serves: another one, of this name in the ledger, has died."""
    return b"%b %b\n" % (_DEAD, instance.encode("ascii"))


def encode_configuration(state: ConfigurationState) -> bytes:
    """For every worker that serves. It contains secrets."""
    return b"%b %b\n" % (_CONFIGURATION, base64.b64encode(pickle.dumps(state)))


def encode_using(using: Using) -> bytes:
    """For the supervisor."""
    return b"%b %d %b\n" % (_USING, using.number, using.hash.encode("ascii"))


def decode(line: bytes) -> str | ConfigurationState | Using | None:
    """What a line says: who died, a configuration, what a worker uses; None: nothing of these."""
    word, _, rest = line.partition(b" ")
    if word == _DEAD:
        return rest.decode("ascii")
    if word == _CONFIGURATION:
        state: ConfigurationState = pickle.loads(base64.b64decode(rest))  # noqa: S301 - from our own parent
        return state
    if word == _USING:
        number, _, config_hash = rest.decode("ascii").partition(" ")
        return Using(int(number), config_hash)
    return None


class Lines:
    """Whole lines out of what comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def whole(self, received: bytes) -> list[bytes]:
        """The lines that end in `received`, without their ends."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        return lines
