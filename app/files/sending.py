"""How a kept file is given to a server that sends it itself, without its bytes passing through this process: by ASGI's
extension `http.response.zerocopysend`. A file in a bucket is not to be had so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FILE_PART = "http.response.zerocopysend"
_PART_BYTES = 4_194_304  # what the log line may count too much of an answer that breaks off


def sends_files(scope: Mapping[str, Any]) -> bool:
    """Whether the server of that request can."""
    return FILE_PART in scope.get("extensions", ())


def file_parts(descriptor: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """The messages that send the bytes from `start` to `stop`. One that ends the answer must follow."""
    for offset in range(start, stop, _PART_BYTES):
        count = min(_PART_BYTES, stop - offset)
        yield {"type": FILE_PART, "file": descriptor, "offset": offset, "count": count, "more_body": True}
