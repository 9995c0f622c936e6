"""The table of docs/retries.md: each client is measured again, and buys what the table says."""

from pathlib import Path

import pytest

from tests.retries.clients import CLIENTS, Client, ClientMissing
from tests.retries.measuring import TROUBLES, measure
from tests.retries.table import read


def test_the_table_has_every_client_and_every_trouble() -> None:
    assert {name: len(cells) for name, cells in read().items()} == {
        client.name: 1 + len(TROUBLES) for client in CLIENTS
    }


def test_more_than_one_image_is_bought_only_after_a_failure_that_was_delivered() -> None:
    for name, (_, *cells) in read().items():
        for trouble, cell in zip(TROUBLES, cells, strict=True):
            assert cell[0] in "01" or trouble.name == "5xx, bought", (name, trouble.name)


@pytest.mark.long(reason="clients wait before they try again")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_buys_what_the_table_says(client: Client, tmp_path: Path) -> None:
    try:
        client.find()
    except ClientMissing as missing:
        pytest.skip(str(missing))
    version, *cells = read()[client.name]
    found = []
    for number, trouble in enumerate(TROUBLES):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(measure(client, trouble, folder))
    assert [outcome.cell for outcome in found] == cells, [outcome.error for outcome in found]
    if client.home is not None:  # it comes from a lock file, and no other one is here
        assert {outcome.version for outcome in found} == {version}, "write it anew: python -m tests.retries --write"
