"""Whom a connection is with."""

import httpx2
import pytest

from app.upstream.http1.origin import Origin, origin_of


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://zenmux.ai/api/v1", Origin(tls=True, host="zenmux.ai", port=443)),
        ("http://127.0.0.1:8090/v1", Origin(tls=False, host="127.0.0.1", port=8090)),
        ("http://[::1]/", Origin(tls=False, host="::1", port=80)),
    ],
)
def test_an_origin_is_the_host_its_port_and_whether_tls_is_spoken(url: str, origin: Origin) -> None:
    assert origin_of(httpx2.URL(url)) == origin


@pytest.mark.parametrize("url", ["ftp://zenmux.ai/", "/api/v1", "https:///api/v1"])
def test_other_urls_have_none(url: str) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        origin_of(httpx2.URL(url))
