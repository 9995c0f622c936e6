"""Who may come in at all, and as whom; the status says so."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from sqlalchemy import text

from app.admin.access import administration
from app.database.engine import reading
from app.errors import StoreUnavailable
from app.identity.people.roles import Role
from tests.admin_api.conftest import ADMIN_KEY, Admin


def test_the_admin_key_is_an_admin_that_is_nobody(admin: Admin) -> None:
    answer = admin.get("/status").json()
    assert (answer["object"], answer["you"]["actor"], answer["you"]["role"]) == ("status", "admin-key", "admin")
    assert answer["you"]["permissions"]["operate"] == "all"


@pytest.mark.parametrize("key", [ADMIN_KEY[:-1], ADMIN_KEY + "0", ADMIN_KEY.upper(), "sk-zg-nothing"])
def test_nothing_but_the_whole_key_opens(admin: Admin, key: str) -> None:
    refused = admin.as_(key).get("/status")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_without_a_credential_it_is_401_and_an_unknown_path_404(admin: Admin) -> None:
    assert httpx2.get(f"{admin.gateway.root}/admin/v1/status").status_code == 401
    unknown = admin.get("/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    wrong = admin.ask("POST", "/status")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_a_key_is_what_its_role_says(everybody: dict[Role, Admin]) -> None:
    for role, door in everybody.items():
        you = door.get("/status").json()["you"]
        assert (you["role"], you["actor"]) == (role, f"key:{door.key.split('-')[2]}")


def test_a_request_cannot_say_who_it_is(everybody: dict[Role, Admin]) -> None:
    forged = {"x-actor": "root", "from": "root", "x-forwarded-user": "root", "litellm-changed-by": "root"}
    you = everybody[Role.MEMBER].get("/status", headers=forged).json()["you"]
    assert (you["role"], you["actor"].startswith("key:")) == ("member", True)


def test_reads_have_an_end(admin: Admin) -> None:
    """On either engine: the database itself stops, and says that less should be asked for."""
    engine = admin.gateway.store.engine
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT max(i) FROM n"
    with pytest.raises(StoreUnavailable, match="too long"), reading(engine, seconds_max=0.05) as connection:
        connection.execute(text(forever)).all()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_many_who_ask_at_a_time_all_get_an_answer(admin: Admin) -> None:
    assert administration.READ_SECONDS_MAX < 30  # of a statement on PostgreSQL for everybody else
    with ThreadPoolExecutor(12) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: admin.get("/status"), range(36))} == {200}
