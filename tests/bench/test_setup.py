"""The benchmark of gateway.yaml: what it says is a change is one, and the second time and the export are none."""

import re

import pytest

from bench.setup import TEAMS, run

USERS = 100


def test_only_the_first_time_is_a_change(empty_store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_a_user = 1 + 2 + 1 + 1  # the user, its limits, its key, the key's limit
    assert run(empty_store_url, USERS) == (1 + 2 * TEAMS + of_a_user * USERS, 0, 0)
    assert "apply the export" in capsys.readouterr().out


@pytest.mark.long("two thousand users are written, and read again three times")
def test_two_thousand_users_are_applied_in_less_than_five_seconds(
    empty_store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this process's CPU: other work on the machine does not count."""
    run(empty_store_url, 2000)
    found = re.search(r"apply {2,}[0-9.]+ s +([0-9.]+) s CPU", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) < 5
