"""The user's raw tables against the contract: what differs, what it means, what to write where.

Pure functions on what the macros `contract_catalog` and `contract_samples` report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from enum import Enum
from typing import Any

from tidemark.clock import show_time

Mapped = Mapping[str, str]

_TIMES = ("time", "time with zone", "date")
# From which kinds a column may be made: those whose values can say the same.
_MADE_OF = {
    "text": {"text", "number", "boolean"},
    "number": {"number", "float", "text"},
    "time": {"time", "time with zone", "date", "text", "number", "float"},
    "time with zone": {"time", "time with zone", "text", "number", "float"},
    "date": {"date", "time", "time with zone", "text", "number", "float"},
    "boolean": {"boolean", "text", *_TIMES},
}
# How much two names have to be alike, where nobody said that they mean the same.
_ALIKE = 0.8
# From 2001 to 2100, in seconds.
_EPOCH = (10**9, 4_102_444_800)
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# Of so many rows the distance from event to load says something.
_ENOUGH = 20
_AT_ONCE = 120


class Level(str, Enum):
    """Whether nothing can be built so, somebody should look, or it only is so."""

    MUST = "must"
    LOOK = "look"
    NOTE = "note"


@dataclass(frozen=True)
class Column:
    """A column as the contract has it; `otherwise` stands for one that nobody has."""

    name: str
    type: str
    kind: str
    is_required: bool = False
    otherwise: str = ""


@dataclass(frozen=True)
class RawTable:
    """A raw table: its contract, and its columns in the catalog with their types and kinds."""

    source: str
    relation: str
    exists: bool
    view: str
    load_time: str
    columns: Sequence[Column]
    stored: Mapping[str, tuple[str, str]]
    domain: str = ""
    identity: Sequence[str] = ()
    mapped: Mapped = field(default_factory=dict)
    likely_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> RawTable:
        """Read what the macro `catalog_of` tells."""
        return cls(
            **{name: told[name] for name in ("source", "relation", "exists", "view", "load_time")},
            columns=[Column(**column) for column in told["columns"]],
            stored={each["name"]: (each["type"], each["kind"]) for each in told["stored"]},
            **{name: told[name] for name in ("domain", "identity", "mapped", "likely_names")},
        )

    @property
    def event_time(self) -> str:
        """The column of the event's time or day; none of what only says how something is."""
        times = (each for each in self.columns if each.is_required and each.kind in _TIMES)
        return next((each.name for each in times if each.name != self.load_time), "")

    @property
    def keys(self) -> list[str]:
        """What no two rows of one load have alike."""
        known = [each.name for each in self.columns]
        days = [self.event_time] if "activity_date" in self.identity else []
        named = [name for name in self.identity if name in known] + days
        return [*named, self.load_time] if named else []

    def stored_as(self, expression: str) -> tuple[str, str] | None:
        """Type and kind of the raw column that an expression is, if it is just one."""
        name = expression.strip().strip('"').lower()
        found = (told for stored, told in self.stored.items() if stored.lower() == name)
        return next(found, None)


@dataclass(frozen=True)
class Finding:
    """What is so, of which column, and what it means or asks for."""

    level: Level
    column: str
    what: str
    meaning: str


@dataclass(frozen=True)
class Verdict:
    """All that is to be said of one raw table. `mapping` is what its columns may be made of."""

    table: RawTable
    findings: Sequence[Finding]
    mapping: Mapped
    # what to write into the settings, and required columns of which nobody knows what they are
    settings: str = ""
    open: Sequence[str] = ()

    @property
    def fits(self) -> bool:
        """Whether it can be built on as it is."""
        return all(finding.level is not Level.MUST for finding in self.findings)

    @property
    def changed(self) -> dict[str, str]:
        """The columns that have to be said, as they are not called as the contract has them."""
        return {name: made for name, made in self.mapping.items() if _plain(made) != name}

    @property
    def is_to_be_written(self) -> bool:
        """Whether the staging view has to say other columns than it does."""
        said = {name: made for name, made in self.table.mapped.items() if _plain(made) != name}
        return self.changed != said


