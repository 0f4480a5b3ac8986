"""Companies that use a product, and servers on which people meet.

The calendar of answers and outages is everybody's.
"""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from decimal import Decimal

from hypothesis import strategies as st

from .author import Author, Draw, Upstream, deletion
from .history import DAY, FIRST_DAY, INSTANT, MINUTE, Labels, Row
from .raw import Values

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
     "equal load time", "equal load time", "malformed", "null key", "moved", "ahead", "zero time"]
)  # fmt: skip
_DAILY_KINDS = st.sampled_from(
    ["new", "new", "new", "redelivered", "equal load time", "malformed", "null key", "ahead",
     "zero time"]
)  # fmt: skip


class Companies(Author):
    """Writes what a history says about companies and servers."""

    def __init__(self, draw: Draw, clocks: list[datetime]):
        super().__init__(draw, clocks)
        self.outages: set[date] = set()

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

    def write_companies(self, world: str) -> None:
        # the same but for one letter's case, if there are two
        companies = [f"{world}'s company", f"{world}'s Company"][: self.draw(st.integers(1, 2))]
        servers = [f"{world}'s server", f"{world}'s Server"][: self.draw(st.integers(1, 2))]
        for upstream in (
            Upstream(
                "crm_daily",
                _DAILY_KINDS,
                lambda: self.crm(self.one_of(companies)),
                lambda values: {**values, "load_date": self.clocks[-1].date() + 2 * DAY},
            ),
            Upstream(
                "product_usage_daily",
                _DAILY_KINDS,
                lambda: self.usage(companies),
                self.without_measure,
            ),
            Upstream(
                "fact_events",
                _EVENT_KINDS,
                lambda: self.fact(self.one_of(companies)),
                self.without_measure,
            ),
            Upstream(
                "engagement_events",
                _EVENT_KINDS,
                lambda: self.visit(self.one_of(servers)),
                self.without_measure,
            ),
        ):
            self.write_rows(upstream)
        self.label_names(companies)
        self.label_silence(companies)

    def write_last_day(self) -> None:
        """The last day of all rests on one event, which is deleted."""
        table, load_time = "engagement_events", "updated_at"
        tomorrow = datetime.combine(self.clocks[0].date() + DAY, time(9, 30))
        visit = {**self.visit("last server"), "session_date": tomorrow}
        self.add(table, 0, {**visit, load_time: self.clocks[0]})
        self.add(table, 1, {**deletion(table, visit), load_time: self.clocks[1]})

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

    def without_measure(self, values: Values) -> Values:
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
