"""Renders the mixin into deploy/: alerts.yml, rules.yml and grafana/dashboards/*.json; the same into chart/files/,
for a chart may read only what lies in its own folder.

pip install jsonnet pyyaml
python deploy/mixin/render.py                     writes the files
python deploy/mixin/render.py --set selector='job="images"' --into /etc/prometheus/zenmux
"""

import argparse
import json
from pathlib import Path

import _jsonnet
import yaml

MIXIN = Path(__file__).parent
_HEAD = (
    "# Rendered from deploy/mixin by render.py. Change it there; docs/operations.md says what to do when one fires.\n\n"
)


def evaluate(hidden: str, config: dict[str, object]) -> dict[str, object]:
    """One of the mixin's parts, with values of _config replaced."""
    snippet = f"((import 'mixin.libsonnet') + {{ _config+:: {json.dumps(config)} }}).{hidden}"
    rendered: dict[str, object] = json.loads(_jsonnet.evaluate_snippet("mixin", snippet, import_callback=_read))
    return rendered


def render(**config: object) -> dict[str, str]:
    """Each file's path below deploy/ → its text."""
    files = {
        "alerts.yml": _HEAD + _yaml(evaluate("prometheusAlerts", config)),
        "rules.yml": _HEAD + _yaml(evaluate("prometheusRules", config)),
    }
    for name, dashboard in evaluate("grafanaDashboards", config).items():
        files[f"grafana/dashboards/{name}"] = json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"
    return files | {f"chart/files/{path.removeprefix('grafana/')}": text for path, text in files.items()}


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, float(value) if "." in value else int(value)
    except ValueError:
        return name, value


def _read(folder: str, name: str) -> tuple[str, bytes]:
    path = (MIXIN / folder / name).resolve()
    return str(path), path.read_bytes()


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a value of config.libsonnet")
    parser.add_argument("--into", type=Path, default=MIXIN.parent, metavar="FOLDER")
    arguments = parser.parse_args()
    for path, text in render(**dict(map(_setting, arguments.set))).items():
        target = arguments.into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
