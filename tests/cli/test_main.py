"""The global options, and the ways the program is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import app
from tests.cli.conftest import Cli


def test_the_version_is_an_option_too(cli: Cli) -> None:
    assert cli("--version").stdout == f"zenmux-gateway {app.__version__}\n"


def test_a_settings_file_is_named_by_option_or_environment(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_PORT=9001\n")
    for shown in (cli.json("--config", str(file), "config", "show"), named_by_environment(cli, file)):
        [port] = [setting for setting in shown if setting["name"] == "GATEWAY_PORT"]
        assert (port["value"], port["origin"]) == ("9001", "file")


def named_by_environment(cli: Cli, file: Path) -> list[dict[str, str]]:
    cli.environment["GATEWAY_CONFIG"] = str(file)
    shown: list[dict[str, str]] = cli.json("config", "show")
    return shown


def test_a_settings_file_that_is_not_there_is_told(cli: Cli) -> None:
    told = cli("--config", "nowhere.env", "keys", "list", code=1).stderr
    assert told == "Error: GATEWAY_CONFIG (or --config) names nowhere.env, which is not a file.\n"


def test_a_wrong_settings_file_does_not_stop_those_who_need_none(cli: Cli) -> None:
    cli.environment["GATEWAY_CONFIG"] = "nowhere.env"
    cli("version")
    cli("--help")


def test_both_ways_to_start_it() -> None:
    script = Path(sys.executable).with_name("zenmux-gateway")
    for command in ([sys.executable, "-m", "app"], [str(script)]):
        done = subprocess.run([*command, "version"], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == f"zenmux-gateway {app.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("ke", "keys"), ("keys cr", "create"), ("import li", "litellm"), ("db move --to-", "--to-file")],
)
def test_the_shell_completes_commands_that_are_not_loaded_yet(typed: str, offered: str) -> None:
    words = f"zenmux-gateway {typed}"
    environment = {
        "PATH": os.environ["PATH"],
        "_ZENMUX_GATEWAY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    program = Path(sys.executable).with_name("zenmux-gateway")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [offered]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_a_bash_takes_the_script_that_is_printed() -> None:
    script = """
        eval "$(zenmux-gateway --show-completion)"
        complete -p zenmux-gateway | grep -q _zenmux_gateway_completion || exit 3
        COMP_WORDS=(zenmux-gateway keys cr) COMP_CWORD=2
        _zenmux_gateway_completion zenmux-gateway
        echo "${COMPREPLY[@]}"
    """
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    told = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "create\n"), told.stderr
