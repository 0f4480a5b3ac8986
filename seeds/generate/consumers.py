"""The customers of half a dozen consumers: what happened to them, and how they stand."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain

from .files import DAYS, END, FIRST_DAY, Row, midnight, next_load, write

# consumer_id: name, first day, customers on that day, chance of a new one on any later day.
CONSUMERS = {
    "con-aurum": ("Aurum", FIRST_DAY, 9, 0.4),
    "con-basalt": ("Basalt", FIRST_DAY, 6, 0.3),
    "con-cedar": ("Cedar", FIRST_DAY, 4, 0.2),
    "con-dune": ("Dune", FIRST_DAY + timedelta(days=5), 3, 0.15),
    "con-latecomer": ("Latecomer", date(2025, 10, 6), 2, 0.3),
}
CONSUMERS_LOADED_AT = "2025-09-02 08:00:00"
CUSTOMERS_LOADED_AT = datetime(2025, 10, 15, 2, 30), datetime(2025, 10, 16, 2, 30)

# Nobody is deleted once `customers` is loaded: a seed cannot lose a row again.
LAST_DELETION = date(2025, 10, 13)
# A late event must have arrived by then, or `customers` would know more than the events.
LAST_LATE_EVENT = date(2025, 10, 11)

SPECIAL_CONSUMERS = f"""\
con-story,Story,ACTIVE,2025-09-01 09:00:00,2025-09-01 09:00:00,{CONSUMERS_LOADED_AT}
"""

# All of them con-story's. event_id, customer_id, event_type, payload_json, created_at, loaded_at
STORY_EVENTS = """\
dd-created|deactivated-deleted|customer_creation||2025-09-08 09:00:00|2025-09-08 09:15:00
dd-paused|deactivated-deleted|customer_update|PAUSED|2025-09-15 14:00:00|2025-09-15 14:15:00
dd-deleted|deactivated-deleted|customer_deletion||2025-09-22 16:30:00|2025-09-22 17:15:00
re-created-1|re-created|customer_creation||2025-09-10 10:00:00|2025-09-10 10:15:00
re-paused|re-created|customer_update|PAUSED|2025-09-12 10:00:00|2025-09-12 10:15:00
re-deleted|re-created|customer_deletion||2025-09-17 10:00:00|2025-09-17 10:15:00
re-resumed|re-created|customer_update|RESUMED|2025-09-19 10:00:00|2025-09-19 10:15:00
re-created-2|re-created|customer_creation||2025-10-01 12:00:00|2025-10-01 12:15:00
bad-created|bad-payload|customer_creation||2025-09-18 13:00:00|2025-09-18 13:15:00
bad-payload|bad-payload|customer_update|CUT OFF|2025-10-02 13:00:00|2025-10-02 13:15:00
born-inactive|born-inactive|customer_creation|PAUSED|2025-09-24 08:00:00|2025-09-24 08:15:00
redelivered|redelivered|customer_creation|PAUSED|2025-09-25 11:00:00|2025-09-25 11:15:00
redelivered|redelivered|customer_creation|RESUMED|2025-09-25 11:00:00|2025-09-26 09:15:00
dup-visit|redelivered|customer_visit||2025-09-26 15:00:00|2025-09-26 15:15:00
dup-visit|redelivered|customer_visit||2025-09-26 15:00:00|2025-09-26 15:15:00
null-customer||customer_creation||2025-10-03 09:00:00|2025-10-03 09:15:00
border-sunday|border-sunday|customer_creation||2025-10-05 23:59:59|2025-10-06 00:15:00
border-monday|border-monday|customer_creation||2025-10-06 00:00:00|2025-10-06 00:15:00
late-paused|late-creation|customer_update|PAUSED|2025-10-08 10:00:00|2025-10-08 10:15:00
late-creation|late-creation|customer_creation||2025-09-29 10:00:00|2025-10-15 12:15:00
"""
STORY_PAYLOADS = {
    "": "",
    "PAUSED": '{"status": "INACTIVE"}',
    "RESUMED": '{"status": "ACTIVE"}',
    "CUT OFF": '{"status": "INACTIVE"',
}

# customer_id, status, created_at; bad-payload was paused by an event that does not parse.
STORY_CUSTOMERS = [
    ("re-created", "ACTIVE", "2025-10-01 12:00:00"),
    ("born-inactive", "INACTIVE", "2025-09-24 08:00:00"),
    ("redelivered", "ACTIVE", "2025-09-25 11:00:00"),
    ("bad-payload", "INACTIVE", "2025-09-18 13:00:00"),
    ("border-sunday", "ACTIVE", "2025-10-05 23:59:59"),
    ("border-monday", "ACTIVE", "2025-10-06 00:00:00"),
    ("late-creation", "INACTIVE", "2025-09-29 10:00:00"),
]


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened to an ordinary customer; the status that it carries, if any."""

    happened_at: datetime
    consumer: str
    customer: str
    type: str
    status: str = ""


