"""People in the console: a lead makes keys of the team, none of the own."""

from app.admin.teams import create_team
from app.admin.users import create_user, show_user
from tests.console.conftest import Console


def test_a_lead_is_offered_no_key_of_the_own_and_gets_none(console: Console) -> None:
    create_team(console.operator, "a")
    ids = {name: create_user(console.operator, name, team="a").user.id for name in ("lena", "mia")}
    lead = console.signed_in("lena", "lead")
    for name, status in (("lena", 400), ("mia", 200)):
        is_made = status == 200
        form = f'action="/console/people/{ids[name]}/keys"'
        assert (form in lead.get(f"/console/people/{ids[name]}").text) is is_made
        made = lead.post(f"/console/people/{ids[name]}/keys", key_name="laptop")
        assert (made.status_code, "A lead makes no key of their own" in made.text) == (status, not is_made)
        assert len(show_user(console.operator, name).keys) == is_made
    assert "Ask whoever runs this gateway for one." in lead.get("/console/me/keys").text
