"""Builds the image of the Dockerfile with buildah and starts it in a chroot, where there is no Docker and no registry.

Its base is then no `python:…-slim` but a Debian with Debian's Python, under the same name: what the Dockerfile does on
it is the same. Needs Linux, root, buildah and mmdebstrap, which `make builders` installs. Takes a minute or two.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".tools/image"  # on the disk, not in memory: several copies of half a gigabyte
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONF = Path("/etc/pip.conf")
PACKAGES = "python3-minimal,python3-pip,python3-venv,ca-certificates,passwd"
CAN_BUILD = (
    sys.platform == "linux"
    and os.geteuid() == 0
    and all(shutil.which(program) for program in ("buildah", "mmdebstrap", "unshare", "nsenter"))
)
_USER = "10001"
_MOUNTS = """
set -e
mount --bind {root} {root}
mount -t tmpfs tmpfs {root}/tmp
mount --bind {data} {root}/data
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -o remount,bind,ro {root}
exec chroot --userspec={user}:{user} {root} "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image, unpacked."""

    root: Path
    size_bytes: int
    own_bytes: int  # of them in /opt/venv, which is the same on every base
    variables: dict[str, str]
    health_check: list[str]
    command: list[str]


@contextmanager
def built() -> Iterator[Image]:
    """Builds the Dockerfile as it is. The base is kept for the next time, the image is not."""
    base = KEPT / "base.tar"
    if not base.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        made = ["mmdebstrap", "--quiet", "--format=tar", "--variant=apt", f"--include={PACKAGES}", "bookworm"]
        environment = {**os.environ, "TMPDIR": "/tmp"}
        subprocess.run([*made, f"{base}.part"], check=True, timeout=900, stdout=subprocess.DEVNULL, env=environment)
        Path(f"{base}.part").rename(base)
    storage = KEPT / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    (KEPT / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
    )
    try:
        _make_base(base)
        _buildah("bud", "--pull-never", "--layers=false", "--format=docker", "--tag=gateway", str(ROOT))
        container = _buildah("from", "--pull-never", "localhost/gateway")
        yield _read(container, Path(_buildah("mount", container)))
    finally:
        subprocess.run(["buildah", "rm", "--all"], env=_environment(), capture_output=True, check=False)
        shutil.rmtree(storage, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "CONTAINERS_STORAGE_CONF": str(KEPT / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}


def _buildah(*arguments: str) -> str:
    called = ["buildah", *arguments]
    done = subprocess.run(called, env=_environment(), capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def _make_base(archive: Path) -> None:
    [name] = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    container = _buildah("from", "scratch")
    _buildah("add", "--quiet", container, str(archive), "/")
    root = Path(_buildah("mount", container))
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for file in (CERTIFICATES, PIP_CONF):  # as this machine reaches a package index
        if file.exists():
            shutil.copy(file, root / file.relative_to("/"))
    _buildah("config", f"--env=SSL_CERT_FILE={CERTIFICATES}", f"--env=PIP_CERT={CERTIFICATES}", container)
    _buildah("commit", "--quiet", container, f"docker.io/library/{name}")
    _buildah("rm", container)


def _read(container: str, root: Path) -> Image:
    def field(template: str) -> str:
        return _buildah("inspect", "--format", template, container)

    variables = dict(
        line.split("=", 1) for line in field("{{range .Docker.Config.Env}}{{println .}}{{end}}").split("\n")
    )
    check = field("{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}").split("\n")
    entry = field(
        "{{range .Docker.Config.Entrypoint}}{{println .}}{{end}}{{range .Docker.Config.Cmd}}{{println .}}{{end}}"
    )
    assert field("{{.Docker.Config.User}}") == f"{_USER}:{_USER}"
    assert check[0] == "CMD"
    return Image(root, _bytes_in(root), _bytes_in(root / "opt/venv"), variables, check[1:], entry.split())


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


class Container:
    """A process of the image as user 10001, whose root is read-only: it may write /data and /tmp alone."""

    def __init__(self, image: Image, data: Path, **variables: str) -> None:
        data.mkdir()
        os.chown(data, int(_USER), int(_USER))
        self._variables = [f"{name}={value}" for name, value in {**image.variables, **variables}.items()]
        script = _MOUNTS.format(root=image.root, data=data, user=_USER)
        called = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        self._log = data.with_suffix(".log").open("wb")
        self.process = subprocess.Popen(
            [*called, "env", "-i", "-C", "/data", *self._variables, *image.command],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What `docker exec` does."""
        into = ["nsenter", "--target", str(self._inner()), "--mount", "--pid", "--root", f"-S{_USER}", f"-G{_USER}"]
        called = [*into, "env", "-i", "-C", "/data", *self._variables, *command]
        return subprocess.run(called, capture_output=True, text=True, timeout=60, check=False)

    def stop(self) -> int:
        """SIGTERM to its first process; the exit code."""
        if self.process.poll() is None:
            os.kill(self._inner(), 15)
        code = self.process.wait(30)
        self._log.close()
        return code

    def _inner(self) -> int:
        """The first process in it, as this machine numbers it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        wait_until(lambda: bool(children.read_text().strip()), "it has begun")
        return int(children.read_text().split()[0])
