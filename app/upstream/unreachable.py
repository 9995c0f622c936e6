"""Why ZenMux could not be reached, in words for the log: name, address, certificate.

Only for the operator: callers learn nothing of the gateway's network.
"""

import errno
import os
import socket
import ssl
from collections.abc import Iterator

_EXPIRED = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED
_WRONG_NAME = (62, 64)  # …_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_CAUSES_MAX = 10
_REASON_CHARACTERS_MAX = 300
_NOT_REACHED = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


def reason_of(error: BaseException) -> str:
    """The root cause of a transport's error. Never raises."""
    causes = list(_causes(error))
    for cause in reversed(causes):
        if isinstance(cause, OSError) and (reason := _reason(cause)):
            return _printable(reason)
    return _printable(f"{type(causes[-1]).__name__}: {causes[-1]}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and its causes, the nearest first."""
    found: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _reason(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate(error)
        case ssl.SSLError():
            return f"TLS failed: {getattr(error, 'reason', None) or error}"
        case socket.gaierror():
            return f"its name cannot be resolved: {error.strerror}"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionResetError():
            return "the connection was reset"
        case TimeoutError():
            return "no connection was made in time"
    if error.errno in _NOT_REACHED:
        return f"no way leads there: {os.strerror(error.errno)}"
    return "" if error.errno is None else f"the connection failed: {os.strerror(error.errno)}"


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    by = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    if error.verify_code == _EXPIRED:
        return f"its certificate has expired{by}"
    if error.verify_code in _WRONG_NAME:
        return f"its certificate is another server's: {error.verify_message}{by}"
    return f"its certificate is not trusted: {error.verify_message}{by}"


def _printable(reason: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in reason)[:_REASON_CHARACTERS_MAX]
