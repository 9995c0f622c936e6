"""`accounts`: what is shown and said."""

import pytest

from tests.cli.conftest import Cli

KEYS = {"ZENMUX_API_KEYS": "main=sk-ai-v1-a, spare=sk-ai-v1-b*2"}


@pytest.fixture
def ready(cli: Cli) -> Cli:
    cli("db", "upgrade")
    cli.environment |= KEYS
    return cli


def test_accounts_are_listed_taken_out_and_in_again(ready: Cli) -> None:
    ready("limits", "set", "--account", "spare", "usd:20/day")
    assert "until: zenmux-gateway accounts resume spare" in ready("accounts", "rest", "spare").stderr
    assert [(each["scope"], each["name"]) for each in ready.json("limits", "list")] == [("account", "spare")]
    main, spare = ready.json("accounts", "list")
    assert main == {
        "name": "main", "weight": 1, "base_url": None, "models": [], "limits": [], "state": "not running", "why": None,
        "until": None, "rested_by_operator": False, "processes": 0, "processes_up": 0,
    }  # fmt: skip
    assert (spare["state"], spare["why"], spare["limits"], spare["weight"]) == (
        "down",
        "operator",
        ["usd:20.00/day"],
        2,
    )
    assert "down (operator)" in ready("accounts", "list").stdout
    ready("accounts", "rest", "spare", "--until", "2h")
    assert ready.json("accounts", "list")[1]["state"] == "resting"
    assert "is used again" in ready("accounts", "resume", "spare").stderr
    assert ready.json("accounts", "list")[1]["rested_by_operator"] is False


def test_no_key_is_ever_shown(ready: Cli) -> None:
    for words in (("accounts", "list"), ("accounts", "list", "--json"), ("config", "show"), ("config", "check")):
        answer = ready(*words)
        assert "sk-ai-v1-" not in answer.stdout + answer.stderr


def test_an_account_that_is_not_there_is_named(ready: Cli) -> None:
    for words in (
        ("accounts", "rest", "x"),
        ("accounts", "resume", "x"),
        ("limits", "set", "--account", "x", "usd:1/day"),
    ):
        assert "There is no account x; there is: main, spare." in ready(*words, code=1).stderr


def test_both_ways_to_name_keys_at_once_are_refused(ready: Cli) -> None:
    ready.environment["ZENMUX_API_KEY"] = "sk-ai-v1-c"
    assert "ZENMUX_API_KEY and ZENMUX_API_KEYS are both set" in ready("accounts", "list", code=1).stderr


def test_a_management_key_must_belong_to_an_account(ready: Cli) -> None:
    ready.environment["ZENMUX_MANAGEMENT_KEYS"] = "other=sk-mg-v1-x"
    assert "names accounts that are not there: other" in ready("accounts", "list", code=1).stderr
    ready.environment["ZENMUX_MANAGEMENT_KEYS"] = "main=sk-ai-v1-x"
    answer = ready("accounts", "list", code=1)
    assert "a management key begins with sk-mg-" in answer.stderr
    assert "sk-ai-v1-x" not in answer.stderr
