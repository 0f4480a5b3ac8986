"""Histories: raw tables full of what upstreams do, and the steps in which somebody builds them.

An example holds several worlds side by side, each with its own companies and servers, or its own
consumers, learners and websites: one call of dbt tests them all.

A row knows which phenomena it stands for, and what would have been in its place without each of
them. That is how the test proves that a phenomenon mattered (see `phenomena.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from hypothesis import strategies as st

from .author import Author, Draw
from .companies import Companies
from .consumers import Consumers
from .history import DAY, HOUR, INSTANT, MINUTE, OVERLAP, START, History, Labels, Step
from .learners import Learners
from .raw import TABLES, Values
from .websites import Websites

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


# What a history is about: half of the domains, and a build takes half as long.
SUBJECTS = (("company", "engagement"), ("consumers", "learning", "web"))


@st.composite
def histories(draw: Draw, domains: Sequence[str]) -> History:
    """Several worlds and four or five steps; the last one builds everything."""
    clocks = [START]
    for gap in draw(st.lists(_GAPS, min_size=3, max_size=4)):
        clocks.append(clocks[-1] + gap)
    author = _OfProducts(draw, clocks) if "company" in domains else _OfPeople(draw, clocks)
    author.write()
    steps = [
        Step(clocks[0], "build"),
        *(author.step(number) for number in range(1, len(clocks) - 1)),
        Step(clocks[-1], draw(st.sampled_from(["build"] * 7 + ["build and test"]))),
    ]
    return History(domains, steps, author.rows)


class _Steps(Author):
    """Writes what is done with the rows."""

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
            if self.one_of([True, True, False]):
                # the first day of somebody who was built; a company does not begin with its facts
                built = [p for p in self.partitions(before=1) if p[0] != "fact_events"]
                somebody = self.one_of(built or partitions)[1]
                firsts = [p for p in partitions if p[1] == somebody and p[0] != "fact_events"]
                partition = min(firsts, key=lambda p: p[2], default=partition)
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
        for table, values in self.late_rows():
            labels: Labels = {"found by a watermark set back": None}
            lost = {**values, TABLES[table].load_time: loaded_at}
            self.add(table, step, lost, labels)
        return watermark

    def late_rows(self) -> Iterator[tuple[str, Values]]:
        """A row of every table of events."""
        raise NotImplementedError


class _OfProducts(_Steps, Companies):
    def write(self) -> None:
        self.write_calendar()
        for number in range(self.draw(st.integers(5, 8))):
            self.write_companies(f"w{number}")
        self.write_last_day()

    def late_rows(self) -> Iterator[tuple[str, Values]]:
        yield "fact_events", self.fact("w0's company")
        yield "product_usage_daily", self.usage(["w0's company"])
        yield "engagement_events", self.visit("w0's server")


class _OfPeople(_Steps, Consumers, Learners, Websites):
    def write(self) -> None:
        for number in range(self.draw(st.integers(4, 6))):
            self.write_consumers(f"w{number}")
            self.write_learners(f"w{number}")
            self.write_websites(f"w{number}")

    def late_rows(self) -> Iterator[tuple[str, Values]]:
        yield "customer_events", self.customer_event("w0's consumer")
        yield "learner_events", self.learner_event("w0's learner", {"w0's session 1": START})
        yield "web_events", self.web_event(7000, {"w0's session 1": START})
