"""LiteLLM's proxy with virtual keys, for the test of `import litellm`: its own routes, rules and Prisma calls, over a
stand-in for the Prisma client that keeps rows in memory. The real client needs an engine that no package index has.

Runs in the environment litellm_proxy. Arguments: the port, LiteLLM's config.yaml. LITELLM_MASTER_KEY is the master key.
"""

# It plays a library without types, and its rows have times.
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, TID251
# mypy: ignore-errors

import asyncio
import json
import os
import re
import sys
import types
import uuid
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict


def _shapes(schema):
    """Each model of schema.prisma: its columns with their types and defaults, and its relations."""
    shapes = {}
    for model, body in re.findall(r"^model (\w+) \{(.*?)^\}", schema, re.MULTILINE | re.DOTALL):
        columns, relations = {}, {}
        for name, kind, rest in re.findall(r"^\s+(\w+)\s+(\w+(?:\[\]|\?)?)(.*)$", body, re.MULTILINE):
            plain = kind.rstrip("[]?")
            if plain.startswith("LiteLLM_"):
                link = re.search(r"fields: \[(\w+)\], references: \[(\w+)\]", rest)
                relations[name] = (plain.lower(), *(link.groups() if link else (None, None)))
            else:
                default = re.search(r"@default\((.*?)\)(?:\s|$)", rest)
                columns[name] = (kind, default[1] if default else None)
        shapes[model.lower()] = (columns, relations)
    return shapes


def _default(kind, said):
    if said in ("now()", "uuid()"):
        return datetime.now(UTC) if said == "now()" else str(uuid.uuid4())
    if said is None:
        return [] if kind.endswith("[]") else None
    return json.loads(said.strip('"')) if kind.rstrip("?") == "Json" or not said.startswith('"') else said.strip('"')


class Row(BaseModel):
    """One row, as Prisma's models are."""

    model_config = ConfigDict(extra="allow")

    def __getitem__(self, name):
        return getattr(self, name)

    def get(self, name, default=None):
        return getattr(self, name, default)

    def keys(self):
        return self.model_dump().keys()


class Table:
    """The methods of one of Prisma's tables that LiteLLM's management routes call."""

    def __init__(self, database, name):
        self._database, self._name, self._rows = database, name, []
        self._columns, self._relations = database.shapes.get(name, ({}, {}))

    def _value(self, name, value):
        kind = self._columns.get(name, ("", None))[0].rstrip("?")
        if kind == "Json" and isinstance(value, str):
            return json.loads(value)
        if kind == "DateTime" and isinstance(value, str):
            return datetime.fromisoformat(value)
        if isinstance(value, dict) and set(value) & {"push", "set", "increment"}:
            return value.get("set", value.get("push", value.get("increment")))
        return value

    def _matches(self, row, where):
        for name, wanted in (where or {}).items():
            if name in ("AND", "OR", "NOT"):
                parts = wanted if isinstance(wanted, list) else [wanted]
                found = [self._matches(row, part) for part in parts]
                if not {"AND": all(found), "OR": any(found), "NOT": not any(found)}[name]:
                    return False
            elif name not in row:
                if not isinstance(wanted, dict) or not self._matches(row, wanted):  # a key of several columns
                    return False
            elif not self._is(row[name], wanted):
                return False
        return True

    def _is(self, value, wanted):
        if not isinstance(wanted, dict):
            return value == wanted
        if "path" in wanted:
            for name in wanted["path"]:
                value = value.get(name) if isinstance(value, dict) else None
            wanted = {test: operand for test, operand in wanted.items() if test != "path"}
        tests = {
            "in": lambda some: value in some,
            "notIn": lambda some: value not in some,
            "not": lambda one: not self._is(value, one),
            "not_in": lambda some: value not in some,
            "equals": lambda one: value == one,
            "contains": lambda one: one.lower() in (value or "").lower(),
            "has": lambda one: one in value,
            "hasSome": lambda some: bool(set(some) & set(value)),
            "gt": lambda one: value is not None and value > one,
            "gte": lambda one: value is not None and value >= one,
            "lt": lambda one: value is not None and value < one,
            "lte": lambda one: value is not None and value <= one,
        }
        return all(tests[test](operand) for test, operand in wanted.items() if test != "mode")

    def _row(self, row, include):
        found = Row(**row)
        for name, (other, here, there) in self._relations.items():
            setattr(found, name, None)
            if include and include.get(name) and here:
                rows = self._database.table(other)._rows
                match = next((each for each in rows if row[here] is not None and each[there] == row[here]), None)
                setattr(found, name, Row(**match) if match else None)
        return found

    async def find_many(self, where=None, skip=0, take=None, include=None, order=None, **_):
        rows = [row for row in self._rows if self._matches(row, where)]
        for each in reversed(order if isinstance(order, list) else [order] if order else []):
            [(name, way)] = each.items()
            rows.sort(key=lambda row: (row.get(name) is not None, row.get(name)), reverse=way == "desc")
        return [self._row(row, include) for row in rows[skip or 0 :][:take]]

    async def find_first(self, where=None, include=None, **_):
        return next(iter(await self.find_many(where, include=include)), None)

    find_unique = find_first

    async def count(self, where=None, **_):
        return len(await self.find_many(where))

    async def group_by(self, by, where=None, **_):
        rows = await self.find_many(where)
        groups = [tuple(row[name] for name in by) for row in rows]
        return [
            {**dict(zip(by, group, strict=True)), "_count": {"_all": groups.count(group)}}
            for group in dict.fromkeys(groups)
        ]

    async def create(self, data, include=None, **_):
        row = {name: _default(*column) for name, column in self._columns.items()}
        row |= {name: self._value(name, value) for name, value in data.items() if name in self._columns}
        for name, value in data.items():
            if name in self._relations and isinstance(value, dict) and "connect" in value:
                row[self._relations[name][1]] = value["connect"][self._relations[name][2]]
        self._rows.append(row)
        return self._row(row, include)

    async def update(self, where, data, include=None, **_):
        for row in self._rows:
            if self._matches(row, where):
                for name, value in data.items():
                    if isinstance(value, dict) and "push" in value:
                        row[name] = [*row[name], *value["push"]]
                    elif name in self._columns:
                        row[name] = self._value(name, value)
                return self._row(row, include)
        return None

    async def update_many(self, where, data, **_):
        rows = [row for row in self._rows if self._matches(row, where)]
        for row in rows:
            row |= {name: self._value(name, value) for name, value in data.items()}
        return len(rows)

    async def upsert(self, where, data, include=None, **_):
        if await self.find_first(where):
            return await self.update(where, data["update"], include)
        return await self.create(data["create"], include)

    async def create_many(self, data, **_):
        return [await self.create(each) for each in data]


