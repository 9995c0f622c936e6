"""A bucket as the place where files lie: what needs no S3 service. tests/e2e/test_buckets.py has one."""

import sys

import pytest

from app.errors import ConfigurationError
from app.files.store.bucket import Bucket


def test_an_address_that_is_no_bucket() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_FILES_URL cannot be used"):
        Bucket("https://example.com/files")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigurationError, match=r"zenmux-gateway\[s3\]"):
        Bucket("s3://files")


def test_a_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        Bucket("s3://files").prepare()
