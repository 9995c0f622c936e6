import pytest

from app.errors import InvalidValue
from app.identity.people.names import checked_name, spelled


@pytest.mark.parametrize("name", ["a", "Zoë Müller", "团队", "it's fine; DROP TABLE users", "x" * 80, "🎨"])
def test_names_people_have_are_kept(name: str) -> None:
    assert checked_name(name, "user") == name


def test_spaces_around_are_taken_off_and_accents_spelled_one_way() -> None:
    assert checked_name("  Zoe\u0308 \n", "user") == "Zo\u00eb"
    assert spelled("Zoe\u0308") == spelled("Zo\u00eb")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "is empty"),
        (" \t\n", "is empty"),
        ("x" * 81, "has 81 characters; 80 are the most"),
        ("a\nb", "has characters that cannot be printed"),
        ("a\0b", "has characters that cannot be printed"),
        ("a\x1b[31mb", "has characters that cannot be printed"),
        ("a\u202eb", "has characters that cannot be printed"),
        ("a\u2028b", "has characters that cannot be printed"),
        ("a\udcffb", "has characters that cannot be printed"),
    ],
)
def test_other_names_are_refused_saying_whose_and_why(name: str, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=f"The name of the team {complaint}"):
        checked_name(name, "team")
