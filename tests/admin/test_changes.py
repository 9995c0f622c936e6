"""The list of changes, by the names people know."""

from app.admin.changes import change_json, list_changes
from app.admin.operator import Operator
from app.admin.users import create_user
from app.database.changes import Wanted
from tests.admin.conftest import NOW


def test_changes_are_found_by_the_name_or_the_id_of_their_target(operator: Operator) -> None:
    alice = create_user(operator, "alice").user
    create_user(operator, "bob")
    for target in ("alice", alice.id):
        with list_changes(operator, Wanted(target=target), 10) as found:
            [change] = map(change_json, found)
        assert (change["action"], change["target"], change["actor"]) == ("user.create", alice.id, "test")
        assert change["at"] == NOW.isoformat().replace("+00:00", "Z")
    with list_changes(operator, Wanted(), 1) as found:
        assert len(list(found)) == 1
