"""Engagement events: the story's servers, and the usual ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from .files import DAYS, END, FIRST_DAY, Row, midnight, next_load, write

SERVERS = [
    *("aquila", "corvus", "cygnus", "draco", "hydra", "lupus", "lyra", "orion", "vela"),
    *("quiet", "latecomer"),
]
SERVER_LIFE = {
    "quiet": (datetime.min, datetime(2025, 9, 21)),
    "latecomer": (datetime(2025, 10, 9), datetime.max),
}
USERS = 40
FEATURES = {"chat": 30, "search": 22, "whiteboard": 16, "video": 14, "files": 14, "": 4}

# On a server of their own, so that each is alone in its hour. The columns: event_id, user_id,
# server_id, session_date, feature_used, interaction_count, duration_minutes, is_deleted, updated_at
SPECIAL_ENGAGEMENT_EVENTS = """\
eng-dup-exact,u-001,srv-story,2025-09-16 10:30:00,chat,3,12.00,,2025-09-16 11:05:00
eng-dup-exact,u-001,srv-story,2025-09-16 10:30:00,chat,3,12.00,,2025-09-16 11:05:00
eng-redelivered,u-002,srv-story,2025-10-07 09:30:00,video,5,30.00,,2025-10-07 10:05:00
eng-redelivered,u-002,srv-story,2025-10-07 09:30:00,video,5,45.00,,2025-10-07 15:05:00
eng-moved-hour,u-003,srv-story,2025-10-08 09:40:00,files,2,8.50,,2025-10-08 10:05:00
eng-moved-hour,u-003,srv-story,2025-10-08 11:15:00,files,2,8.50,,2025-10-08 12:05:00
eng-deleted,u-004,srv-story,2025-10-09 14:20:00,search,4,6.25,,2025-10-09 15:05:00
eng-deleted,,srv-story,2025-10-09 14:20:00,,,,true,2025-10-10 08:05:00
eng-late,u-005,srv-story,2025-09-24 15:10:00,chat,4,20.00,,2025-10-15 12:05:00
"""


def is_open(server: str, moment: datetime) -> bool:
    opens, closes = SERVER_LIFE.get(server, (datetime.min, datetime.max))
    return opens <= moment < closes


def engagement_events(rng: random.Random) -> Iterator[Row]:
    """One to four events in each batch at 5 past; one in fifty is up to three days late."""
    number = 0
    for hour in range(len(DAYS) * 24):
        for position in range(rng.choice([1, 2, 2, 3]) + (7 <= hour % 24 <= 18)):
            number += 1
            happened_at = midnight(FIRST_DAY) + timedelta(
                hours=hour, seconds=rng.randrange(300, 3900)
            )
            user = rng.randrange(USERS)
            homes = [SERVERS[(user + step) % len(SERVERS)] for step in (0, 3, 7)]
            open_homes = [server for server in homes if is_open(server, happened_at)]
            # Never the first one: the table is refreshed every hour.
            is_late = position > 0 and rng.random() < 0.03
            lateness = timedelta(hours=rng.randint(1, 72) if is_late else 0)
            row = [
                f"eng-{number:06}",
                f"u-{user + 1:03}",
                f"srv-{rng.choice(open_homes)}",
                str(happened_at),
                *rng.choices(list(FEATURES), list(FEATURES.values())),
                str(rng.randint(1, 12)),
                f"{rng.randint(50, 6000) / 100:.2f}",
                "",
            ]
            loaded_at = next_load(happened_at, minute=5) + lateness
            if loaded_at < END:
                yield [*row, str(loaded_at)]


def main() -> None:
    """Write the raw table of the domain."""
    write(
        "engagement_events",
        "event_id user_id server_id session_date feature_used interaction_count duration_minutes"
        " is_deleted updated_at",
        engagement_events(random.Random(3)),
        SPECIAL_ENGAGEMENT_EVENTS,
    )
