"""The one configuration of all workers: read again in the supervisor, handed to each of them, and reported once all of
them use it.
"""

import logging
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from app.configuration.configuration import ConfigurationState
from app.server.messages import encode_configuration
from app.server.place import WorkerPlace
from app.server.rereading import Read, Rereader

logger = logging.getLogger("gateway")


class SharedConfiguration:
    """`wake` is called in another thread, when there is something for `hand_out`."""

    def __init__(
        self, running: ConfigurationState, read: Read, places: Sequence[WorkerPlace], wake: Callable[[], None]
    ) -> None:
        self.state = running
        self._places = places
        self._wake = wake
        self._read_states = SimpleQueue[ConfigurationState]()
        self._rereader = Rereader(running, read, self._note)
        self._reported_number = running.number

    def request(self, *, is_trial: bool = False) -> None:
        """Reads it again, soon. Does not wait."""
        self._rereader.request(is_trial=is_trial)

    def hand_out(self) -> None:
        """Gives what was read to the workers that serve. One that starts gets it with `greet`."""
        while not self._read_states.empty():
            state = self._read_states.get()
            if not state.is_trial:
                self.state = state
            for place in self._places:
                if place.is_serving:
                    place.say(encode_configuration(state))

    def greet(self, place: WorkerPlace) -> None:
        """For a worker that begins to serve: what was read since it got its assignment."""
        if self.state.number:
            place.say(encode_configuration(self.state))

    def report(self) -> None:
        """Logs, once for each reading, that all workers that serve use the same; or that they do not."""
        number, answers = self.state.number, {place.using for place in self._places if place.is_serving}
        if number == self._reported_number or not answers:
            return
        if any(using is None or using.number < number for using in answers):
            return
        self._reported_number = number
        hashes = sorted({using.hash for using in answers if using is not None})
        if len(hashes) == 1 and hashes[0]:
            about = {"hash": hashes[0], "is_newest": self.state.is_newest, "workers": len(self._places)}
            logger.info("configuration_in_use", extra=about)
        else:
            logger.error("configuration_differs", extra={"hashes": hashes})

    def _note(self, state: ConfigurationState) -> None:
        """In the thread that has read it."""
        self._read_states.put(state)
        self._wake()
