"""`db`."""

from app.database import migrations
from tests.cli.conftest import Cli


def test_upgrade_makes_the_database_and_then_has_nothing_to_do(cli: Cli) -> None:
    assert f"went from nothing to schema {migrations.HEAD}" in cli("db", "upgrade").stderr
    assert "Nothing to do" in cli("db", "upgrade").stderr
    place = str(cli.data_dir / "gateway.db")
    assert cli.json("db", "upgrade") == {"database": place, "before": migrations.HEAD, "after": migrations.HEAD}
