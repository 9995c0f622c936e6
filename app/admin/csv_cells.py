"""Text as a cell of a CSV file that people open in a spreadsheet. Pure."""

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets know them


def csv_text(text: str | None) -> str:
    """`text` with an apostrophe before what a spreadsheet would run as a formula; an empty text for none."""
    if text is None:
        return ""
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS_A_FORMULA) else text
