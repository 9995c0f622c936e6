"""A real Prometheus that scrapes gateways of a test, with the mixin's rules in a time that runs sixty times faster."""

import json
import re
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

from tests.deploy.mixin import find
from tests.servers import fetch_json, free_port, wait_until

FASTER = 60  # five minutes are five seconds
_DURATION = re.compile(r"(\[|\boffset |\bfor: )(\d+)([smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def faster(rules: str) -> str:
    """Rules whose windows and waits are FASTER times as short."""

    def shorter(found: re.Match[str]) -> str:
        milliseconds = int(found[2]) * _SECONDS[found[3]] * 1000 // FASTER
        return f"{found[1]}{milliseconds}ms"

    return _DURATION.sub(shorter, rules)


class Prometheus:
    """Scrapes its targets each second. `seen` has every alert that was firing at any time, with its severity."""

    def __init__(self, folder: Path, rules: dict[str, str]) -> None:
        self._folder = folder
        self._targets: list[dict[str, Any]] = []
        self.seen: dict[tuple[str, str], dict[str, Any]] = {}
        for name, text in rules.items():
            (folder / name).write_text(text, encoding="utf-8")
        self._write_targets()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": list(rules),
            "scrape_configs": [
                {"job_name": "gateways", "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        program = find("prometheus")
        assert program is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, "Prometheus is ready", 60)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join(10)
        self._process.terminate()
        self._process.wait(30)

    def scrape(self, root: str, job: str) -> None:
        """From now on, the gateway at `root` is scraped as one of this job."""
        self._targets.append({"targets": [root.removeprefix("http://")], "labels": {"job": job}})
        self._write_targets()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        answer = fetch_json(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        assert answer["status"] == "success"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are firing."""
        found = fetch_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    def _watch(self) -> None:
        while not self._stopping.wait(0.5):
            for alert in self.alerts():
                labels = alert["labels"]
                self.seen.setdefault((labels["alertname"], labels["severity"]), alert)

    def _write_targets(self) -> None:
        new = self._folder / "targets.new"
        new.write_text(json.dumps(self._targets), encoding="utf-8")
        new.rename(self._folder / "targets.json")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")
        try:
            fetch_json(f"{self.url}/api/v1/status/runtimeinfo")
        except OSError:
            return False
        return True


@contextmanager
def repeating(action: Any, seconds: float) -> Iterator[None]:
    """Does `action` again and again beside the block, `seconds` apart."""
    stopping = threading.Event()

    def repeat() -> None:
        while not stopping.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(60)
