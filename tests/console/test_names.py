"""Names that are markup, or written from right to left, on every page: they are text, and set apart from what is around
them. The pages have a week of use, so that names stand in tables, charts, filters and lists of changes.
"""

from html.parser import HTMLParser

import pytest
from sqlalchemy import text

from app.admin.users import list_users
from app.console.door import PAGES
from app.console.web.assets import STATIC
from app.database.engine import writing
from app.main import utc_now
from tests.console.conftest import Console
from tests.console.week import fill_week

MARKUP = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}<!--",
    "javascript:alert(1)",
)
HASHIMI = "\u0627\u0644\u0647\u0627\u0634\u0645\u064a"
# Elements that keep the direction of what is in them to themselves, or show nothing but that.
APART = frozenset({"bdi", "option", "title", "pre", "text"})
VOID = frozenset({"meta", "link", "input", "br", "use", "rect", "line", "img", "circle", "path"})
MORE = (
    *(f"/console/usage?by={by}" for by in ("user", "team", "key")),
    *("/console/limits/explain?owner={user}", "/console/people/{user}", "/console/people?q={name}"),
    *("/console/requests?state=settled", "/console/requests?user_id={user}", "/console/requests/{request}"),
    *("/console/changes?target={user}", "/console/nothing/{name}", "/console/limits?owner={name}"),
)


class Elements(HTMLParser):
    """Every element with its attributes, and every text with the elements around it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, tuple[str, ...]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((data, tuple(self._open)))


def renamed(console: Console, name: str) -> None:
    """A week of use by people, teams and keys who are all called so."""
    fill_week(console.gateway.store.engine, utc_now(), per_day=6)
    with writing(console.gateway.store.engine) as connection:
        for table in ("users", "teams", "keys"):
            connection.execute(text(f"UPDATE {table} SET name = :name || id"), {"name": name})


def pages(console: Console) -> dict[str, str]:
    """Every page as an admin sees it who is called so too, and some with what a name is asked for by."""
    view = list_users(console.operator)[0]
    request = next(row["id"] for row in console.gateway.store.rows() if row["state"] == "settled")
    browser = console.signed_in(view.user.name, "admin")
    wanted = [path for method, path, _, _ in PAGES if method == "GET" and "{" not in path]
    wanted += [path.format(user=view.user.id, name="{name}", request=request) for path in MORE]
    found = {}
    for path in wanted:
        bare, _, query = path.partition("?")
        answer = browser.get(
            bare.replace("{name}", "x"), params=dict(each.split("=") for each in query.split("&") if each)
        )
        assert answer.status_code in (200, 303, 404), (path, answer.text)
        found[path] = answer.text
    return found


@pytest.mark.parametrize("name", MARKUP)
def test_no_name_is_markup_on_any_page(console: Console, name: str) -> None:
    renamed(console, name)
    shown = pages(console)
    assert sum(name in "".join(text for text, _ in Elements(page).texts) for page in shown.values()) > 10
    for path, page in shown.items():
        for tag, attributes in Elements(page).elements:
            assert not [each for each in attributes if each.startswith("on")], (path, tag, attributes)
            assert tag != "script" or (attributes["src"] or "").startswith(STATIC), (path, attributes)
            assert tag != "img" or attributes == {"alt": ""}, (path, attributes)
            for link in ("href", "action", "src"):
                assert (attributes.get(link) or "/").startswith(("/", "#")), (path, tag, attributes)
        assert "<!--" not in page, path


def test_names_from_right_to_left_are_set_apart_on_every_page(console: Console) -> None:
    renamed(console, HASHIMI)
    for path, page in pages(console).items():
        for text_, around in Elements(page).texts:
            assert HASHIMI not in text_ or APART & set(around), (path, text_, around)
