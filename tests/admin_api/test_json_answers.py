"""JSON that is written item by item is the same text as JSON written at once."""

from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from app.admin_api.json_answers import JsonAnswer

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aä"\\\n€')
)
VALUES = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=20)


@given(VALUES)
def test_the_text_is_that_of_json_written_at_once(value: object) -> None:
    assert JsonAnswer(value).body == JSONResponse(value).body
