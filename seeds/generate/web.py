"""Web events: the story's team, and a few sites that people visit every hour."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from .files import DAYS, END, FIRST_DAY, Row, midnight, next_load, write

HOSTS = {1: "acme.example", 2: "borealis.example", 3: "cobalt.example", 8: "dynamo.example"}
LATECOMER, LATECOMER_HOST = 9, "ember.example"
PATHS = {"/": 30, "/pricing": 18, "/docs": 16, "/signup": 9, "/blog": 9, "": 2}
DEVICES = [
    ("Desktop", "Chrome", "Windows"),
    ("Desktop", "Firefox", "Linux"),
    ("Mobile", "Safari", "iOS"),
    ("Mobile", "Chrome", "Android"),
    ("", "", ""),
]
ORIGINS = [
    ("", "", "", ""),
    ("search.example", "", "", ""),
    ("news.example", "newsletter", "email", "autumn"),
    ("search.example", "search", "cpc", "autumn"),
]
COUNTRIES = ["US", "DE", "SE", "IE", "", "JP"]
EVENTS = {"$pageview": 60, "$autocapture": 22, "$screen": 6, "signup": 6, "scroll": 6}
PEOPLE = 60

# A team changes: one leaves before the seed clock, one comes after it, one has no key.
# The columns: team_id, name, is_enabled, enabled_at, updated_at
WEB_TEAMS = """\
1,Acme,true,2025-09-01 08:00:00,2025-09-03 00:10:00
2,Borealis Energy,true,2025-09-01 08:00:00,2025-09-03 00:10:00
3,Cobalt Health,true,2025-09-01 08:00:00,2025-09-03 00:10:00
7,Story,true,2025-09-01 08:00:00,2025-09-03 00:10:00
8,Dynamo Works,true,2025-09-01 08:00:00,2025-09-03 00:10:00
8,Dynamo Works,false,,2025-10-01 09:30:00
9,Ember Foods,false,,2025-09-03 00:10:00
9,Ember Foods,true,2025-10-15 12:35:00,2025-10-15 12:40:00
,Nobody,true,,2025-10-02 09:30:00
"""

# On a team of their own. The columns: event_id, team_id, person_id, session_id, event, timestamp,
# pathname, loaded_at; the other dimensions are the same everywhere.
SPECIAL_WEB_EVENTS = """\
web-midnight-1,7,p-midnight,s-midnight,$pageview,2025-09-18 23:50:00,/eve,2025-09-19 00:15:00
web-midnight-2,7,p-midnight,s-midnight,$pageview,2025-09-19 00:20:00,/morning,2025-09-19 01:15:00
web-bounce,7,p-bounce,s-bounce,$pageview,2025-09-20 10:05:00,/bounce,2025-09-20 10:15:00
web-9999-1,7,p-9999,s-9999,$pageview,2025-09-21 10:05:00,/9999,2025-09-21 10:15:00
web-9999-2,7,p-9999,s-9999,scroll,2025-09-21 10:05:09.999,/9999,2025-09-21 10:15:00
web-10000-1,7,p-10000,s-10000,$pageview,2025-09-22 10:05:00,/10000,2025-09-22 10:15:00
web-10000-2,7,p-10000,s-10000,scroll,2025-09-22 10:05:10,/10000,2025-09-22 10:15:00
web-dup-exact,7,p-dup,s-dup,$pageview,2025-09-23 11:30:00,/dup,2025-09-23 12:15:00
web-dup-exact,7,p-dup,s-dup,$pageview,2025-09-23 11:30:00,/dup,2025-09-23 12:15:00
web-no-session,7,p-alone,,$pageview,2025-09-24 09:30:00,/alone,2025-09-24 10:15:00
web-moved-1,7,p-moved,s-moved,$pageview,2025-09-25 14:10:00,/moved,2025-09-25 15:15:00
web-moved-2,7,p-moved,s-moved,scroll,2025-09-25 13:55:00,/moved,2025-10-02 09:15:00
web-null-team,,p-null,s-null,$pageview,2025-10-03 13:00:00,/null,2025-10-03 13:15:00
web-other-session,7,p-other,s-told-first,$pageview,2025-10-08 09:30:00,/other,2025-10-08 10:15:00
web-other-session,7,p-other,s-told-later,$pageview,2025-10-08 09:30:00,/other,2025-10-08 15:15:00
web-null-load-time,7,p-null,s-null,$pageview,2025-10-09 08:50:00,/null,
web-taken,7,p-taken,s-loses-start,$pageview,2025-10-13 08:40:00,/taken,2025-10-13 09:15:00
web-stays,7,p-taken,s-loses-start,$pageview,2025-10-13 09:20:00,/stays,2025-10-13 10:15:00
web-taken,7,p-taken,s-gains-event,$pageview,2025-10-13 08:40:00,/taken,2025-10-15 12:15:00
web-start-1,7,p-start,s-gets-start,$pageview,2025-10-14 20:05:00,/start,2025-10-14 20:15:00
web-start-2,7,p-start,s-gets-start,scroll,2025-10-14 19:50:00,/start,2025-10-15 12:15:00
"""


def web_events(rng: random.Random) -> Iterator[Row]:
    """One session begins in every hour; one event in fifty is up to three days late."""
    number = 0
    hosts = HOSTS | {LATECOMER: LATECOMER_HOST}
    for hour in range(len(DAYS) * 24):
        team = rng.choice(list(hosts))
        person = f"p-{rng.randrange(PEOPLE):02}"
        browser, origin = rng.choice(DEVICES), rng.choice(ORIGINS)
        country = rng.choice(COUNTRIES)
        happened_at = midnight(FIRST_DAY) + timedelta(
            hours=hour, milliseconds=rng.randrange(600_000, 4_100_000)
        )
        for position in range(rng.choice([1, 1, 1, 2, 3])):
            number += 1
            # Never the first one: something is loaded every hour.
            is_late = position > 0 and rng.random() < 0.05
            lateness = timedelta(hours=rng.randint(1, 72) if is_late else 0)
            loaded_at = next_load(happened_at, minute=15) + lateness
            row = [
                *(f"web-{number:05}", str(team), person, f"s-{hour:04}"),
                *rng.choices(list(EVENTS), list(EVENTS.values())),
                *(happened_at.isoformat(" ", "milliseconds"), hosts[team]),
                *rng.choices(list(PATHS), list(PATHS.values())),
                *(*browser, *origin, country, str(loaded_at)),
            ]
            happened_at += timedelta(milliseconds=rng.randrange(1_000, 900_000))
            if loaded_at < END:
                yield row


def special_web_events() -> str:
    """The story's events with the dimensions that they share."""
    lines = []
    for line in SPECIAL_WEB_EVENTS.splitlines():
        *event, pathname, loaded_at = line.split(",")
        shared = ["Desktop", "Firefox", "Linux", "", "", "", "", "IE"]
        lines.append(",".join([*event, "story.example", pathname, *shared, loaded_at]))
    return "\n".join(lines)


def main() -> None:
    """Write the raw tables of the domain."""
    write(
        "web_events",
        "event_id team_id person_id session_id event timestamp host pathname device_type browser os"
        " referring_domain utm_source utm_medium utm_campaign country_code loaded_at",
        web_events(random.Random(7)),
        special_web_events(),
    )
    write("web_teams", "team_id name is_enabled enabled_at updated_at", iter(()), WEB_TEAMS)