class Database:
    """Stands in for Prisma()."""

    def __init__(self, **_):
        import litellm.proxy

        folder = Path(next(iter(litellm.proxy.__path__)))
        self.shapes = _shapes((folder / "schema.prisma").read_text())
        self._tables = {}

    def table(self, name):
        return self._tables.setdefault(name, Table(self, name))

    def __getattr__(self, name):
        if name.startswith("litellm_"):
            return self.table(name)
        raise AttributeError(name)

    def is_connected(self):
        return True

    async def connect(self, *_, **__):
        pass

    disconnect = connect

    async def query_raw(self, sql, *arguments):
        """The one that matters here reads a team's members under a lock."""
        if "members_with_roles" not in sql:
            return []
        rows = await self.table("litellm_teamtable").find_many({"team_id": arguments[0]})
        return [{"members_with_roles": row.members_with_roles} for row in rows]

    async def query_first(self, *_):
        return None

    async def execute_raw(self, *_):
        return 0

    def batch_(self):
        return self

    def tx(self, **_):
        return self

    async def commit(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class _Anything(types.ModuleType):
    """prisma and its parts: names that are only annotations or exceptions here."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def _stand_in():
    prisma = sys.modules["prisma"] = _Anything("prisma")
    for part in ("models", "types", "errors", "engine", "fields"):
        sys.modules[f"prisma.{part}"] = _Anything(f"prisma.{part}")
        setattr(prisma, part, sys.modules[f"prisma.{part}"])
    prisma.__path__ = []
    prisma.Prisma = Database
    prisma.Json = lambda value: value
    sys.modules["prisma.fields"].Json = prisma.Json


async def _serve(port, config):
    import uvicorn
    from litellm.proxy import proxy_server
    from litellm.proxy.utils import PrismaClient, ProxyLogging

    os.environ.setdefault("LITELLM_SALT_KEY", "salt")
    logging = ProxyLogging(user_api_key_cache=proxy_server.user_api_key_cache)
    proxy_server.prisma_client = PrismaClient("postgresql://none", logging)
    await proxy_server.initialize(config=config)
    proxy_server.master_key = os.environ["LITELLM_MASTER_KEY"]
    server = uvicorn.Server(uvicorn.Config(proxy_server.app, port=port, lifespan="off", log_level="warning"))
    await server.serve()


if __name__ == "__main__":
    _stand_in()
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
