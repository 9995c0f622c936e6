"""What works but is unwise: secrets sent without TLS or in a file that others can read, a key that can be guessed, an
unused proxy variable. Only warns; never repeats a secret.
"""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from app.settings.secret_files import secret_names
from app.settings.settings import Settings
from app.settings.values import UpstreamTransport

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_GUESSABLE = 16
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def exposures(
    settings: Settings, config_file: Path | None, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """(the subject, what is unwise and what to do) for each such setting."""
    url = urlsplit(settings.zenmux_base_url)
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        yield "key", "ZENMUX_BASE_URL is http: whoever is on the way reads the ZenMux key and every prompt; write https"
    if config_file is not None:
        yield from (("settings", message) for message in _readable_file(config_file))
    if settings.metrics_key is None:
        if settings.host not in LOOPBACK:
            yield "metrics", f"whoever reaches {settings.host} reads /metrics; GATEWAY_METRICS_KEY closes it"
    elif len(settings.metrics_key.get_secret_value()) < _GUESSABLE:
        yield (
            "metrics",
            f"GATEWAY_METRICS_KEY is shorter than {_GUESSABLE} characters and can be guessed; make one with "
            "openssl rand -hex 32",
        )
    if settings.upstream_transport is UpstreamTransport.HTTP1:
        for name in sorted(environment):
            if name.upper() in _PROXIES and environment[name]:
                yield "proxy", f"{name} is set and not used: GATEWAY_UPSTREAM_TRANSPORT=http1 knows no proxies"


def _readable_file(file: Path) -> Iterator[str]:
    """A warning if others than the owner can read the file and it contains a secret."""
    try:
        others = stat.S_IMODE(file.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH)
        written = {name.upper() for name, value in dotenv_values(file, interpolate=False).items() if value}
    except OSError:
        return
    secrets = sorted(written & secret_names(Settings.model_fields, "GATEWAY_"))
    if others and secrets:
        yield f"{file} can be read by others and holds {', '.join(secrets)}: chmod 600 {file}"
