"""The rig: builds upstream.c and load.c, makes a certificate, runs one upstream, and puts loads on a port."""

import array
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.processes import BenchError, Cores, pinned, start, stop

SOURCE = Path(__file__).parent
_COMPILE = ("-O2", "-Wall", "-Wextra")
_START_SECONDS = 10
_SAMPLE_SECONDS = 0.1
_CLOCK_BYTES = 8  # of a C double


@dataclass(frozen=True)
class Job:
    """What a load does; load.c tells what each number means. `request`: one of equal length for each of `users`."""

    request: bytes = field(repr=False)
    connections: int
    seconds: float
    each: int = 0
    rate: int = 0
    first_event_bytes: int = 0
    payload_bytes: int = 0
    users: int = 1


@dataclass(frozen=True)
class Answers:
    """What came of a load: counts, and for each good answer its times in milliseconds."""

    good: int
    bad: int
    begun: int
    payload_bytes: int
    seconds: float
    cpu_seconds: float
    first_bad: str
    latency_ms: tuple[float, ...] = field(repr=False)
    first_byte_ms: tuple[float, ...] = field(repr=False)
    first_event_ms: tuple[float, ...] = field(repr=False)
    after_silence_ms: tuple[float, ...] = field(repr=False)


class Rig:
    """Upstream and load on one core. A context manager; `folder` is its own and is kept."""

    def __init__(self, folder: Path, cores: Cores) -> None:
        self.folder = folder.resolve()
        self.cores = cores
        self.certificate = self.folder / "certificate.pem"
        self._clock = self.folder / "clock"
        self.port = self.tls_port = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._load = build("load", self.folder)
        upstream = build("upstream", self.folder)
        key = make_certificate(self.certificate)
        self._clock.write_bytes(bytes(_CLOCK_BYTES))
        log = self.folder / "upstream.log"
        log.unlink(missing_ok=True)
        self.upstream = start([upstream, self._clock, self.certificate, key], core=self.cores.rig, log=log)
        deadline = time.monotonic() + _START_SECONDS
        while not (told := log.read_text(encoding="utf-8")).endswith("\n"):
            if self.upstream.poll() is not None or time.monotonic() > deadline:
                stop(self.upstream)
                raise BenchError(f"The benchmark's upstream did not start: {told or 'it says nothing'}")
            time.sleep(0.01)
        self.port, self.tls_port = map(int, told.split())
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.upstream)

    def put_load(self, port: int, job: Job, while_running: Callable[[], None] = lambda: None) -> Answers:
        """Blocks until the load has ended, calling `while_running` every 0.1 s. Raises BenchError when it breaks."""
        request, samples = self.folder / "request", self.folder / "samples"
        request.write_bytes(job.request)
        arguments = (port, request, job.users, job.connections, job.seconds, job.each, job.rate, job.first_event_bytes,
                     job.payload_bytes, samples, self._clock)  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(  # noqa: S603 - our own program
            pinned(self.cores.rig, [self._load, *arguments]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while True:
            try:
                out, errors = process.communicate(timeout=_SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                while_running()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode != 0:
            raise BenchError(f"the load broke off: {errors.strip()}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return _answers(out, samples, cpu)


def _answers(out: str, samples: Path, cpu_seconds: float) -> Answers:
    good, bad, begun, payload, seconds, first_bad = out.rstrip("\n").split(" ", 5)
    times = array.array("f", samples.read_bytes())
    return Answers(
        good=int(good),
        bad=int(bad),
        begun=int(begun),
        payload_bytes=int(payload),
        seconds=float(seconds),
        cpu_seconds=cpu_seconds,
        first_bad=first_bad,
        latency_ms=tuple(times[0::4]),
        first_byte_ms=tuple(times[1::4]),
        first_event_ms=tuple(times[2::4]),
        after_silence_ms=tuple(times[3::4]),
    )


def build(name: str, folder: Path) -> Path:
    """Compile bench/NAME.c into `folder`. Raises BenchError without a compiler, or when it complains."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("The benchmark needs a C compiler (Debian: apt-get install gcc libc6-dev).")
    made = folder / name
    arguments = [compiler, *_COMPILE, "-o", str(made), str(SOURCE / f"{name}.c"), "-ldl"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        raise BenchError(f"bench/{name}.c does not compile:\n{done.stderr}")
    return made


def make_certificate(certificate: Path) -> Path:
    """A certificate for loopback, signed by itself and good for a month, and its key beside it; the key's path."""
    key = certificate.with_name("key.pem")
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchError("The benchmark needs the openssl command (Debian: apt-get install openssl).")
    arguments = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        raise BenchError(f"openssl made no certificate:\n{done.stderr}")
    return key
