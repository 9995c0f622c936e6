"""Files in a bucket, of a real S3 service (moto's): links work from every gateway, and a bucket that is away loses no
image."""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from obstore.store import S3Store

from app.files.store.bucket import Bucket
from app.files.store.sharing import mark_name, without_mark
from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, Key, fetch_json, wait_until

ROOT = Path(__file__).parents[2]
BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low", "response_format": "url"}
PNG = b"\x89PNG\r\n\x1a\n"


class S3:
    """The service, in a process of its own. Every test has a bucket of its own."""

    def __init__(self, home: Path) -> None:
        command = [home / "bin/python", ROOT / "tests/clients/moto_server.py"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http"), "moto did not start"

    def stop(self) -> None:
        self._process.communicate("")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }

    def make(self, bucket: str) -> None:
        assert httpx2.put(f"{self.url}/{bucket}").status_code == 200

    def within(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.url,
            access_key_id="testing",
            secret_access_key="testing",
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def empty(self, bucket: str) -> None:
        """Away with it, and all that is in it."""
        self.within(bucket).delete(self.names(bucket))
        assert httpx2.delete(f"{self.url}/{bucket}").status_code == 204, self.names(bucket)

    def names(self, bucket: str) -> list[str]:
        return [each["path"] for some in self.within(bucket).list() for each in some]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    home = ROOT / ".venv-clients/moto_server"
    if not (home / ".installed").is_file():
        pytest.skip("there is no environment for moto: `make clients` makes it, if its packages can be had")
    service = S3(home)
    yield service
    service.stop()


@pytest.fixture
def bucket(s3: S3, request: pytest.FixtureRequest) -> str:
    name = f"b{abs(hash(request.node.name)) % 10**10}"
    s3.make(name)
    return name


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


def gateway(s3: S3, bucket: str, sandbox: SandboxServer, folder: Path, **settings: str) -> GatewayProcess:
    settings = {"GATEWAY_FILES_URL": f"s3://{bucket}/kept/here", "GATEWAY_SWEEP_SECONDS": "0.2", **settings}
    return GatewayProcess(folder, sandbox.url, **s3.environment, **settings)


def ask(made: GatewayProcess, key: Key, **fields: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{made.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=60)


def test_a_bucket_is_a_place_for_files(s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = Bucket(f"s3://{bucket}/kept")
    place.prepare()
    data, draft = os.urandom(12_000_000), tmp_path / "draft"
    draft.write_bytes(data)
    place.put(draft, "large")  # in parts
    content = place.open("large")
    assert content is not None
    assert content.size == len(data)
    assert content.read(11_999_990, 100) == data[-10:]
    place.mark(mark_name("one"))
    assert without_mark(place, ["one", "two"]) == ["two"]
    assert {found.name for found in place.list()} == {"large", mark_name("one")}
    assert all(found.written_at > 1_700_000_000 for found in place.list())
    place.delete("large")
    place.delete("large")
    assert place.open("large") is None
    assert "kept/probe" in s3.names(bucket)


def test_links_work_out_of_a_bucket(s3: S3, bucket: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    with gateway(s3, bucket, sandbox, tmp_path / "data") as made:
        link = ask(made, made.store.key(), prompt="a house [sandbox: body=9MB]").json()["data"][0]["url"]
        image = httpx2.get(link)
        assert image.headers["content-type"] == "image/png"
        assert image.content.startswith(PNG)
        assert int(image.headers["content-length"]) == len(image.content) > 6_000_000
        part = httpx2.get(link, headers={"range": "bytes=1000000-1000009"})
        assert (part.status_code, part.content) == (206, image.content[1_000_000:1_000_010])
        assert [path for path in (tmp_path / "data/files").iterdir() if path.suffix == ".part"] == []
        file_id = link.partition("/files/")[2].partition(".")[0]
        assert f"kept/here/{file_id}" in s3.names(bucket)
        s3.within(bucket).delete(f"kept/here/{file_id}")
        assert httpx2.get(link).status_code == 410
        assert made.store.findings(fetch_json(sandbox.bill_url)) == []


def test_every_gateway_serves_the_links_of_every_other(
    s3: S3, bucket: str, sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    database = {"GATEWAY_DATABASE_URL": postgresql_url}
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(gateway(s3, bucket, sandbox, tmp_path / name, **database)) for name in ("one", "two")
        )
        link = ask(one, one.store.key()).json()["data"][0]["url"]
        assert httpx2.get(link.replace(one.root, two.root)).content.startswith(PNG)


@pytest.mark.long("two gateways start; every run shares a bucket between two")
def test_gateways_without_a_common_folder_refuse_links_and_say_why(
    sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.2"}
    with GatewayProcess(tmp_path / "one", sandbox.url, **settings) as one:
        key = one.store.key()
        assert ask(one, key).status_code == 200
        bought = len(one.store.settled())
        with GatewayProcess(tmp_path / "two", sandbox.url, **settings) as two:
            wait_until(lambda: "files_not_shared" in one.log() and "files_not_shared" in two.log(), "both know it")
            for made in (one, two):
                refused = ask(made, key)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "files_unavailable")
                assert "GATEWAY_FILES_URL" in refused.json()["error"]["message"]
                assert "b64_json" in ask(made, key, model="dall-e-3", response_format=None).json()["data"][0]
            assert len(one.store.settled()) == bought + 2
            two.terminate()
            two.process.wait(60)
        wait_until(lambda: "files_shared_again" in one.log(), "the other is gone")
        assert ask(one, key).status_code == 200


@pytest.mark.long("two gateways start; every run shares a bucket between two")
def test_gateways_with_a_common_folder_share_links(sandbox: SandboxServer, tmp_path: Path, postgresql_url: str) -> None:
    settings = {"GATEWAY_DATABASE_URL": postgresql_url, "GATEWAY_SWEEP_SECONDS": "0.2"}
    with ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        (tmp_path / "one/files").mkdir()
        (tmp_path / "two/files").symlink_to(tmp_path / "one/files")
        one, two = (
            stack.enter_context(GatewayProcess(tmp_path / name, sandbox.url, **settings)) for name in ("one", "two")
        )
        link = ask(two, one.store.key()).json()["data"][0]["url"]
        assert httpx2.get(link.replace(two.root, one.root)).content.startswith(PNG)
        assert "files_not_shared" not in one.log() + two.log()


def test_a_bucket_that_is_away_refuses_before_buying_and_loses_nothing_after(
    s3: S3, bucket: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    with gateway(s3, bucket, sandbox, tmp_path / "data", GATEWAY_SWEEP_SECONDS="600") as made:
        key = made.store.key()
        assert ask(made, key).status_code == 200
        s3.empty(bucket)
        after = ask(made, key)
        assert after.headers["x-gateway-normalized"] == "response_format=url->b64_json"
        assert base64.b64decode(after.json()["data"][0]["b64_json"]).startswith(PNG)
        before = ask(made, key)
        assert (before.status_code, before.json()["error"]["code"]) == (503, "files_unavailable")
        assert len(made.store.settled()) == 2
        s3.make(bucket)
        assert httpx2.get(ask(made, key).json()["data"][0]["url"]).content.startswith(PNG)
        assert made.store.findings(fetch_json(sandbox.bill_url)) == []
