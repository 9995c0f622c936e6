"""Writes the table of docs/roles.md: `.venv/bin/python -m tests.admin.access.roles_page`."""

from pathlib import Path

from app.admin.access.permissions import PERMISSIONS
from app.identity.people.roles import Role

PAGE = Path(__file__).parents[3] / "docs" / "roles.md"
_BEGIN, _END = "<!-- made from app/admin/access/permissions.py -->\n", "\n<!-- end -->"


def permissions_table() -> str:
    """The table as Markdown."""
    lines = ["| | " + " | ".join(Role) + " |", "|---|" + "---|" * len(Role)]
    for action, reaches in PERMISSIONS.items():
        lines.append(f"| {action} | " + " | ".join(reaches[role] for role in Role) + " |")
    return "\n".join(lines)


def page_with_table(text: str) -> str:
    """The page with the table as it is to be."""
    before, rest = text.split(_BEGIN)
    return f"{before}{_BEGIN}{permissions_table()}{_END}{rest.split(_END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
