"""Learners, their sessions and their attempts."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from .author import Author, Upstream
from .history import HOUR, INSTANT, MINUTE, Row
from .raw import Values

_KINDS = st.sampled_from(
    ["new", "new", "new", "new", "redelivered", "redelivered", "duplicate", "equal load time",
     "equal time", "equal time", "other session", "other session", "other content", "malformed",
     "null key", "moved", "ahead", "zero time"]
)  # fmt: skip
_TYPES = st.sampled_from(
    ["assessment_complete"] * 6
    + ["assessment_start", "page_view", "page_view", "interaction", "lesson_start"]
    + ["lesson_complete", "error", "Page_view"]
)
# None: absent
_CONTENTS = st.sampled_from(["algebra", "algebra", "algebra", "Algebra", None])
_SCORES = st.sampled_from([0, 50, 50, 80, 80.5, 100, 120, -5, 33.333333, 1e2, None])
_MAX_SCORES = st.sampled_from([None, None, None, 0, 100, 50, 3, 200, -100])
_PAGES = st.sampled_from(["page 1", "Page 1", 7, "7", None])
_NO_OBJECTS = st.sampled_from([None, "[]", "5", '"page 1"', "null"])
_SPOILED: list[Values] = [
    {"data": '{"score": 80'},
    {"data": ""},
    {"data": '{"assessment_id": "algebra", "score": "high"}'},
    {"data": '{"assessment_id": "algebra", "score": 50, "max_score": true}'},
    {"data": '{"page_id": "page 1", "score": {"of": 50}}'},
    {"event_type": None},
]
_OFFSETS = st.sampled_from(
    [0 * HOUR, MINUTE / 6, MINUTE / 6 + INSTANT, MINUTE, 40 * MINUTE, 3 * HOUR, -HOUR, 26 * HOUR,
     -30 * HOUR]
)  # fmt: skip


class Learners(Author):
    """Writes what a history says about learners."""

    def write_learners(self, world: str) -> None:
        # the same but for one letter's case, if there are two; they share the names of sessions
        learners = [f"{world}'s learner", f"{world}'s Learner"][: self.draw(st.integers(1, 2))]
        sessions = {f"{world}'s session {number}": self.moment() for number in (1, 2)}
        table = "learner_events"

        def other_session(target: Row) -> None:
            values = {**target.content, "session_id": self.one_of([*sessions, None])}
            self.arrive(table, values, {f"{table}: moved to another session": None}, target.step)

        def other_content(target: Row) -> None:
            """An attempt at something else, or none at all."""
            kind = self.one_of([target.content["event_type"] or "", "page_view"])
            values = {**target.content, "data": self.data(kind)}
            self.arrive(table, values, {f"{table}: content changed": None}, target.step)

        self.write_rows(
            Upstream(
                table,
                _KINDS,
                lambda: self.learner_event(self.one_of(learners), sessions),
                lambda values: {**values, **self.one_of(_SPOILED)},
                {
                    "equal time": lambda target: self.coincide(
                        target,
                        {
                            **self.learner_event(target.content["learner_id"], sessions),
                            "event_type": target.content["event_type"],
                            "data": self.data(target.content["event_type"] or ""),
                        },
                    ),
                    "other session": other_session,
                    "other content": other_content,
                },
                rows=(7, 14),
            )
        )

    def learner_event(self, learner: str, sessions: dict[str, datetime]) -> Values:
        kind = self.draw(_TYPES)
        session = self.one_of([*sessions, *sessions, None])
        happened = self.moment()
        if session and self.draw(st.booleans()):
            happened = sessions[session] + self.draw(_OFFSETS)
        return {
            "learner_id": learner,
            "event_type": kind,
            "event_id": self.new_id(),
            "session_id": session,
            "timestamp": happened,
            "data": self.data(kind),
            # nobody reads these
            "metadata": self.one_of([None, '{"app": "ios"}', "no JSON"]),
            "version": self.one_of([None, "2"]),
            "partition_date": self.one_of([happened.date(), None, self.clocks[0].date()]),
            "s3_path": None,
        }

    def data(self, kind: str) -> str | None:
        data: dict[str, Any] = {"page_id": self.draw(_PAGES)}
        if kind.startswith("assessment"):
            data["assessment_id"] = self.draw(_CONTENTS)
            data["score"] = self.draw(_SCORES)
            data["max_score"] = self.draw(_MAX_SCORES)
        elif self.draw(st.integers(0, 3)) == 0:
            return self.draw(_NO_OBJECTS)
        return json.dumps({name: value for name, value in data.items() if value is not None})
