"""Which certificates are trusted. Imports no HTTP client."""

import ssl
from pathlib import Path

from app.errors import ConfigurationError
from app.settings.settings import Settings


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """A context that trusts the system's certificates, or those of SSL_CERT_FILE, and additionally those of `ca_file`.
    A connection that ends without close_notify is an error.

    Raises OSError, which ssl.SSLError is too, if `ca_file` cannot be read.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def trusted(settings: Settings) -> ssl.SSLContext:
    """The context that the settings ask for. Raises ConfigurationError if GATEWAY_UPSTREAM_CA_FILE has no
    certificates.
    """
    try:
        return tls_context(settings.upstream_ca_file)
    except OSError as error:
        raise ConfigurationError(
            "GATEWAY_UPSTREAM_CA_FILE: no certificates in PEM form can be read from "
            f"{settings.upstream_ca_file} ({error.strerror or type(error).__name__})."
        ) from None