def life(consumer: str, rng: random.Random) -> Iterator[Event]:
    """A consumer's events: everybody is created, and then has at most one event a day."""
    name, first_day, at_first, chance = CONSUMERS[consumer]
    statuses: dict[str, str] = {}
    created = 0
    for day in DAYS[DAYS.index(first_day) :]:
        is_quiet = day.weekday() == 6
        for customer, status in list(statuses.items()):
            moment = midnight(day) + timedelta(hours=7, seconds=rng.randrange(14 * 3600))
            fate = rng.random() * (3 if is_quiet else 1)
            if fate < 0.006 and day <= LAST_DELETION:
                yield Event(moment, consumer, customer, "customer_deletion")
                del statuses[customer]
            elif fate < 0.03:
                statuses[customer] = "ACTIVE" if status == "INACTIVE" else "INACTIVE"
                yield Event(moment, consumer, customer, "customer_update", statuses[customer])
            elif fate < 0.06:
                yield Event(moment, consumer, customer, "customer_update")
            elif fate < 0.24:
                yield Event(moment, consumer, customer, "customer_visit")
        for _ in range(at_first if day == first_day else rng.random() < chance):
            created += 1
            customer = f"{name.lower()}-{created:03}"
            moment = midnight(day) + timedelta(hours=7, seconds=rng.randrange(14 * 3600))
            statuses[customer] = "ACTIVE"
            yield Event(moment, consumer, customer, "customer_creation", rng.choice(["", "ACTIVE"]))


def consumers() -> Iterator[Row]:
    for consumer, (name, first_day, *_) in CONSUMERS.items():
        created_at = str(midnight(first_day))
        yield [consumer, name, "ACTIVE", created_at, created_at, CONSUMERS_LOADED_AT]


def customers(events: list[Event]) -> Iterator[Row]:
    """The current state, as two nights find it; upstream the second overwrites the first."""
    for loaded_at in CUSTOMERS_LOADED_AT:
        states: dict[tuple[str, str], Row] = {}
        for event in events:
            moment, key = str(event.happened_at), (event.consumer, event.customer)
            if event.happened_at >= loaded_at:
                break
            if event.type == "customer_creation":
                name = event.customer.replace("-", " ").title()
                states[key] = [event.customer, event.consumer, name, "ACTIVE", moment, moment]
            elif event.type == "customer_deletion":
                del states[key]
            elif event.type == "customer_update":
                states[key][3] = event.status or states[key][3]
                states[key][5] = moment
        for customer, status, created_at in STORY_CUSTOMERS:
            name = customer.replace("-", " ").title()
            row = [customer, "con-story", name, status, created_at, created_at]
            states["con-story", customer] = row
        for row in states.values():
            yield [*row, str(loaded_at)]


def customer_events(events: list[Event], rng: random.Random) -> Iterator[Row]:
    """Loaded in the batch at a quarter past; one in thirty is up to two days late."""
    for number, event in enumerate(events, start=1):
        is_late = event.happened_at.date() <= LAST_LATE_EVENT and rng.random() < 0.03
        lateness = timedelta(hours=rng.randint(1, 48) if is_late else 0)
        loaded_at = next_load(event.happened_at, minute=15) + lateness
        if loaded_at < END:
            payload = json.dumps({"status": event.status}) if event.status else ""
            what = [event.consumer, event.customer, event.type, payload, str(event.happened_at)]
            yield [f"cus-{number:05}", *what, str(loaded_at)]


def story_events() -> Iterator[Row]:
    for line in STORY_EVENTS.splitlines():
        event_id, customer, event_type, payload, *times = line.split("|")
        yield [event_id, "con-story", customer, event_type, STORY_PAYLOADS[payload], *times]


def main() -> None:
    """Write the raw tables of the domain."""
    events = sorted(
        event
        for number, consumer in enumerate(CONSUMERS)
        for event in life(consumer, random.Random(70 + number))
    )
    write(
        "consumers",
        "consumer_id name status created_at updated_at loaded_at",
        consumers(),
        SPECIAL_CONSUMERS,
    )
    write(
        "customers",
        "customer_id consumer_id name status created_at updated_at loaded_at",
        customers(events),
    )
    write(
        "customer_events",
        "event_id consumer_id customer_id event_type payload_json created_at loaded_at",
        chain(customer_events(events, random.Random(7)), story_events()),
    )
