"""A real nginx that runs what is in deploy/nginx in front of gateways on this machine, and the name server that says
where they are. For Linux, where every address in 127.0.0.0/8 is this machine."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import fetch_json, free_port, wait_until

CONF = Path(__file__).parents[2] / "deploy/nginx/load-balancer.conf"
SINGLE_CONF = CONF.with_name("zenmux-gateway.conf")
_SERVER = re.compile(r"server gateway:8080 resolve (max_fails=\d+ fail_timeout=\w+);")
_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log {folder}/access.log;
    include {folder}/site.conf;
}}
"""


_UNPACKED = Path(__file__).parents[2] / ".tools" / "nginx" / "usr" / "sbin"


@dataclass(frozen=True)
class Nginx:
    """The program; `resolves` when it can ask for a group's addresses again while it runs (1.27.3)."""

    path: str
    version: tuple[int, ...]

    @property
    def resolves(self) -> bool:
        return self.version >= (1, 27, 3)


def find_nginx() -> Nginx | None:
    """NGINX in the environment, else the one on the PATH, where Debian puts it, or where `make tools` unpacked it."""
    if sys.platform != "linux":
        return None
    elsewhere = f"/usr/sbin:/usr/local/sbin:{_UNPACKED}"
    path = os.environ.get("NGINX") or shutil.which("nginx") or shutil.which("nginx", path=elsewhere)
    if path is None:
        return None
    told = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", told)
    assert found is not None, told
    return Nginx(path, tuple(int(part) for part in found.groups()))


class NameServer:
    """Answers every question for an address with `addresses`, which may be changed meanwhile."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, sender = self._socket.recvfrom(512)
                end = query.index(b"\0", 12) + 5  # of the one question: its name, type and class
                addresses = self.addresses if query[end - 4 : end - 2] == b"\0\1" else []
                head = query[:2] + b"\x81\x80\0\1" + len(addresses).to_bytes(2, "big") + b"\0\0\0\0"
                answers = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in addresses]
                self._socket.sendto(head + query[12:end] + b"".join(answers), sender)


@contextmanager
def load_balancer(nginx: Nginx, folder: Path, names: NameServer, gateway_port: int) -> Iterator[str]:
    """Runs load-balancer.conf as it is shipped, but for addresses and ports; gives its URL.

    An nginx too old to resolve names while it runs gets the addresses of the start instead of the name.
    """
    port = free_port()
    bounds = _SERVER.findall(CONF.read_text())[0]
    servers = (
        f"server gateway:{gateway_port} resolve {bounds};"
        if nginx.resolves
        else "".join(f"server {address}:{gateway_port} {bounds};" for address in names.addresses)
    )
    changes = {
        _SERVER.pattern: servers,
        "listen 8080;": f"listen 127.0.0.1:{port};",
        r"resolver 127\.0\.0\.11 ": f"resolver 127.0.0.1:{names.port} ",
    }
    with _running(nginx, folder, _changed(CONF, changes), port):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), "nginx passes requests on")
        yield url


@contextmanager
def single_gateway(nginx: Nginx, folder: Path, port: int, gateway_port: int, certificate: Path) -> Iterator[None]:
    """Runs zenmux-gateway.conf as it is shipped, but for addresses, ports and the certificate."""
    changes = {
        r"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        r"/etc/ssl/images\.example\.com\.(crt|key)": str(certificate),
        r"127\.0\.0\.1:8080": f"127.0.0.1:{gateway_port}",
    }
    with _running(nginx, folder, _changed(SINGLE_CONF, changes), port):
        yield


def _changed(path: Path, changes: dict[str, str]) -> str:
    conf = path.read_text()
    for old, new in changes.items():
        conf, count = re.subn(old, new, conf)
        assert count, old
    return conf


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch_json(f"{url}/healthz")["status"] == "ok")
    return False


@contextmanager
def _running(nginx: Nginx, folder: Path, conf: str, port: int) -> Iterator[None]:
    """nginx with this configuration, once its port is open."""
    (folder / "site.conf").write_text(conf)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    with (folder / "nginx.log").open("wb") as log:
        command = [nginx.path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def listens() -> bool:
        assert process.poll() is None, (folder / "nginx.log").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    try:
        wait_until(listens, "nginx listens")
        yield
    finally:
        process.terminate()
        process.wait(20)