def proposed(table: RawTable, given: Mapped | None = None) -> dict[str, str]:
    """What each column of the contract may be made of; what nobody can tell is left out.

    What is given or mapped already stands, as long as its column is there; then names that are the
    contract's, then likely ones, the likeliest first.
    """
    mapping = {**_mapped_already(table), **(given or {})}
    for column in table.columns:
        if column.name not in mapping and table.stored_as(column.name):
            mapping[column.name] = column.name
    taken = {_plain(made) for made in mapping.values()}
    scores = sorted(
        (
            (-score, position, stored, column)
            for position, column in enumerate(table.columns)
            for stored, (_, kind) in table.stored.items()
            if column.name not in mapping
            and stored.lower() not in taken
            and kind in _MADE_OF.get(column.kind, ())
            and (score := _likeness(column.name, stored, table.likely_names)) > 0
            # names that are only alike say less than types do
            and (score > 1 or kind == column.kind or {kind, column.kind} <= {*_TIMES})
        ),
        key=lambda scored: scored[:3],
    )
    for _, _, stored, column in scores:
        if column.name not in mapping and stored.lower() not in taken:
            is_time = column.kind == "boolean" and table.stored[stored][1] in _TIMES
            mapping[column.name] = quoted(stored) + (" is not null" if is_time else "")
            taken.add(stored.lower())
    for column in table.columns:
        if column.name not in mapping and (made := _otherwise(column, mapping)):
            mapping[column.name] = made
    return {each.name: mapping[each.name] for each in table.columns if each.name in mapping}


def _mapped_already(table: RawTable) -> dict[str, str]:
    return {
        name: made
        for name, made in table.mapped.items()
        if not re.fullmatch(r"[A-Za-z_]\w*", made)
        or table.stored_as(made)
        or made.lower() in _LITERALS
    }


_LITERALS = ("null", "true", "false")


def _otherwise(column: Column, mapping: Mapped) -> str:
    """What stands for a column that is not there; nothing where that would be invented."""
    if column.otherwise:
        needed = re.findall(r"{(\w+)}", column.otherwise)
        return column.otherwise.format(**mapping) if set(needed) <= mapping.keys() else ""
    return "" if column.is_required else "null"


def _likeness(wanted: str, stored: str, likely: Mapping[str, Sequence[str]]) -> float:
    """How likely a raw column is what the contract calls otherwise; 0 for not at all."""
    names = [_bare(name) for name in [wanted, *likely.get(wanted, ())]]
    bare = _bare(stored)
    if bare in names:
        return 100 - names.index(bare)
    ratio = SequenceMatcher(None, _bare(wanted), bare).ratio()
    return ratio if ratio >= _ALIKE else 0


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _plain(expression: str) -> str:
    return expression.strip().strip('"').lower()


