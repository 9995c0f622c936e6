"""The secret of links is replaced, and the list of changes says so without it."""

from datetime import timedelta

from app.admin.changes import change_json, list_changes
from app.admin.files import rotate_link_secret
from app.admin.operator import Operator
from app.database.changes import Wanted
from app.database.gateway_secrets import kept_secrets
from app.files.links import LEEWAY, SECRET_NAME


def test_a_rotation_keeps_what_still_opens_links(operator: Operator) -> None:
    assert rotate_link_secret(operator, 3600).as_json() == {"version": 1, "kept": 0}
    assert rotate_link_secret(operator, 3600).as_json() == {"version": 2, "kept": 1}
    assert rotate_link_secret(operator, 3600).as_json() == {"version": 3, "kept": 2}
    secrets = kept_secrets(operator.engine, SECRET_NAME)
    assert [each.version for each in secrets] == [3, 2, 1]
    assert len({each.value for each in secrets}) == 3
    assert {len(each.value) for each in secrets} == {32}
    with list_changes(operator, Wanted(None, None, None, None), 10) as changes:
        (newest, *_, first) = [change_json(change) for change in changes]
    assert (newest["action"], newest["before"], newest["after"]) == (
        "files.rotate_secret",
        {"version": 2},
        {"version": 3},
    )
    assert first["before"] is None
    assert secrets[0].value.hex() not in str(newest)


def test_an_old_secret_goes_when_its_links_have_ended(operator: Operator) -> None:
    rotate_link_secret(operator, 60)
    rotate_link_secret(operator, 60)
    later = operator.now + timedelta(seconds=61) + LEEWAY
    late = Operator(operator.engine, lambda: later, operator.actor)
    assert rotate_link_secret(late, 60).as_json() == {"version": 3, "kept": 1}
