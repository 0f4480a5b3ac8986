"""Writes a history, row by row: what any upstream does to its rows, and when they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from .history import DAY, FIRST_DAY, HOUR, INSTANT, MINUTE, OVERLAP, Labels, Partition, Row
from .raw import TABLES, Values, day_of

T = TypeVar("T")


class Draw(Protocol):
    def __call__(self, strategy: st.SearchStrategy[T]) -> T: ...


# Seven-day windows need neighbours; scattered days need more ranges than a query has.
_DAYS_BACK = st.sampled_from(
    [*range(9), *range(9), 1, 2, 3, 11, 14, 18, 22, 27, 33, 41, 52, 66, 88]
)
_TIMES = st.sampled_from([time(9, 30), time(9, 45), time(0), time(10), time(23, 59, 59, 999999)])
_ARRIVALS = st.sampled_from(
    ["on time", "on time", "in a step", "in a step", "in a step", "in flight", "ahead", "never"]
)
_LATER_ARRIVALS = st.sampled_from(
    ["in a step", "in a step", "in a step", "in a step", "in flight", "in flight", "ahead", "never"]
)

# an id of nothing but white space is none
_NO_IDS = st.sampled_from([None, "", "\u00a0\u2003 \t"])


@dataclass(frozen=True)
class Upstream:
    """Who fills a raw table, and what can happen to its rows."""

    table: str
    kinds: st.SearchStrategy[str]
    new: Callable[[], Values]
    # breaks one rule
    spoil: Callable[[Values], Values] | None = None
    # what only this upstream does about a row that it sent before
    special: Mapping[str, Callable[[Row], None]] = field(default_factory=dict)
    rows: tuple[int, int] = (5, 10)


class Author:
    """Writes one history, row by row."""

    def __init__(self, draw: Draw, clocks: list[datetime]):
        self.draw = draw
        self.clocks = clocks
        self.rows: list[Row] = []
        self.ids = 0

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.draw(st.integers(0, len(choices) - 1))]

    def new_id(self) -> str:
        self.ids += 1
        return f"event {self.ids}"

    # -- when rows come --

    def step_at(self, moment: datetime) -> int:
        """The first step whose clock has reached a moment; else the last step."""
        reached = (number for number, clock in enumerate(self.clocks) if clock >= moment)
        return next(reached, len(self.clocks) - 1)

    def day(self) -> date:
        day: date = self.one_of(self.clocks).date() - self.draw(_DAYS_BACK) * DAY
        return day

    def moment(self) -> datetime:
        return datetime.combine(self.day(), self.draw(_TIMES))

    def arrive(
        self,
        table: str,
        values: Values,
        labels: Labels | None = None,
        after: int | None = None,
    ) -> None:
        """Give a row its load time and the step that it is committed before (after another's)."""
        labels = labels or {}
        load_time, event_time = TABLES[table].load_time, TABLES[table].event_time
        moment = values[event_time] if event_time else FIRST_DAY
        happened: datetime
        if isinstance(moment, datetime):
            happened = moment.replace(tzinfo=None)
        else:
            happened = datetime.combine(moment, time(2)) + DAY

        arrival = self.draw(_ARRIVALS if after is None else _LATER_ARRIVALS)
        if arrival == "on time":
            loaded_at = happened + 5 * MINUTE
            self.add(table, self.step_at(loaded_at), {**values, load_time: loaded_at}, labels)
            return
        last = len(self.clocks) - 1
        first = self.step_at(happened) if after is None else min(after + 1, last)
        step = self.draw(st.integers(first, last))
        now, before = self.clocks[step], self.clocks[max(step - 1, 0)]
        if arrival == "in a step" or (arrival == "in flight" and step == 0):
            moments = [now, now - (now - before) / 2] if step else [now, now - 10 * MINUTE]
            self.add(table, step, {**values, load_time: self.one_of(moments)}, labels)
        elif arrival == "in flight":
            moment = before - self.one_of([OVERLAP, OVERLAP, timedelta(0), 7 * MINUTE])
            labels = {**labels, "commits after a run that passed its load time": None}
            self.add(table, step, {**values, load_time: moment}, labels)
        else:
            healthy = {**values, load_time: now}
            ahead = self.one_of([HOUR, INSTANT, 2 * DAY, 36500 * DAY])
            label = "load time in the future" if arrival == "ahead" else "null load time"
            moment_or_none = now + ahead if arrival == "ahead" else None
            labels = {**labels, label: healthy}
            self.add(table, step, {**values, load_time: moment_or_none}, labels)

    def arrive_ahead(self, table: str, values: Values) -> None:
        """Load a row a day before it happens, which is allowed, or a moment more, which is not."""
        step = self.draw(st.integers(0, len(self.clocks) - 1))
        now, event_time = self.clocks[step], TABLES[table].event_time or ""
        moment = now + DAY + self.one_of([timedelta(0), INSTANT])
        old = values[event_time]
        if isinstance(old, datetime):
            ahead: date = moment.replace(tzinfo=old.tzinfo)
        else:
            ahead = now.date() + self.one_of([DAY, 2 * DAY])
        self.add(table, step, {**values, event_time: ahead, TABLES[table].load_time: now})

    def arrive_without_time(self, table: str, values: Values) -> None:
        """Write a zero time, as Go, .NET and Unix send it for none."""
        event_time = TABLES[table].event_time or ""
        label: Labels = {"zero time": values}
        zero = self.one_of([datetime(1, 1, 1), datetime(1970, 1, 1, 23, 59, 59, 999999)])
        old = values[event_time]
        moment = zero.replace(tzinfo=old.tzinfo) if isinstance(old, datetime) else zero.date()
        self.arrive(table, {**values, event_time: moment}, label, after=0)

    def add(
        self,
        table: str,
        step: int,
        values: Values,
        labels: Labels | None = None,
    ) -> None:
        """Add a row, with the labels that follow from its times."""
        loaded_at, day = values[TABLES[table].load_time], day_of(table, values)
        # What replaces the row keeps its load time, unless it says otherwise.
        kept = {TABLES[table].load_time: loaded_at}
        otherwise = {
            label: instead and {**kept, **instead} for label, instead in (labels or {}).items()
        }
        if loaded_at and day:
            if loaded_at > self.clocks[step]:
                otherwise["arrives from the future"] = None
            days_late = (loaded_at.date() - day).days
            if days_late > 3:
                otherwise[f"{table}: more than three days late"] = None
            if days_late > 30:
                otherwise[f"{table}: more than thirty days late"] = None
        self.rows.append(Row(table, step, values, otherwise))

    # -- what upstreams do to a table --

    def write_rows(self, upstream: Upstream) -> None:
        """A few rows, most of them about the rows before them."""
        table, new, first = upstream.table, upstream.new, len(self.rows)
        fewest, most = upstream.rows
        for kind in self.draw(st.lists(upstream.kinds, min_size=fewest, max_size=most)):
            known = [row for row in self.rows[first:] if row.values]
            if kind == "new" or not known:
                self.arrive(table, new())
                continue
            if kind == "ahead":
                self.arrive_ahead(table, new())
                continue
            if kind == "zero time":
                self.arrive_without_time(table, new())
                continue
            target = self.one_of(known)
            old, after = target.content, target.step
            if kind in upstream.special:
                upstream.special[kind](target)
            elif kind == "redelivered":
                self.redeliver(upstream, old, after)
            elif kind == "duplicate":
                another = {**_unloaded(table, old), "event_id": self.new_id()}
                self.arrive(table, old, {"exact duplicate": another}, after)
            elif kind == "deleted":
                gone = self.one_of([deletion(table, old), {**old, "is_deleted": True}])
                self.arrive(table, gone, {f"{table}: deleted": None}, after)
            elif kind == "restored":
                self.arrive(table, deletion(table, old), after=after)
                self.redeliver(upstream, deletion(table, old), self.rows[-1].step)
            elif kind == "moved":
                if "is_deleted" in old:
                    self.arrive(table, deletion(table, old), after=after)
                moved = {**new(), "event_id": old["event_id"]}
                self.arrive(table, moved, {f"{table}: moved to another day": None}, after)
            elif kind == "equal load time":
                self.conflict(upstream, target)
            elif kind == "malformed" and upstream.spoil:
                healthy = self.changed(upstream, old)
                label = {f"{table}: malformed correction": healthy}
                self.arrive(table, upstream.spoil(healthy), label, after)
            elif kind == "null key":
                healthy = new()
                keys = [key for key in TABLES[table].identity if key != TABLES[table].event_time]
                key = self.one_of(keys)
                none = self.draw(_NO_IDS) if TABLES[table].columns[key] == "varchar" else None
                self.arrive(table, {**healthy, key: none}, {"null key": healthy})
            else:
                raise ValueError(kind)

    def changed(self, upstream: Upstream, old: Values) -> Values:
        """Another version of a row: the same identity, other contents."""
        table = TABLES[upstream.table]
        values = {**upstream.new(), **{column: old[column] for column in table.identity}}
        event_time = table.event_time
        if event_time and event_time not in table.identity:
            moment = old[event_time]
            if self.draw(st.booleans()):
                moment = datetime.combine(moment.date(), self.draw(_TIMES), moment.tzinfo)
            values[event_time] = moment
        return values

    def redeliver(self, upstream: Upstream, old: Values, after: int) -> None:
        values = self.changed(upstream, old)
        label = f"{upstream.table}: redelivered with other values"
        event_time = TABLES[upstream.table].event_time
        if event_time and "event_id" in values:
            same_hour = old[event_time].hour == values[event_time].hour
            label += " in the same hour" if same_hour else " in another hour"
            if old.get("is_deleted"):
                label = f"{upstream.table}: deleted, then restored"
        self.arrive(upstream.table, values, {label: None}, after)

    def conflict(self, upstream: Upstream, target: Row) -> None:
        """Other contents of the same load time, committed as late as the overlap allows."""
        table, old = target.table, target.content
        load_time = TABLES[table].load_time
        loaded_at = old[load_time]
        values = self.changed(upstream, old)
        if "is_deleted" in values and self.draw(st.booleans()):
            values = deletion(table, values)
        values = {**values, load_time: loaded_at}
        older = {**values, load_time: loaded_at - INSTANT if loaded_at else None}
        label: Labels = {f"{table}: equal load time": older}
        self.add(table, self.last_step_for(target), values, label)

    def coincide(self, target: Row, event: Values, orders_by_load_time: bool = False) -> None:
        """Another event at the same moment, so that load times or ids have to say what was first.

        What if they said the contrary?
        """
        table = target.table
        load_time, event_time = TABLES[table].load_time, TABLES[table].event_time or ""
        loaded_at = target.content[load_time]
        ids = [f"a {self.new_id()}", f"z {self.new_id()}"]
        position = self.one_of([0, 1])
        values = {**event, event_time: target.content[event_time], "event_id": ids[position]}
        contrary = {**values, "event_id": ids[1 - position]}
        if not orders_by_load_time:
            self.arrive(table, values, {f"{table}: equal time": contrary}, target.step)
        elif self.draw(st.booleans()):
            values = {**values, load_time: loaded_at}
            contrary = {**contrary, load_time: loaded_at}
            label = {f"{table}: equal time and load time": contrary}
            self.add(table, self.last_step_for(target), values, label)
        else:
            self.arrive(table, values, after=target.step)
            arrived = self.rows[-1].content[load_time]
            if arrived and loaded_at:
                contrary = loaded_at + (-INSTANT if arrived > loaded_at else INSTANT)
                self.label(
                    len(self.rows) - 1,
                    f"{table}: equal time, other load time",
                    {**values, load_time: contrary},
                )

    def last_step_for(self, target: Row) -> int:
        """The last step before which another row of the same load time may be committed."""
        loaded_at = target.content[TABLES[target.table].load_time]
        steps = [target.step]
        for step in range(target.step + 1, len(self.clocks)):
            if loaded_at and loaded_at >= self.clocks[step - 1] - OVERLAP:
                steps.append(step)
        return steps[-1]

    # -- about rows that are written --

    def label(self, number: int, label: str, instead: Values | None = None) -> None:
        row = self.rows[number]
        self.rows[number] = replace(row, otherwise={**row.otherwise, label: instead})

    # -- rows that are erased --

    def partitions(self, before: int) -> Iterator[Partition]:
        """The partitions that sound rows were built into before a step."""
        for row in self.rows:
            values, entity = row.values, TABLES[row.table].entity
            if values and entity and values[entity] and row.step < before and row.erased is None:
                day, loaded_at = day_of(row.table, values), values[TABLES[row.table].load_time]
                seen = loaded_at and loaded_at <= self.clocks[before - 1]
                if day and seen and not values.get("is_deleted"):
                    yield row.table, values[entity], day

    def erase(self, partition: Partition, step: int) -> None:
        table, entity, day = partition
        column = TABLES[table].entity or ""
        for number, row in enumerate(self.rows):
            if (
                row.table == table and row.values and row.step < step and row.erased is None
                and (row.values[column], day_of(table, row.values)) == (entity, day)
            ):  # fmt: skip
                self.rows[number] = replace(row, erased=step)


def _unloaded(table: str, values: Values) -> Values:
    return {name: value for name, value in values.items() if name != TABLES[table].load_time}


def deletion(table: str, values: Values) -> Values:
    """A deletion brings the identity, the event time and nothing else."""
    kept = ("event_id", "company_id", "server_id", TABLES[table].event_time)
    return {**{name: values[name] if name in kept else None for name in values}, "is_deleted": True}
