"""What readers got."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from rich.console import Console

from tidemark.clock import show_duration
from tidemark.publish import Destination, Published
from tidemark.report.values import as_values


def show_published(out: Console, published: Published) -> None:
    """One line."""
    where = " and ".join(str(path) for path in published.paths)
    out.print(
        f"Published {published.relations} tables in {published.seconds:.1f} s: {where}",
        soft_wrap=True,
    )


def published_as_json(published: Published) -> dict[str, Any]:
    """The same as JSON values."""
    values: dict[str, Any] = as_values(published)
    return values


def show_age(out: Console, to: Destination, last_build: datetime | None) -> None:
    """How old the copy is, by the wall clock, and whether something was built since."""
    where = " and ".join(str(path) for path in to.all)
    if (since := to.published_at) is None:
        out.print(f"[yellow]Not published yet:[/] {where}", soft_wrap=True)
        return
    age = show_duration(datetime.now(timezone.utc).replace(tzinfo=None) - since)
    out.print(f"Published {age} ago: {where}", soft_wrap=True)
    if to.is_behind(last_build):
        out.print("[yellow]Something was built since. `tidemark publish` copies it.[/]")


def age_as_json(to: Destination, last_build: datetime | None) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "paths": [str(path) for path in to.all],
        "published_at": as_values(to.published_at),
        "is_behind": to.is_behind(last_build),
    }
