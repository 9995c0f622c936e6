"""The static files of the console: read once, compressed once, addressed by their content, so browsers keep them."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STATIC = "/console/static/"
VENDORED = {
    "htmx": "vendor/htmx-4.0.1.min.js",
    "pico": "vendor/pico-2.1.1.min.css",
    "icons": "vendor/icons-1.62.0.svg",
    "eventsource-parser": "vendor/eventsource-parser-3.1.1.js",
}

_FOLDER = Path(__file__).parents[1] / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, and the word for its content."""

    body: bytes
    compressed: bytes
    media_type: str
    version: str


class Assets:
    """Every static file, in memory: about 200 kB."""

    def __init__(self) -> None:
        self._files = {path.relative_to(_FOLDER).as_posix(): _read(path) for path in _FOLDER.rglob("*.*")}

    def names(self) -> list[str]:
        """The path of each file below /console/static/."""
        return sorted(self._files)

    def url(self, name: str) -> str:
        """Where a page gets the file, in its present version. `name` may be a key of VENDORED."""
        name = VENDORED.get(name, name)
        return f"{STATIC}{name}?v={self._files[name].version}"

    def answer(self, request: Request) -> Response:
        """The file that a request asks for, or 404."""
        asset = self._files.get(request.path_params["path"])
        if asset is None:
            return Response("There is no such file.", 404, media_type="text/plain")
        is_current = request.query_params.get("v") == asset.version
        headers = {
            "cache-control": _FOR_EVER if is_current else _ASK_AGAIN,
            "etag": f'"{asset.version}"',
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(asset.compressed, headers=headers, media_type=asset.media_type)
        return Response(asset.body, headers=headers, media_type=asset.media_type)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    version = hashlib.sha256(body).hexdigest()[:12]
    return Asset(body, gzip.compress(body, mtime=0), _TYPES[path.suffix], version)
