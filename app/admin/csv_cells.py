"""Text as a cell of a CSV file that people open in a spreadsheet. Pure."""

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets know them


def csv_text(text: str | None) -> str:
    """`text` with an apostrophe in front if a spreadsheet would run it as a formula; an empty text for None."""
    if text is None:
        return ""
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS_A_FORMULA) else text
