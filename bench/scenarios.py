"""What is asked of every contender: the sizes, the numbers of connections, the requests."""

from dataclasses import dataclass, replace

from app.settings.callers.descriptors import PER_REQUEST
from bench.requests import Request, document, form

MODEL = "gpt-image-2"
IN_FLIGHT_SECONDS = 5.0
MANY_SECONDS = 10.0
PEER_CONNECTIONS_MAX = 1000
SLOW_BYTES_PER_SECOND = 1_000_000
FILE, REPLAY = "file", "replay"
_PARTIAL_BYTES = 1_500_000


@dataclass(frozen=True)
class Scenario:
    """One load. `prompt` tells upstream.c what to answer, `connections` are kept busy for a plan's seconds.

    `each`: requests on a connection, 0 for any number. `rate`: bytes per second a slow reader takes, 0 for all it can.
    `upload_bytes`: of the image of an edit; 0 for a generation.
    `stored`: what is asked for again and again: FILE, the image behind a link, or REPLAY, the answer to one
    Idempotency-Key. Of the others only nginx has such things: files on its disk.
    `waits`: so many seconds pass at ZenMux before each answer. `users`: whose requests they are, in turn.
    `seconds` stands instead of the plan's. `is_fresh`: a new process for each run, since its memory is what matters.
    `is_long`: only of full runs, and once.
    `settings`: of the gateway alone, which is fresh then; its peers, who have no such settings, are not measured.
    """

    name: str
    prompt: str
    connections: int
    images: int = 1
    stream: bool = False
    each: int = 0
    rate: int = 0
    upload_bytes: int = 0
    stored: str = ""
    waits: float = 0
    users: int = 1
    seconds: float | None = None
    is_fresh: bool = False
    is_long: bool = False
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def descriptors(self) -> int:
        """How many files a contender must be allowed to open: as many as the gateway wants for these requests."""
        return PER_REQUEST * self.connections + 100

    @property
    def first_event_bytes(self) -> int:
        return _PARTIAL_BYTES if self.stream else 0

    def request(self, model: str) -> Request:
        """What is asked first; of what is stored, it makes what is asked for afterwards."""
        fields: dict[str, object] = {
            "model": model,
            "prompt": self.prompt,
            "n": self.images,
            "size": "1024x1024",
            "quality": "low",
        }
        if self.stream:
            fields |= {"stream": True, "partial_images": 3}
        return form(fields, self.upload_bytes) if self.upload_bytes else document(fields)

    def shortened(self, seconds: float) -> "Scenario":
        """No longer than so many seconds."""
        return replace(self, seconds=min(self.seconds or seconds, seconds))


SMALL = Scenario("2KB c=1", "2KB", 1)
SMALL_MANY = Scenario("2KB c=32", "2KB", 32)
MEDIUM = Scenario("2MB", "2MB", 8)
LARGE = Scenario("8MB", "8MB", 4)
HUGE = Scenario("30MB", "30MB n=4", 4, images=4)
STREAM = Scenario("sse", "sse", 4, stream=True)
STREAM_GAPS = Scenario("sse gaps", "sse gap=100", 1, stream=True)
UPLOAD_SMALL = Scenario("edit 1MB", "2KB", 4, upload_bytes=1_000_000)
UPLOAD = Scenario("edit 8MB", "2KB", 4, upload_bytes=8_000_000)
UPLOAD_HUGE = Scenario("edit 30MB", "2KB", 4, upload_bytes=30_000_000)
STORED_FILE = Scenario("file 8MB", "10.667MB", 4, stored=FILE)
STORED_REPLAY = Scenario("replay 8MB", "8MB", 4, stored=REPLAY)
START = Scenario("start", "2KB", 0, is_fresh=True)
IN_FLIGHT = Scenario(
    "in flight",
    f"2KB delay={IN_FLIGHT_SECONDS * 1000:.0f}",
    500,
    each=1,
    waits=IN_FLIGHT_SECONDS,
    seconds=4,
    is_fresh=True,
)
MANY = Scenario(
    "5,000 in flight", f"2KB delay={MANY_SECONDS * 1000:.0f}", 5000, each=1, waits=MANY_SECONDS, users=4, seconds=9,
    is_fresh=True,
)  # fmt: skip
MANY_IMAGES = replace(
    MANY, name="5,000 images in flight", prompt=f"1.5MB delay={MANY_SECONDS * 1000:.0f}", is_long=True
)
MOST = replace(
    MANY, name="10,000 in flight", connections=10_000, is_long=True,
    settings=(("GATEWAY_REQUESTS_IN_FLIGHT_MAX", "10000"),),
)  # fmt: skip
SLOW = Scenario("slow", "30MB n=4", 100, images=4, each=1, rate=SLOW_BYTES_PER_SECOND, seconds=10, is_fresh=True)
SLOW_BOUNDED = replace(SLOW, name="slow bounded", settings=(("GATEWAY_SOCKET_BUFFER_BYTES", "131072"),))

UPLOADS = (UPLOAD_SMALL, UPLOAD, UPLOAD_HUGE)
STORED = (STORED_FILE, STORED_REPLAY)
SCENARIOS = (
    SMALL, SMALL_MANY, MEDIUM, LARGE, HUGE, STREAM, STREAM_GAPS, *UPLOADS, *STORED, START, IN_FLIGHT,
    MANY, MANY_IMAGES, MOST, SLOW, SLOW_BOUNDED,
)  # fmt: skip
# Over TLS the memory scenarios would say the same again.
TLS_SCENARIOS = (SMALL, SMALL_MANY, MEDIUM, LARGE, HUGE, STREAM, STREAM_GAPS, *UPLOADS)


def by_name(name: str) -> tuple[Scenario, ...]:
    """The scenario of that name; `slow` is both, without and with the bound. Raises KeyError."""
    return ({scenario.name: (scenario,) for scenario in SCENARIOS} | {SLOW.name: (SLOW, SLOW_BOUNDED)})[name]
