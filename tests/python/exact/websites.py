"""Teams with websites, their visitors and their sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from .author import Author, Upstream
from .history import HOUR, INSTANT, MINUTE, Row
from .raw import Values

_KINDS = st.sampled_from(
    ["new", "new", "new", "new", "redelivered", "redelivered", "duplicate", "equal load time",
     "equal time", "other session", "other time", "glance", "null key", "moved", "ahead",
     "zero time"]
)  # fmt: skip
_TEAM_KINDS = st.sampled_from(
    ["redelivered", "redelivered", "equal load time", "equal load time", "null key"]
)
_EVENTS = st.sampled_from(
    ["$pageview"] * 5 + ["$screen", "$screen", "$autocapture", "$identify", "$Pageview", None]
)
_PERSONS = st.sampled_from(["person 1", "person 2", "Person 2", None])
_MILLISECOND = timedelta(milliseconds=1)
# Ten seconds are no bounce, and 9 999 milliseconds are one.
_OFFSETS = st.sampled_from(
    [timedelta(0), 9999 * _MILLISECOND, 10000 * _MILLISECOND, 10000 * _MILLISECOND - INSTANT,
     10000 * _MILLISECOND + INSTANT, -9999 * _MILLISECOND, 40 * MINUTE, -HOUR, 26 * HOUR,
     -30 * HOUR]
)  # fmt: skip
# so that neither seconds nor milliseconds are whole
_ANCHOR = 500 * _MILLISECOND + 999 * INSTANT

_HOME: dict[str, Any] = {
    "host": "tide.example",
    "pathname": "/",
    "device_type": "Mobile",
    "browser": "Firefox",
    "os": "Linux",
    "referring_domain": "$direct",
    "utm_source": "news",
    "utm_medium": "mail",
    "utm_campaign": "spring",
    "country_code": "NO",
}
_PLACES = st.sampled_from(
    [_HOME, _HOME, {**_HOME, "pathname": None}, {**_HOME, "host": "Tide.example"}]
    + [{**_HOME, name: None} for name in ("utm_source", "utm_medium", "utm_campaign", "os")]
    + [dict.fromkeys(_HOME)]
)


class Websites(Author):
    """Writes what a history says about websites."""

    def write_websites(self, world: str) -> None:
        # teams have numbers, and share the names of sessions
        teams = [7000 + 2 * int(world[1:]) + number for number in range(self.one_of([1, 2]))]
        sessions = {f"{world}'s session {number}": self.moment() + _ANCHOR for number in (1, 2)}
        table = "web_events"

        def other_session(target: Row) -> None:
            values = {**target.content, "session_id": self.one_of([*sessions, None])}
            self.arrive(table, values, {f"{table}: moved to another session": None}, target.step)

        def other_time(target: Row) -> None:
            """On the same day, if the hour allows it."""
            old = target.content
            hours = self.one_of([-3, -1, 1, 3])
            # nothing comes before a zero time
            moment = old["timestamp"] + (abs(hours) if old["timestamp"].year == 1 else hours) * HOUR
            moved = {f"{table}: moved to another time": None}
            self.arrive(table, {**old, "timestamp": moment}, moved, target.step)

        def glance(target: Row) -> None:
            """A session of its own: one view, and about ten seconds later something else."""
            session = f"session of {self.new_id()}"
            team, moment = target.content["team_id"], self.moment() + _ANCHOR
            for event, offset in (("$pageview", timedelta(0)), ("$identify", self.draw(_OFFSETS))):
                one = {"session_id": session, "event": event, "timestamp": moment + offset}
                self.arrive(table, {**self.web_event(team, sessions), **one})

        self.write_rows(
            Upstream(
                table,
                _KINDS,
                lambda: self.web_event(self.one_of(teams), sessions),
                special={
                    "equal time": lambda target: self.coincide(
                        target,
                        {
                            **self.web_event(target.content["team_id"], sessions),
                            "session_id": target.content["session_id"],
                        },
                    ),
                    "other session": other_session,
                    "other time": other_time,
                    "glance": glance,
                },
                rows=(8, 16),
            )
        )
        for team in teams:
            self.write_team(team)

    def web_event(self, team: int, sessions: dict[str, datetime]) -> Values:
        session = self.one_of([*sessions, *sessions, None])
        happened = self.moment()
        if session and self.draw(st.booleans()):
            happened = sessions[session] + self.draw(_OFFSETS)
        return {
            "event_id": self.new_id(),
            "team_id": team,
            "person_id": self.draw(_PERSONS),
            "session_id": session,
            "event": self.draw(_EVENTS),
            "timestamp": happened,
            **self.draw(_PLACES),
        }

    def write_team(self, team: int) -> None:
        """Most teams are enabled before anything is built; one in eight stays unknown."""

        def attributes() -> Values:
            return {
                "team_id": team,
                "name": self.one_of(["Web", "web", None]),
                "is_enabled": self.one_of([True, True, False, None]),
                "enabled_at": self.one_of([*self.clocks, None]),
            }

        beginning = self.draw(st.integers(0, 7))
        if beginning:
            if beginning > 2:
                enabled = {**attributes(), "is_enabled": True, "updated_at": self.clocks[0]}
                self.add("web_teams", 0, enabled)
            self.write_rows(Upstream("web_teams", _TEAM_KINDS, attributes, rows=(1, 3)))
