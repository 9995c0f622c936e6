"""The name by which people know what a row is about: a user's or team's name, a key's public id, or `gateway`."""


def owner_name_sql(table: str) -> str:
    """An SQL expression for a query over `table`, which has the columns `scope` and `scope_id`."""
    return f"""COALESCE(
    (SELECT name FROM users WHERE {table}.scope = 'user' AND users.id = {table}.scope_id),
    (SELECT name FROM teams WHERE {table}.scope = 'team' AND teams.id = {table}.scope_id),
    NULLIF({table}.scope_id, ''), 'gateway')"""  # noqa: S608 - names of ours
