"""Starts `zenmux-gateway …` as a process of its own and reads what it says, for commands that serve."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.forking import Program, fork_server

PATIENCE_SECONDS = 60


class Process:
    """A running command. Both of its outputs are read as they come; leaving the block ends it."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self._changed = threading.Condition()
        self.stdout, self.stderr = "", ""
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "PYTHONPATH": str(Path(__file__).parents[2]),  # for workers: this checkout's app, whatever is installed
            "GATEWAY_DATA_DIR": str(data_dir),
            **environment,
        }
        self._streams: dict[str, IO[str]] = {}
        theirs: list[int] = []
        for name in ("stdout", "stderr"):
            mine, its = os.pipe()
            self._streams[name] = os.fdopen(mine)
            theirs.append(its)
        program = Program("app", arguments, environment, data_dir.parent, (theirs[0], theirs[1]))
        self._process = fork_server().start(program)
        for its in theirs:
            os.close(its)
        self._readers = [threading.Thread(target=self._read, args=each, daemon=True) for each in self._streams.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                setattr(self, name, getattr(self, name) + line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def until(self, said: Callable[["Process"], str | None]) -> str:
        """Wait until `said` finds something in what the process said, or fail with all of it."""
        with self._changed:
            self._changed.wait_for(lambda: said(self) or not self._alive(), PATIENCE_SECONDS)
            text = said(self)
            assert text, f"{self.stdout}\n{self.stderr}"
            return text

    def _alive(self) -> bool:
        return any(reader.is_alive() for reader in self._readers) and self._process.poll() is None

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end; the exit code."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self.wait()
        for stream in self._streams.values():
            stream.close()
