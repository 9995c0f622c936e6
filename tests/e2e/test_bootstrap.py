"""GATEWAY_BOOTSTRAP_FILE: a start applies the file before it listens; one that is wrong keeps it from starting."""

from pathlib import Path

from app.sandbox.server import SandboxServer
from tests.cli.processes import Process
from tests.servers import UPSTREAM_KEY, GatewayProcess, wait_until


def test_every_start_applies_the_file_and_never_prunes(sandbox: SandboxServer, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    for text, changes in (
        ("version: 1\nusers: {alice: {}, bob: {}}\n", 2),
        ("version: 1\nusers: {alice: {}, bob: {}}\n", 0),
        ("version: 1\nusers: {alice: {role: lead}}\n", 1),
    ):
        file.write_text(text)
        with GatewayProcess(tmp_path / "data", sandbox.url, GATEWAY_BOOTSTRAP_FILE=str(file)) as gateway:
            # It answers a moment before its line is in the log.
            wait_until(lambda: "listening" in gateway.log().splitlines()[-1], "it listens")
            [applied] = [line for line in gateway.log().splitlines() if "setup_applied" in line][-1:]
            assert f'"changes":{changes}' in applied
            key = gateway.store.key(user="bob")
            assert key.id


def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\nusers:\n  alice: {team: nowhere}\n")
    environment = {"ZENMUX_API_KEY": UPSTREAM_KEY, "GATEWAY_BOOTSTRAP_FILE": str(file), "GATEWAY_PORT": "0"}
    with Process(tmp_path / "data", "serve", **environment) as process:
        assert process.wait() == 1
    assert f"Error: {file}, line 3: users.alice.team: there is no team nowhere" in process.stderr
    assert "listening" not in process.stderr
