"""The benchmark of gateway.yaml: what it says is a change is one, and the second time and the export are none."""

import pytest

from bench.setup import TEAMS, run

USERS = 100


def test_only_the_first_time_is_a_change(empty_store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_a_user = 1 + 2 + 1 + 1  # the user, its limits, its key, the key's limit
    assert run(empty_store_url, USERS) == (1 + 2 * TEAMS + of_a_user * USERS, 0, 0)
    assert "apply the export" in capsys.readouterr().out
