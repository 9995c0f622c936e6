"""Fetches the console's third-party files from npm and writes vendor.json: `make vendor`. Needs npm; stores no address.

A new version: change it in PACKAGES, run `make vendor`, and change the names in app/console/web/assets.py.
"""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "app/console/static/vendor"

# name, version, file in the package (None: a sprite of ICONS), name here, licence, file of the licence
PACKAGES = (
    ("htmx.org", "4.0.1", "dist/htmx.min.js", "htmx-4.0.1.min.js", "0BSD", "LICENSE"),
    ("@picocss/pico", "2.1.1", "css/pico.min.css", "pico-2.1.1.min.css", "MIT", "LICENSE.md"),
    ("eventsource-parser", "3.1.1", "dist/index.js", "eventsource-parser-3.1.1.js", "MIT", "LICENSE"),
    ("lucide-static", "1.62.0", None, "icons-1.62.0.svg", "ISC", "LICENSE"),
)
ICONS = (
    *("activity", "list", "chart-column", "gauge", "hourglass", "users", "receipt", "history", "server"),
    *("key-round", "wand-sparkles", "images", "monitor-smartphone", "sun", "moon", "copy", "check", "log-out"),
    *("download", "square", "brush", "eraser", "trash-2", "plus", "triangle-alert", "info", "arrow-left", "search"),
    *("chart-pie", "chevron-right", "rotate-cw", "x", "upload", "code", "circle-check"),
)


def main() -> None:
    """Writes every file anew, with its licence and its hash."""
    rows = []
    for name, version, source, target, licence, licence_file in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(  # noqa: S603 - names of this file
                ["npm", "pack", "--silent", f"{name}@{version}"],  # noqa: S607 - whichever npm is there
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as package:
                package.extractall(folder, filter="data")
            root = Path(folder) / "package"
            text = _sprite(root) if source is None else _without_map((root / source).read_text(encoding="utf-8"))
            (FOLDER / target).write_text(text, encoding="utf-8")
            text_of_licence = (root / licence_file).read_text(encoding="utf-8")
            (FOLDER / "licences" / f"{target}.txt").write_text(text_of_licence, encoding="utf-8")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        rows.append({"name": name, "version": version, "file": target, "sha256": sha256, "licence": licence})
    (FOLDER / "vendor.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _without_map(text: str) -> str:
    """Without the line that names a source map, which is not kept: a browser would ask for it."""
    return re.sub(r"\n?/[/*]# sourceMappingURL=\S+(?: \*/)?\s*$", "\n", text)


def _sprite(root: Path) -> str:
    symbols = []
    for icon in ICONS:
        svg = (root / "icons" / f"{icon}.svg").read_text(encoding="utf-8")
        inner = re.search(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)
        assert inner is not None, icon
        shapes = re.sub(r"\s+", " ", inner[1]).strip()
        symbols.append(f'<symbol id="{icon}" viewBox="0 0 24 24">{shapes}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


if __name__ == "__main__":
    main()