def quoted(name: str) -> str:
    """A raw column's name as SQL; mixed cases are kept, which engines else fold."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*|[A-Z_][A-Z0-9_]*", name) else f'"{name}"'


def maybe_epochs(table: RawTable, mapping: Mapped) -> list[str]:
    """Times and days that the raw table may have as numbers."""
    return [
        column.name
        for column in table.columns
        if column.kind in _TIMES
        and (stored := table.stored_as(mapping.get(column.name, "")))
        and stored[1] in ("number", "float", "text")
    ]


def sample_of(table: RawTable, mapping: Mapped) -> dict[str, Any]:
    """What the macro `contract_samples` is asked of one table."""
    columns = {each.name: mapping.get(each.name, "null") for each in table.columns}
    times = {each.name: each.kind for each in table.columns}
    timed = times.get(table.event_time) in ("time", "time with zone")
    return {
        "source": table.source,
        "columns": columns,
        "keys": table.keys if {*table.keys} <= mapping.keys() else [],
        "event_time": table.event_time if timed and table.event_time in mapping else "",
        "maybe_epochs": maybe_epochs(table, mapping),
    }


def epochs_as_times(
    table: RawTable, mapping: Mapped, sample: Mapping[str, Any]
) -> tuple[dict[str, str], list[Finding]]:
    """What numbers that look like a time since 1970 become, and what to say of them."""
    made, findings = dict(mapping), []
    for name in maybe_epochs(table, mapping):
        least, greatest = sample.get(f"min {name}"), sample.get(f"max {name}")
        for unit, per_second in _UNITS.items():
            seconds = [each / per_second for each in (least, greatest) if each is not None]
            if seconds and all(_EPOCH[0] <= each <= _EPOCH[1] for each in seconds):
                first, last = (_moment(each) for each in (seconds[0], seconds[-1]))
                findings.append(
                    Finding(
                        Level.MUST,
                        name,
                        f"{mapping[name]} holds {unit} since 1970",
                        f"{show_time(first)} to {show_time(last)}: it has to be made a time",
                    )
                )
                made[name] = sample["sql"][name][unit]
    return made, findings


def judged(
    table: RawTable,
    mapping: Mapped,
    sample: Mapping[str, Any] | None,
    as_of: datetime,
    before: Iterable[Finding] = (),
) -> Verdict:
    """Everything that is to be said of a table that is there; without a sample, of its catalog."""
    findings = list(before)
    told_of = {finding.column for finding in findings}
    findings += (each for each in _of_columns(table, mapping) if each.column not in told_of)
    missing = [each.name for each in table.columns if each.is_required and each.name not in mapping]
    if sample and sample["rows"]:
        findings += _of_values(table, mapping, sample)
        findings += _of_load_times(table, sample, as_of)
        findings += _of_zones(table, mapping, sample)
        if twice := int(sample.get("twice") or 0):
            keys = ", ".join(table.keys)
            meaning = "versions of one load time: which of them counts, only a tie-break says"
            findings.append(Finding(Level.LOOK, keys, f"{twice} keys come more than once", meaning))
    elif sample:
        told = "it has no rows"
        findings.append(Finding(Level.NOTE, "", told, "only names and types were compared"))
    return Verdict(table, findings, mapping, open=missing)


def _of_columns(table: RawTable, mapping: Mapped) -> Iterable[Finding]:
    """Names: what is missing, and what looks like it."""
    for column in table.columns:
        made = mapping.get(column.name)
        known = _plain(table.mapped.get(column.name, column.name)) == _plain(made or "")
        if made is None:
            yield _without(table, column)
        elif not known:
            stored = table.stored_as(made)
            what = "there is no such column"
            if stored:
                meaning = f"{made} ({stored[0]}) looks like it"
            elif made == "null":
                meaning = "it may be null"
            else:
                meaning = f"{made} can stand for it"
            yield Finding(Level.MUST, column.name, what, meaning)


def _without(table: RawTable, column: Column) -> Finding:
    if column.name != table.load_time:
        meaning = "nothing looks like it: name what it is with --map, a column or SQL"
        return Finding(Level.MUST, column.name, "there is no such column", meaning)
    return Finding(
        Level.MUST,
        column.name,
        "nothing says when a row was loaded",
        "what is new is found by it, and no run can do without. now() is none: it is the future for"
        " ever. What works: `tidemark load` of exports, which stamps them; a column that the loader"
        " sets; a column that changes with the row, if it is set when it is committed",
    )


def _of_values(table: RawTable, mapping: Mapped, sample: Mapping[str, Any]) -> Iterable[Finding]:
    """Types, and whether values are of them; nulls where none may be."""
    rows = int(sample["rows"])
    for column in table.columns:
        name, stored = column.name, table.stored_as(mapping.get(column.name, ""))
        unfit = int(sample.get(f"unfit {name}") or 0)
        nulls = int(sample.get(f"nulls {name}") or 0) - unfit
        of_type = f"{mapping.get(name)} is {stored[0]}, not {column.type}" if stored else ""
        if unfit:
            level = Level.MUST if unfit + max(nulls, 0) >= rows else Level.LOOK
            told = f"{unfit:,} of {rows:,} values are no {column.type}"
            meaning = "such rows are set aside, with the reason, in ops.quarantined_rows"
            what = f"{of_type}; {told}" if of_type else told
            yield Finding(level, name, what, meaning)
        elif of_type and f"unfit {name}" in sample:
            yield Finding(Level.NOTE, name, of_type, f"all of {rows:,} values convert without loss")
        if column.is_required and nulls > 0 and name in mapping:
            level = Level.MUST if nulls >= rows else Level.LOOK
            meaning = "such rows are set aside, with the reason, in ops.quarantined_rows"
            yield Finding(level, name, f"{nulls:,} of {rows:,} values are null", meaning)


def _of_load_times(
    table: RawTable, sample: Mapping[str, Any], as_of: datetime
) -> Iterable[Finding]:
    """Load times that lie in the future, or are always now."""
    rows, future = int(sample["rows"]), int(sample.get("future") or 0)
    first, last = sample.get("first_load"), sample.get("last_load")
    if last is None:
        return
    # made by the query, it is later than the clock that was read before the query
    ahead = (_moment(last) - as_of).total_seconds()
    if first == last and future >= rows > 1 and ahead <= _AT_ONCE:
        yield Finding(
            Level.MUST,
            table.load_time,
            "the load time of all rows is now",
            "it was made by the query, as now() is, and will be the future of every run: nothing"
            " would ever be visible. Take a time that was stored when the row was loaded",
        )
    elif future:
        yield Finding(
            Level.MUST if future >= rows else Level.LOOK,
            table.load_time,
            f"{future:,} of {rows:,} load times lie in the future, to {show_time(_moment(last))}",
            "such rows are not visible yet: another zone than UTC, or a clock that is wrong",
        )


def _of_zones(table: RawTable, mapping: Mapped, sample: Mapping[str, Any]) -> Iterable[Finding]:
    """Event times without a zone, whose distance from the load time looks like one."""
    rows, least = int(sample["rows"]), sample.get("least_lag")
    name = table.event_time
    stored = table.stored_as(mapping.get(name, ""))
    if least is None or rows < _ENOUGH or (stored and stored[1] == "time with zone"):
        return
    ahead = int(sample.get("ahead") or 0)
    hours = round(least / 3600)
    if ahead >= rows / 20 and -14 <= hours <= -1:
        what = f"{ahead:,} of {rows:,} events lie after their load, by up to {-hours} h"
    elif 3 <= hours <= 12 and abs(least - hours * 3600) <= 900:
        what = f"no event is younger than {hours} h when it is loaded"
    else:
        return
    local = sample["sql"].get(name, {}).get("local", "")
    option = f'--map {name}="{local}"'
    meaning = f"times of another zone than UTC look so. If they are: {option}"
    yield Finding(Level.LOOK, name, what, meaning)


def judged_missing(
    table: RawTable, others: Iterable[Mapping[str, Any]], domains: Sequence[str]
) -> Verdict:
    """What to say of a table that is not there: what it may be called, or how to do without."""
    best: tuple[float, str] = (0.0, "")
    required = [each.name for each in table.columns if each.is_required]
    for other in others:
        stored = {each["name"]: (each["type"], each["kind"]) for each in other["columns"]}
        like = RawTable(**{**vars(table), "stored": stored, "mapped": {}})
        found = proposed(like)
        named = [name for name in required if like.stored_as(found.get(name, ""))]
        score = len(named) / len(required) if required else 0.0
        score += _likeness(table.source, other["name"], {}) / 200
        best = max(best, (score, other["name"]))
    settings = ""
    if best[0] >= 0.5:
        meaning = f"{best[1]} looks like it; check again once the settings say so"
        settings = f"raw_identifiers: {{{table.source}: {best[1]}}}"
    else:
        kept = [domain for domain in domains if domain != table.domain]
        meaning = "nothing looks like it. Who loads it makes it empty by create_landing"
        if table.domain and kept:
            meaning += f"; who does not have it may switch off domain {table.domain}"
            settings = f"domains: [{', '.join(kept)}]"
    finding = Finding(Level.MUST, "", "this raw table does not exist", meaning)
    return Verdict(table, [finding], {}, settings)


def _moment(second: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=second)
