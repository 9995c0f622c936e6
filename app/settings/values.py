"""The kinds of values that settings have beyond numbers and words: how each is written, and what is refused."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_WEBHOOK_SECRET_LENGTH_MIN = 16
_ADMIN_KEY_LENGTH_MIN = 32
_ADMIN_KEY_LETTERS_MIN = 10
_PERCENTS_MAX = 10
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9a-f:.]{2,45}\](:[0-9]{1,5})?")
ANY_ORIGIN = "*"


class Compatibility(StrEnum):
    """How requests of older clients are read."""

    LENIENT = "lenient"
    STRICT = "strict"


class UnknownModels(StrEnum):
    """What happens to a model the catalog does not list."""

    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105 - a word, not a secret


class ImageUrls(StrEnum):
    """What becomes of an image that an edit names by its address."""

    REFUSE = "refuse"
    FORWARD = "forward"
    FETCH = "fetch"


class ResponseFormat(StrEnum):
    """How images come in an answer whose request does not say."""

    AUTO = "auto"
    B64_JSON = "b64_json"
    URL = "url"


class UpstreamTransport(StrEnum):
    """Which of HTTPX's transports carries requests to ZenMux."""

    AUTO = "auto"
    HTTP1 = "http1"
    HTTPX = "httpx"


def _proxy_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https", "socks5", "socks5h") or not parts.hostname:
        raise ValueError("write it as http://host:port, https://host:port or socks5://host:port")
    if parts.path.strip("/") or parts.query:
        raise ValueError("a proxy has a host and a port, and no path")
    return text


ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]


def _without_trailing_slash(url: HttpUrl) -> str:
    return str(url).rstrip("/")


def _public_url(text: str) -> str:
    url = urlsplit(_without_trailing_slash(HttpUrl(text)))
    if url.query or url.fragment or url.username is not None:
        raise ValueError("write it as https://images.example.com, without a query or a password")
    return url.geturl()


PublicUrl = Annotated[str, AfterValidator(_public_url)]


def _bucket_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("write it as s3://bucket or s3://bucket/prefix; keys and region come from AWS_* variables")
    return text.rstrip("/")


BucketUrl = Annotated[str, AfterValidator(_bucket_url)]


def _percents(value: object) -> object:
    """`50,80,100`, in any order, as a tuple without repetitions."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdecimal() and 1 <= int(part[:4]) <= 100 for part in parts):
        raise ValueError("write whole numbers from 1 to 100, with commas between them, such as 50,80,100")
    if len(parts) > _PERCENTS_MAX:
        raise ValueError(f"write at most {_PERCENTS_MAX} percentages")
    return tuple(sorted({int(part) for part in parts}))


Percents = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_percents)]
UpstreamUrl = Annotated[str, AfterValidator(lambda text: _without_trailing_slash(HttpUrl(text)))]


def _origins(value: object) -> object:
    """`https://a.example,http://localhost:3000`, as browsers write origins, or `*` alone."""
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
    if parts == (ANY_ORIGIN,):
        return parts
    if not all(_ORIGIN.fullmatch(part) for part in parts):
        raise ValueError("write origins such as https://studio.example.com, with commas between them, or * alone")
    return parts


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]


def _hosts(value: object) -> object:
    """`images.example.com,cdn.internal`."""
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip().lower() for part in value.split(",") if part.strip())
    if not all(_HOST.fullmatch(part) for part in parts):
        raise ValueError("write names of hosts such as images.example.com, with commas between them")
    return parts


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]


def _not_guessable(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _WEBHOOK_SECRET_LENGTH_MIN:
        raise ValueError(f"shorter than {_WEBHOOK_SECRET_LENGTH_MIN} characters; make one with openssl rand -hex 32")
    return value


WebhookSecret = Annotated[SecretStr, AfterValidator(_not_guessable)]


def _for_a_header(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text.isascii() or " " in text:
        raise ValueError(f"{info.field_name} holds spaces or letters no HTTP header can carry")
    return SecretStr(text)


HeaderSecret = Annotated[SecretStr, AfterValidator(_for_a_header)]
"""A secret that is sent in an HTTP header."""


def _opens_everything(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith("sk-"):
        raise ValueError("it begins like a caller's or a ZenMux key; make one of its own with openssl rand -hex 32")
    if len(text) < _ADMIN_KEY_LENGTH_MIN or len(set(text)) < _ADMIN_KEY_LETTERS_MIN:
        raise ValueError(
            f"it can be guessed: {_ADMIN_KEY_LENGTH_MIN} characters, {_ADMIN_KEY_LETTERS_MIN} of them different, are "
            "the least; make one with openssl rand -hex 32"
        )
    return secret


AdminKey = Annotated[HeaderSecret, AfterValidator(_opens_everything)]
"""A secret that opens the admin API."""


def _networks(value: object) -> object:
    """`10.0.0.5, 10.1.0.0/16`: never all addresses."""
    if not isinstance(value, str):
        return value
    try:
        found = tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "write addresses or networks such as 10.0.0.5, 10.1.0.0/16, with commas between them"
        ) from None
    if any(network.prefixlen == 0 for network in found):
        raise ValueError("a network of all addresses would let anybody sign in as anybody; name the proxy's address")
    return found


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write an address such as https://id.example.com/realms/team")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("the provider must be asked over https: whoever stands between could sign in as anybody")
    return text


Issuer = Annotated[str, AfterValidator(_issuer), Field(examples=["https://id.example.com/realms/team"])]
