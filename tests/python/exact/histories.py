"""Histories: raw tables full of what upstreams do, and the steps in which somebody builds them.

An example holds several worlds side by side, each with its own companies and servers: one call of
dbt tests them all. The calendar of answers and outages is everybody's.

A row knows which phenomena it stands for, and what would have been in its place without each of
them. That is how the test proves that a phenomenon mattered (see `phenomena.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from .raw import TABLES, Values, day_of

# phenomenon -> what would have been in the row's place without it; None: nothing
Labels = Mapping[str, Values | None]

T = TypeVar("T")


class _Draw(Protocol):
    def __call__(self, strategy: st.SearchStrategy[T]) -> T: ...


# The days around the first clock cross the end of a leap year's February.
START = datetime(2024, 3, 2, 12)
FIRST_DAY = START.date() - timedelta(days=9)
OVERLAP = timedelta(minutes=30)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Row:
    """A raw row, committed before a step runs."""

    table: str
    step: int
    # None: it never came; only a counterfactual knows it
    values: Values | None
    otherwise: Labels = field(default_factory=dict)
    # erased from the raw table before this step
    erased: int | None = None

    @property
    def content(self) -> Values:
        """Its values; none for a row that never came."""
        return self.values or {}


@dataclass(frozen=True)
class Step:
    """What somebody does at a clock; numbers pick among what the project has."""

    clock: datetime
    action: str
    picks: tuple[int, ...] = ()
    window: tuple[date, date] | None = None
    # erased: table, entity, day
    partition: tuple[str, str, date] | None = None
    # what the watermarks are set back to
    watermark: datetime | None = None

    @property
    def builds_everything(self) -> bool:
        """Whether every mart is up to date after this step."""
        return self.action in ("build", "build and test", "build tables")


class History:
    """Steps, and the rows that come before each of them."""

    def __init__(self, steps: Sequence[Step], rows: Sequence[Row]):
        self.steps = tuple(steps)
        self.rows = tuple(rows)

    def __repr__(self) -> str:
        actions = ", ".join(step.action for step in self.steps)
        return f"<History: {len(self.rows)} rows; {actions}>"


# ---- what is drawn ----

_GAPS = st.sampled_from(
    [*[timedelta(0)] * 4, 30 * MINUTE, 31 * MINUTE, HOUR + INSTANT, HOUR, 12 * HOUR, DAY, DAY,
     3 * DAY, 9 * DAY, 40 * DAY]
)  # fmt: skip
_ACTIONS = st.sampled_from(
    [
        "build tables",
        "build tables",
        "subset",
        "restate",
        "fail",
        "request",
        "erase",
        "erase",
        "reset",
    ]
)
_PICKS = st.tuples(*[st.integers(0, 999)] * 3)
# Seven-day windows need neighbours; scattered days need more ranges than a query has.
_DAYS_BACK = st.sampled_from(
    [*range(9), *range(9), 1, 2, 3, 11, 14, 18, 22, 27, 33, 41, 52, 66, 88]
)
_TIMES = st.sampled_from([time(9, 30), time(9, 45), time(0), time(10), time(23, 59, 59, 999999)])
_COUNTS = st.sampled_from([1, 0, 2, 5])
_MINUTES = st.sampled_from([Decimal("1.25"), Decimal(0), Decimal("0.10"), Decimal("59.99")])
_MEASURES = ("active_users", "events", "interaction_count", "duration_minutes")
_FEATURES = st.sampled_from(["chat", "Search", None, "éclair"])
_USERS = st.integers(1, 4).map("user {}".format)
_NAMES = st.sampled_from(["Acme", "acme", None, "Ácme"])
_COUNTRIES = st.sampled_from(["NO", "no", None])
_CONTACTS = st.sampled_from([None, MINUTE, -3 * DAY, DAY - INSTANT, -60 * DAY, DAY])
_OUTAGES = st.sampled_from(
    ["answered late", "never answered", "answered partly", "asked too early"]
)

_EVENT_KINDS = st.sampled_from(
    ["new", "new", "new", "redelivered", "redelivered", "duplicate", "deleted", "restored",
     "equal load time", "malformed", "null key", "moved", "ahead"]
)  # fmt: skip
_DAILY_KINDS = st.sampled_from(
    ["new", "new", "new", "redelivered", "equal load time", "malformed", "null key", "ahead"]
)
_ARRIVALS = st.sampled_from(
    ["on time", "on time", "in a step", "in a step", "in a step", "in flight", "ahead", "never"]
)
_LATER_ARRIVALS = st.sampled_from(
    ["in a step", "in a step", "in a step", "in a step", "in flight", "in flight", "ahead", "never"]
)


@st.composite
def histories(draw: _Draw) -> History:
    """Five to eight worlds and four or five steps; the last one builds everything."""
    clocks = [START]
    for gap in draw(st.lists(_GAPS, min_size=3, max_size=4)):
        clocks.append(clocks[-1] + gap)
    author = _Author(draw, clocks)
    author.write_calendar()
    for number in range(draw(st.integers(5, 8))):
        author.write_world(f"w{number}")
    author.write_last_day()
    steps = [
        Step(clocks[0], "build"),
        *(author.step(number) for number in range(1, len(clocks) - 1)),
        Step(clocks[-1], draw(st.sampled_from(["build", "build", "build", "build and test"]))),
    ]
    return History(steps, author.rows)


class _Author:
    """Writes one history, row by row."""

    def __init__(self, draw: _Draw, clocks: list[datetime]):
        self.draw = draw
        self.clocks = clocks
        self.rows: list[Row] = []
        self.outages: set[date] = set()
        self.ids = 0

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.draw(st.integers(0, len(choices) - 1))]

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
        load_time, event_time = TABLES[table].load_time, values[TABLES[table].event_time]
        happened: datetime
        if isinstance(event_time, datetime):
            happened = event_time.replace(tzinfo=None)
        else:
            happened = datetime.combine(event_time, time(2)) + DAY

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
        now, event_time = self.clocks[step], TABLES[table].event_time
        moment = now + DAY + self.one_of([timedelta(0), INSTANT])
        old = values[event_time]
        if isinstance(old, datetime):
            ahead: date = moment.replace(tzinfo=old.tzinfo)
        else:
            ahead = now.date() + self.one_of([DAY, 2 * DAY])
        self.add(table, step, {**values, event_time: ahead, TABLES[table].load_time: now})

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

    # -- the calendar: which days the usage API answered --

    def write_calendar(self) -> None:
        for _ in range(self.draw(st.integers(2, 5))):
            self.write_outage(self.one_of(self.clocks).date() - self.draw(st.integers(1, 8)) * DAY)
        last_day = self.clocks[-1].date()
        for number in range((last_day - FIRST_DAY).days):
            day = FIRST_DAY + number * DAY
            if day not in self.outages:
                self.answer(day, datetime.combine(day + DAY, time(2)))
        # Days that are asked again, without an answer for everyone; answers that are none.
        for _ in range(self.draw(st.integers(0, 2))):
            self.answer(*self.late_answer())
        for outage in sorted(self.outages)[: self.draw(st.integers(0, 2))]:
            step = self.draw(st.integers(0, len(self.clocks) - 1))
            nothing = {"usage_date": None, "loaded_at": self.clocks[step]}
            never = {"usage_date": outage, "loaded_at": None}
            self.add("usage_answers", step, self.one_of([nothing, never]))

    def answer(self, day: date, loaded_at: datetime, labels: Labels | None = None) -> None:
        values = {"usage_date": day, "loaded_at": loaded_at}
        self.add("usage_answers", self.step_at(loaded_at), values, labels)

    def late_answer(self) -> tuple[date, datetime]:
        step = self.draw(st.integers(1, len(self.clocks) - 1))
        return self.day(), self.clocks[step]

    def write_outage(self, day: date) -> None:
        self.outages.add(day)
        kind, (_, late) = self.draw(_OUTAGES), self.late_answer()
        answered = {"usage_date": day, "loaded_at": late}
        label: Labels
        if kind == "answered late":
            self.answer(day, late, {"outage answered late": None})
        elif kind == "never answered":
            label = {"outage never answered": answered}
            self.rows.append(Row("usage_answers", self.step_at(late), None, label))
        elif kind == "answered partly":
            values = {**answered, "company_id": "w0's company", "active_users": 1, "events": 3}
            label = {"outage answered partly": None}
            self.add("product_usage_daily", self.step_at(late), values, label)
        else:
            early = datetime.combine(day, time(20))
            self.answer(day, early)
            label = {"asked before the day ended": answered}
            self.rows.append(Row("usage_answers", self.step_at(late), None, label))
            numbers = {"company_id": "w0's company", "active_users": 2, "events": 2}
            values = {"usage_date": day, "loaded_at": early, **numbers}
            self.add("product_usage_daily", self.step_at(early), values)

    # -- one world: a few companies and servers --

    def write_world(self, world: str) -> None:
        # the same but for one letter's case, if there are two
        companies = [f"{world}'s company", f"{world}'s Company"][: self.draw(st.integers(1, 2))]
        servers = [f"{world}'s server", f"{world}'s Server"][: self.draw(st.integers(1, 2))]
        self.write_rows("crm_daily", _DAILY_KINDS, lambda: self.crm(self.one_of(companies)))
        self.write_rows("product_usage_daily", _DAILY_KINDS, lambda: self.usage(companies))
        self.write_rows("fact_events", _EVENT_KINDS, lambda: self.fact(self.one_of(companies)))
        self.write_rows("engagement_events", _EVENT_KINDS, lambda: self.visit(self.one_of(servers)))
        self.label_names(companies)
        self.label_silence(companies)

    def write_last_day(self) -> None:
        """The last day of all rests on one event, which is deleted."""
        table, load_time = "engagement_events", "updated_at"
        tomorrow = datetime.combine(self.clocks[0].date() + DAY, time(9, 30))
        visit = {**self.visit("last server"), "session_date": tomorrow}
        self.add(table, 0, {**visit, load_time: self.clocks[0]})
        self.add(table, 1, {**_deletion(table, visit), load_time: self.clocks[1]})

    def crm(self, company: str) -> Values:
        day, contact = self.day(), self.draw(_CONTACTS)
        return {
            "company_id": company,
            "name": self.draw(_NAMES),
            "country": self.draw(_COUNTRIES),
            "industry_tag": self.one_of(["energy", None]),
            "last_contact_at": contact and datetime.combine(day, time(0)) + contact,
            "load_date": day,
        }

    def usage(self, companies: list[str]) -> Values:
        day = self.day()
        while day in self.outages:
            day -= DAY
        return {
            "company_id": self.one_of(companies),
            "usage_date": day,
            "active_users": self.draw(_COUNTS),
            "events": self.draw(_COUNTS),
        }

    def fact(self, company: str) -> Values:
        return {
            "event_id": self.new_id(),
            "company_id": company,
            "event_timestamp": self.moment().replace(tzinfo=timezone.utc),
            "events": self.draw(_COUNTS),
            "is_deleted": self.one_of([None, False]),
        }

    def visit(self, server: str) -> Values:
        return {
            "event_id": self.new_id(),
            "user_id": self.draw(_USERS),
            "server_id": server,
            "session_date": self.moment(),
            "feature_used": self.draw(_FEATURES),
            "interaction_count": self.draw(_COUNTS),
            "duration_minutes": self.draw(_MINUTES),
            "is_deleted": self.one_of([None, False]),
        }

    def new_id(self) -> str:
        self.ids += 1
        return f"event {self.ids}"

    # -- what upstreams do to a table --

    def write_rows(
        self, table: str, kinds: st.SearchStrategy[str], new: Callable[[], Values]
    ) -> None:
        """A few rows, most of them about the rows before them."""
        first = len(self.rows)
        for kind in self.draw(st.lists(kinds, min_size=5, max_size=10)):
            known = [row for row in self.rows[first:] if row.values]
            if kind == "new" or not known:
                self.arrive(table, new())
                continue
            if kind == "ahead":
                self.arrive_ahead(table, new())
                continue
            target = self.one_of(known)
            old, after = target.content, target.step
            if kind == "redelivered":
                self.redeliver(table, old, new, after)
            elif kind == "duplicate":
                another = {**_unloaded(table, old), "event_id": self.new_id()}
                self.arrive(table, old, {"exact duplicate": another}, after)
            elif kind == "deleted":
                gone = self.one_of([_deletion(table, old), {**old, "is_deleted": True}])
                self.arrive(table, gone, {f"{table}: deleted": None}, after)
            elif kind == "restored":
                self.arrive(table, _deletion(table, old), after=after)
                self.redeliver(table, _deletion(table, old), new, self.rows[-1].step)
            elif kind == "moved":
                self.arrive(table, _deletion(table, old), after=after)
                moved = {**new(), "event_id": old["event_id"]}
                self.arrive(table, moved, {f"{table}: moved to another day": None}, after)
            elif kind == "equal load time":
                self.conflict(target, new)
            elif kind == "malformed":
                healthy = self.changed(table, old, new)
                label = {f"{table}: malformed correction": healthy}
                self.arrive(table, self.spoiled(table, healthy), label, after)
            else:
                healthy = new()
                keys = [name for name in ("event_id", "company_id", "server_id") if name in healthy]
                self.arrive(table, {**healthy, self.one_of(keys): None}, {"null key": healthy})

    def changed(self, table: str, old: Values, new: Callable[[], Values]) -> Values:
        """Another version of a row: the same identity, other contents."""
        kept = {"crm_daily": ("company_id", "load_date"),
                "product_usage_daily": ("company_id", "usage_date"),
                "fact_events": ("event_id", "company_id"),
                "engagement_events": ("event_id", "server_id")}[table]  # fmt: skip
        values = {**new(), **{column: old[column] for column in kept}}
        if "event_id" in values:
            event_time = TABLES[table].event_time
            moment = old[event_time]
            if self.draw(st.booleans()):
                moment = datetime.combine(moment.date(), self.draw(_TIMES), moment.tzinfo)
            values[event_time] = moment
        return values

    def redeliver(self, table: str, old: Values, new: Callable[[], Values], after: int) -> None:
        values = self.changed(table, old, new)
        label = f"{table}: redelivered with other values"
        if "event_id" in values:
            event_time = TABLES[table].event_time
            moment = old[event_time]
            same_hour = moment is not None and moment.hour == values[event_time].hour
            label += " in the same hour" if same_hour else " in another hour"
            if old["is_deleted"]:
                label = f"{table}: deleted, then restored"
        self.arrive(table, values, {label: None}, after)

    def conflict(self, target: Row, new: Callable[[], Values]) -> None:
        """Other contents of the same load time, committed as late as the overlap allows."""
        table, old = target.table, target.content
        load_time = TABLES[table].load_time
        loaded_at = old[load_time]
        values = self.changed(table, old, new)
        if self.draw(st.booleans()) and "event_id" in values:
            values = _deletion(table, values)
        values = {**values, load_time: loaded_at}
        steps = [target.step]
        for step in range(target.step + 1, len(self.clocks)):
            if loaded_at and loaded_at >= self.clocks[step - 1] - OVERLAP:
                steps.append(step)
        older = {**values, load_time: loaded_at - INSTANT if loaded_at else None}
        self.add(table, steps[-1], values, {f"{table}: equal load time": older})

    def spoiled(self, table: str, values: Values) -> Values:
        """A version that breaks one rule."""
        if table == "crm_daily":
            return {**values, "load_date": self.clocks[-1].date() + 2 * DAY}
        measures = [name for name in _MEASURES if name in values]
        return {**values, self.one_of(measures): self.one_of([-1, None])}

    # -- labels that need the whole world --

    def label_names(self, companies: list[str]) -> None:
        """Renames, and who appears where first."""
        for company in companies:
            files, usage = self.of("crm_daily", company), self.of("product_usage_daily", company)
            files.sort(key=lambda number: self.rows[number].content["load_date"])
            names: list[str] = []
            for number in files:
                name = self.rows[number].content["name"]
                if names and name != names[-1]:
                    self.label(number, "renamed back" if name in names else "renamed")
                names.append(name)
            for numbers, others, label in (
                (files, usage, "in the CRM after usage"),
                (usage, files, "usage after the CRM"),
            ):
                if numbers and others and self.first_step(numbers) > self.first_step(others):
                    for number in numbers:
                        self.label(number, label)

    def label_silence(self, companies: list[str]) -> None:
        """A file or an answer without a company retracts nothing: what if it did?"""
        company, step = self.one_of(companies), self.draw(st.integers(1, len(self.clocks) - 1))
        now = self.clocks[step]
        for number in self.of("product_usage_daily", company):
            zeros = {"active_users": 0, "events": 0, "loaded_at": now}
            values = {**self.rows[number].content, **zeros}
            label: Labels = {"missing in a repeated answer": values}
            self.rows.append(Row("product_usage_daily", step, None, label))
        for number in self.of("crm_daily", company):
            nothing = {"name": None, "country": None, "industry_tag": None, "last_contact_at": None}
            today = {"load_date": now.date(), "loaded_at": now}
            values = {**self.rows[number].content, **nothing, **today}
            self.rows.append(Row("crm_daily", step, None, {"missing in a file": values}))

    def of(self, table: str, company: str) -> list[int]:
        """The numbers of a company's rows."""
        return [
            number
            for number, row in enumerate(self.rows)
            if row.table == table and row.content.get("company_id") == company
        ]

    def first_step(self, numbers: list[int]) -> int:
        return min(self.rows[number].step for number in numbers)

    def label(self, number: int, label: str) -> None:
        row = self.rows[number]
        self.rows[number] = replace(row, otherwise={**row.otherwise, label: None})

    # -- what is done between the first build and the last --

    def step(self, number: int) -> Step:
        clock, action = self.clocks[number], self.draw(_ACTIONS)
        picks = self.draw(_PICKS)
        if action == "restate":
            first = self.day()
            return Step(clock, action, picks, window=(first, first + self.one_of([1, 3, 30]) * DAY))
        if action == "erase":
            partitions = list(self.partitions(before=number))
            if not partitions:
                return Step(clock, "request", picks)
            partition = self.one_of(partitions)
            if self.draw(st.booleans()):
                # the first day of somebody
                _, entity, _ = partition
                partition = min((p for p in partitions if p[1] == entity), key=lambda p: p[2])
            self.erase(partition, number)
            return Step(clock, action, picks, partition=partition)
        if action == "reset":
            return Step(clock, action, watermark=self.write_lost_rows(number))
        return Step(clock, action, picks)

    def write_lost_rows(self, step: int) -> datetime:
        """Rows that commit after the overlap; only a watermark set back finds them."""
        # A second reset must not skip what the first one was for.
        watermark = self.clocks[0] - 2 * DAY
        loaded_at = self.one_of([watermark, self.clocks[0] - OVERLAP - INSTANT])
        for table, values in (
            ("fact_events", self.fact("w0's company")),
            ("product_usage_daily", self.usage(["w0's company"])),
            ("engagement_events", self.visit("w0's server")),
        ):
            labels: Labels = {"found by a watermark set back": None}
            lost = {**values, TABLES[table].load_time: loaded_at}
            self.add(table, step, lost, labels)
        return watermark

    def partitions(self, before: int) -> Iterator[tuple[str, str, date]]:
        """The partitions that sound rows were built into before a step."""
        for row in self.rows:
            values, entity = row.values, TABLES[row.table].entity
            if values and entity and values[entity] and row.step < before and row.erased is None:
                day, loaded_at = day_of(row.table, values), values[TABLES[row.table].load_time]
                seen = loaded_at and loaded_at <= self.clocks[before - 1]
                if day and seen and not values.get("is_deleted"):
                    yield row.table, values[entity], day

    def erase(self, partition: tuple[str, str, date], step: int) -> None:
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


def _deletion(table: str, values: Values) -> Values:
    """A deletion brings the identity, the event time and nothing else."""
    kept = ("event_id", "company_id", "server_id", TABLES[table].event_time)
    return {**{name: values[name] if name in kept else None for name in values}, "is_deleted": True}
