"""nginx, the limit: it passes bytes on, and sends files of its own."""

import os
import shutil
import subprocess

from bench.contenders import ROOT, Contender, Place, Running, free_port, started, stored_bytes
from bench.processes import BenchError
from bench.requests import Request
from bench.scenarios import Scenario

_NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  upstream zenmux {{
    server {server};
    keepalive 1000;
    keepalive_requests 1000000000;
  }}
  sendfile on;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /stored/ {{ root {folder}; }}
    location / {{
      proxy_pass {scheme}://zenmux;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 4 64k;
      proxy_busy_buffers_size 128k;
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_ssl_trusted_certificate {certificate};
    }}
  }}
}}
"""


class Nginx(Contender):
    """The limit: one worker that passes bytes on and does nothing else, not even an access log."""

    name = "nginx"

    def prepare(self) -> str:
        unpacked = ROOT / ".tools" / "nginx" / "usr" / "sbin"
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{unpacked}"
        self._program = shutil.which("nginx", path=path)
        if self._program is None:
            raise BenchError("nginx is not here: `make tools` unpacks Debian's")
        told = subprocess.run([self._program, "-v"], capture_output=True, text=True, check=False)  # noqa: S603 - nginx
        return told.stderr.strip().rpartition("/")[2]

    def start(self, place: Place) -> Running:
        assert self._program is not None, "prepare() first"
        port, self._stored = free_port(), place.folder / "stored"
        scheme, _, rest = place.upstream.partition("://")
        config = place.folder / "nginx.conf"
        user = "user root root;" if os.geteuid() == 0 else ""  # it would not read root's files as nobody
        config.write_text(
            _NGINX.format(
                user=user,
                folder=place.folder,
                server=rest.split("/")[0],
                port=port,
                scheme=scheme,
                certificate=place.certificate,
            ),
            encoding="utf-8",
        )
        return started([self._program, "-c", config, "-p", place.folder], place, Running(port))

    def takes_part_in(self, scenario: Scenario) -> bool:
        return not scenario.settings

    def asked(self, running: Running, scenario: Scenario) -> Request:
        """Of what is stored: a file on its disk with the same bytes, which it sends with sendfile."""
        request = super().asked(running, scenario)
        if not scenario.stored:
            return request
        self._stored.mkdir(exist_ok=True)
        (self._stored / scenario.stored).write_bytes(stored_bytes(scenario, running.ask(request)[1]))
        return Request("GET", f"/stored/{scenario.stored}")
