"""`console link`."""

import pytest

from app.admin.access.sign_in import show_link
from app.admin.operator import Operator
from app.cli.commands.console import console_root
from app.database.engine import create_engine
from app.settings.settings import Settings
from tests.cli.conftest import NOW, Cli


def test_a_link_signs_in_whom_it_names(cli: Cli) -> None:
    cli("users", "create", "alice")
    cli.environment |= {"GATEWAY_ADMIN_KEY": "0123456789abcdef" * 2, "GATEWAY_PUBLIC_URL": "https://images.example"}
    made = cli.json("console", "link", "--user", "alice", "--role", "admin")
    assert made == {"url": made["url"], "user": "alice", "role": "admin", "minutes": 10}
    root, _, token = made["url"].partition("/console/link/")
    assert root == "https://images.example"
    engine = create_engine(f"sqlite:///{cli.data_dir / 'gateway.db'}")
    link = show_link(Operator(engine, lambda: NOW, "test"), token)
    engine.dispose()
    assert link is not None
    assert (link.user_name, link.role, link.is_direct) == ("alice", "admin", False)
    printed = cli("console", "link", "--user", "alice")
    assert printed.stdout.startswith("https://images.example/console/link/")
    assert "works once" in printed.stderr


def test_it_says_what_is_missing(cli: Cli) -> None:
    cli("users", "create", "alice")
    assert "GATEWAY_CONSOLE=true" in cli("console", "link", "--user", "alice", code=1).stderr
    cli.environment["GATEWAY_CONSOLE"] = "true"
    assert "Did you mean alice?" in cli("console", "link", "--user", "alicia", code=1).stderr
    assert "no role" in cli("console", "link", "--user", "alice", "--role", "root", code=1).stderr


def test_an_identity_provider_of_the_set_up_file_is_enough(cli: Cli) -> None:
    cli("users", "create", "alice")
    file = cli.data_dir / "gateway.yaml"
    file.write_text("version: 1\noidc: {providers: {a: {issuer: 'https://id.example.com', client_id: gateway}}}\n")
    cli.environment["GATEWAY_BOOTSTRAP_FILE"] = str(file)
    assert "/console/link/" in cli("console", "link", "--user", "alice").stdout


@pytest.mark.parametrize(
    ("host", "root"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080"), ("images.local", "http://images.local:8080")],
)
def test_where_browsers_find_it(host: str, root: str) -> None:
    assert console_root(Settings(_env_file=None, host=host)) == root
