"""Forms: what a browser sends is read back; everything else is refused."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.console.web.forms import NO_FORM, parse_form
from app.errors import InvalidValue

TEXT = st.text(max_size=30)


@given(st.dictionaries(TEXT, TEXT, max_size=20))
def test_what_was_sent_is_read(fields: dict[str, str]) -> None:
    form = parse_form(urlencode(fields).encode())
    assert {name: form.get(name) for name in fields} == {name: value.strip() for name, value in fields.items()}


def test_the_last_value_counts_and_all_are_there() -> None:
    form = parse_form(b"a=1&a=2&a=+&b=")
    assert (form.get("a"), form.all("a"), form.get("b"), form.get("c")) == ("", ["1", "2"], "", "")
    assert NO_FORM.get("a") == ""


@pytest.mark.parametrize("body", [b"a=%ff", "a=é".encode(), b"&".join(b"a=%d" % n for n in range(201))])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidValue, match="form cannot be read"):
        parse_form(body)
