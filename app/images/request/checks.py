"""Checks of one value, refused in OpenAI's words: type, range, choice, length, valid text. Knows no model and no
parameter: parameters.py says what is checked and how.
"""

from collections.abc import Sequence

from app.errors import InvalidRequest

USER_ERROR = "image_generation_user_error"  # OpenAI's error type for what only the image models refuse

_SHOWN_MAX = 64
_DEPTH_MAX = 32
_WORD_MAX = 64


def refusal(param: str, code: str, message: str, kind: str = "invalid_request_error") -> InvalidRequest:
    """The error for one parameter. A name that came from the caller is made safe to show."""
    return InvalidRequest(message, param=shown(param), code=code, kind=kind)


def shown(text: str) -> str:
    """A caller's text, made safe for a message: one line, bounded, no half surrogates."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:_SHOWN_MAX])
    return clean + "…" if len(text) > _SHOWN_MAX else clean


def listed(words: Sequence[str]) -> str:
    """'a' · 'a' and 'b' · 'a', 'b', and 'c'"""
    quoted = [f"'{word}'" for word in words]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def wrong_type(param: str, expected: str, value: object) -> InvalidRequest:
    """`expected` with its article, such as `a string`."""
    got = {type(None): "null", bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string"}.get(
        type(value), "an object" if isinstance(value, dict) else "an array"
    )
    return refusal(
        param, "invalid_type", f"Invalid type for '{shown(param)}': expected {expected}, but got {got} instead."
    )


def check_text(param: str, value: object, longest: int, shortest: int = 0) -> str:
    """A string with an allowed number of characters (Unicode code points, as OpenAI counts) that UTF-8 can encode."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if len(value) < shortest:
        message = f"Expected a string with minimum length {shortest}, but got an empty string instead."
        raise refusal(param, "empty_string", f"Invalid '{param}': empty string. {message}")
    if len(value) > longest:
        message = f"Expected a string with maximum length {longest}, but got a string with length {len(value)} instead."
        raise refusal(param, "string_above_max_length", f"Invalid '{param}': string too long. {message}")
    _check_unicode(param, value)
    return value


def check_choice(param: str, value: object, choices: Sequence[str], longest: int = _WORD_MAX) -> str:
    """One of the words. If there are none, any word of at most `longest` printable characters."""
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if not choices:
        check_text(param, value, longest)
        if not value.isprintable():
            raise refusal(param, "invalid_value", f"Invalid value: '{shown(value)}'. It holds a control character.")
        return value
    if value not in choices:
        message = f"Invalid value: '{shown(value)}'. Supported values are: {listed(choices)}."
        raise refusal(param, "invalid_value", message)
    return value


def check_integer(param: str, value: object, lowest: int, highest: int) -> int:
    """A whole number from `lowest` to `highest`. Raises InvalidRequest."""
    if type(value) is not int:  # True is not an int here
        raise wrong_type(param, "an integer", value)
    if lowest <= value <= highest:
        return value
    got = value if abs(value) < 10**18 else "a number of more than 18 digits"
    if value < lowest:
        message = f"integer below minimum value. Expected a value >= {lowest}, but got {got} instead."
        raise refusal(param, "integer_below_min_value", f"Invalid '{param}': {message}")
    message = f"integer above maximum value. Expected a value <= {highest}, but got {got} instead."
    raise refusal(param, "integer_above_max_value", f"Invalid '{param}': {message}")


def check_boolean(param: str, value: object) -> bool:
    """A boolean. Raises InvalidRequest."""
    if not isinstance(value, bool):
        raise wrong_type(param, "a boolean", value)
    return value


def check_sound(param: str, value: object, depth: int = 0) -> None:
    """Anything that JSON in UTF-8 can carry to any reader: no NaN, no number over 64 bits, bounded nesting."""
    match value:
        case str():
            _check_unicode(param, value)
        case float():
            if value != value or value in (float("inf"), float("-inf")):
                raise refusal(param, "invalid_value", f"Invalid '{shown(param)}': it holds a number JSON cannot carry.")
        case int():
            if not -(2**63) <= value < 2**63:
                raise refusal(param, "invalid_value", f"Invalid '{shown(param)}': it holds a number over 64 bits.")
        case dict() | list():
            if depth == _DEPTH_MAX:
                raise refusal(param, "invalid_value", f"Invalid '{shown(param)}': it is nested too deeply.")
            parts = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
            for part in parts:
                check_sound(param, part, depth + 1)


def _check_unicode(param: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        message = f"Invalid '{shown(param)}': it holds half of a surrogate pair, which is not valid Unicode text."
        raise refusal(param, "invalid_value", message) from None
