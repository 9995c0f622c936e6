"""What is like a name that is not there."""

from app.admin.lookup.suggestion import suggestion


def test_suggestions() -> None:
    assert suggestion("gpt-imgae-2", ["gpt-image-2", "gpt-image-1.5"]) == " Did you mean gpt-image-2?"
    assert suggestion("banana", ["gpt-image-2"]) == ""
