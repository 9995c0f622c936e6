"""`files`."""

from tests.cli.conftest import Cli


def test_the_secret_of_links_is_replaced(cli: Cli) -> None:
    cli("db", "upgrade")
    assert "secret number 1" in cli("files", "rotate-secret").stderr
    again = cli("files", "rotate-secret").stderr
    assert "secret number 2" in again
    assert "Links of the 1 before it work to their end" in again
    assert cli.json("files", "rotate-secret") == {"version": 3, "kept": 2}
