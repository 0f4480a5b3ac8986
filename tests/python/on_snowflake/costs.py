"""What runs cost: statements that need a warehouse, and those that Snowflake answers without."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from .shim import Statement

_KINDS = {
    # the services layer answers: no warehouse is woken up
    "metadata": r"show|describe|create schema|create or replace\s+view"
    r"|create table if not exists \S+ \(|drop|alter table|comment|grant|use"
    # how many rows a table has is known without reading it
    r"|select \(select count\(\*\) from \S+\)$",
    "session": r"alter session",
    "transaction": r"begin|commit|rollback",
}


def kind(sql: str) -> str:
    """`work` for what a warehouse does; an empty answer costs a warehouse nothing, a query does."""
    for name, pattern in _KINDS.items():
        if re.match(rf"({pattern})\b|({pattern})", sql, re.IGNORECASE):
            return name
    return "work"


def per_node(statements: Iterable[Statement]) -> dict[str, Counter[str]]:
    """How many statements of each kind every node sent, and their bytes.

    Tests and freshness are one node each.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for statement in statements:
        sort, *_, name = (statement.node or "run.the run itself").split(".")
        node = {"test": "tests", "source": "freshness of sources"}.get(sort, name)
        counts[node][kind(statement.sql)] += 1
        counts[node]["bytes"] += len(statement.sql)
    return dict(counts)


def shown(title: str, counts: dict[str, Counter[str]]) -> Iterator[str]:
    """The counts as a table."""
    kinds = ("work", "metadata", "session", "transaction", "bytes")
    yield f"{title:32}" + "".join(f"{name:>13}" for name in kinds)
    for node in sorted(counts, key=lambda node: (-counts[node]["work"], node)):
        yield f"  {node:30}" + "".join(f"{counts[node][name]:13}" for name in kinds)
    total = sum(counts.values(), Counter[str]())
    yield f"  {'together':30}" + "".join(f"{total[name]:13}" for name in kinds)
