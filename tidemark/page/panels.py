"""What the report shows: the analyses with a meta `report`, and their rows, read through dbt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from tidemark.clock import parse_clock, parse_if_known
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.lineage import ENGINE, Lineage
from tidemark.messages import in_one_line
from tidemark.shown import hidden, plain

# What is drawn of the rows of an analysis, with the keys of its meta that this cannot do without.
DRAWN: Mapping[str, tuple[str, ...]] = {
    "tiles": (),
    "table": (),
    "bars": ("x", "y"),
    "points": ("x", "y"),
    "steps": ("x", "y", "colour"),
    "ranked": ("x", "y"),
    "grid": ("x", "y", "colour"),
}
_ALWAYS = ("part", "title", "draw", "order")
_HEAD, _JOBS = "report_clock", "report_jobs"
_NEVER = "Nothing was ever built here: `tidemark run` has to, once."


@dataclass(frozen=True)
class Panel:
    """One picture or table: what it is called, how it is drawn, and its rows."""

    name: str
    is_engines: bool
    part: str
    order: int
    title: str
    caption: str
    meta: Mapping[str, Any]
    reads: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    # Why it could not be read.
    problem: str = ""

    @property
    def draw(self) -> str:
        """How it is drawn."""
        return str(self.meta["draw"])


@dataclass(frozen=True)
class Job:
    """Up to which clock a table is known, and when it was last written, by the wall clock."""

    known_until: datetime | None
    last_success_at: datetime | None
    status: str


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    project: str
    as_of: datetime
    written_at: datetime
    days: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    panels: list[Panel]
    jobs: Mapping[str, Job]

    @property
    def problems(self) -> list[Panel]:
        """What could not be read."""
        return [panel for panel in self.panels if panel.problem]


def read(dbt: Dbt, days: int, as_of: datetime | None = None) -> Report:
    """Read all that is shown, at a clock; without one at that of the ledger's last entry."""
    panels = panels_of(dbt.manifest, dbt.lineage)
    try:
        heads = dbt.show(_HEAD, as_of)
        jobs = {row["job_name"]: _job(row) for row in dbt.show(_JOBS, as_of)} if heads else {}
    except DatabaseLockedError:
        raise
    except DbtError as error:
        raise DbtError(f"{_NEVER} {error}") from None
    if not heads:
        raise DbtError(_NEVER)
    head = heads[0]
    clock = as_of or parse_clock(head["as_of"])
    return Report(
        project=str(dbt.manifest.metadata.project_name),
        as_of=clock,
        written_at=datetime.now(timezone.utc).replace(tzinfo=None),
        days=days,
        last_success_at=parse_if_known(head["last_success_at"]),
        last_failure_at=parse_if_known(head["last_failure_at"]),
        panels=_with_rows(dbt, panels, clock, {"report_days": days}),
        jobs=jobs,
    )


def panels_of(manifest: Any, lineage: Lineage) -> list[Panel]:
    """The panels of a project, without rows: its own first, then the engine's, each in order."""
    found = [
        _panel(node, lineage)
        for node in manifest.nodes.values()
        if str(node.resource_type) == "analysis" and node.config.meta.get("report") is not None
    ]
    return sorted(found, key=lambda panel: (panel.is_engines, panel.order, panel.name))


def _panel(node: Any, lineage: Lineage) -> Panel:
    meta = node.config.meta["report"]
    refuse_unknown(node.name, meta)
    reads = [lineage.names[each] for each in node.depends_on.nodes if each in lineage.names]
    return Panel(
        name=node.name,
        is_engines=node.package_name == ENGINE,
        part=str(meta["part"]),
        order=int(meta["order"]),
        title=str(meta["title"]),
        caption=" ".join(str(node.description).split()),
        meta=meta,
        reads=tuple(reads),
    )


def refuse_unknown(name: str, meta: Any) -> None:
    """Raise DbtError unless a meta `report` says what a picture needs."""
    if not isinstance(meta, Mapping):
        raise DbtError(f"{name}: its meta `report` is no mapping. docs/report.md shows one.")
    missing = [key for key in _ALWAYS if key not in meta]
    if not missing and meta["draw"] not in DRAWN:
        known = ", ".join(DRAWN)
        raise DbtError(f"{name}: meta report: draw is {meta['draw']!r}; it is one of {known}.")
    missing = missing or [key for key in DRAWN[meta["draw"]] if key not in meta]
    if missing:
        raise DbtError(
            f"{name}: meta report: {', '.join(missing)} missing. docs/report.md has all."
        )
    if not isinstance(meta["order"], int):
        raise DbtError(f"{name}: meta report: order is {meta['order']!r}, not a whole number.")


def known_until(report: Report, panels: Iterable[Panel], lineage: Lineage) -> list[Job]:
    """The jobs whose tables some panels show, the one that is behind most first."""
    jobs = report.jobs
    names = {
        name
        for panel in panels
        for read in panel.reads
        if read not in lineage.sources
        for name in ([read] if read in jobs else lineage.nearest_above(read, among=jobs))
    }
    found = [jobs[name] for name in names if jobs[name].known_until is not None]
    return sorted(found, key=lambda job: job.known_until or datetime.max)


def _with_rows(
    dbt: Dbt, panels: list[Panel], as_of: datetime, variables: Mapping[str, Any]
) -> list[Panel]:
    """All panels in one call of dbt; where one fails, each by itself, so that the others stay."""
    try:
        rows = dbt.show_all([panel.name for panel in panels], as_of, variables) if panels else {}
    except DatabaseLockedError:
        raise
    except DbtError:
        return [_alone(dbt, panel, as_of, variables) for panel in panels]
    return [_filled(panel, rows.get(panel.name, [])) for panel in panels]


def _alone(dbt: Dbt, panel: Panel, as_of: datetime, variables: Mapping[str, Any]) -> Panel:
    try:
        return _filled(panel, dbt.show_all([panel.name], as_of, variables).get(panel.name, []))
    except DatabaseLockedError:
        raise
    except DbtError as error:
        return _filled(panel, [], in_one_line(str(error)))


def _filled(panel: Panel, rows: list[dict[str, Any]], problem: str = "") -> Panel:
    clean = [{column: _shown(value) for column, value in row.items()} for row in rows]
    return replace(panel, rows=clean, problem=problem)


def _shown(value: Any) -> Any:
    """What comes from somebody else has no control characters, and reasons no secrets."""
    return hidden(plain(value)) if isinstance(value, str) else value


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        known_until=parse_if_known(row["known_until"]),
        last_success_at=parse_if_known(row["last_success_at"]),
        status=str(row["last_run_status"]),
    )
