"""The CRM, the usage API and the product events of a dozen companies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from .files import DAYS, END, FIRST_DAY, Row, midnight, next_load, write

Usage = dict[tuple[str, date], tuple[int, int]]  # (company_id, day) -> active users, events

OUTAGE_DAY = date(2025, 10, 10)
OUTAGE_ANSWERED_AT = datetime(2025, 10, 16, 2, 5)
REDELIVERED_DAY = date(2025, 9, 17)
REDELIVERED_AT = datetime(2025, 9, 19, 10, 30)
NOT_REDELIVERED = "dynamo"

# company_id: name, country, industry_tag, usual active users and events a day (0: never any).
COMPANIES = {
    "acme": ("Acme", "US", "manufacturing", 24, 120),
    "borealis": ("Borealis Energy", "NO", "energy", 15, 70),
    "churner": ("Churner & Sons", "GB", "retail", 6, 24),
    "cobalt": ("Cobalt Health", "DE", "health", 18, 90),
    "crm-only": ("CRM Only", "FR", "", 0, 0),
    "dynamo": ("Dynamo Works", "US", "manufacturing", 12, 55),
    "ember": ("Ember Foods", "ES", "retail", 9, 40),
    "newcomer": ("Newcomer", "SE", "media", 0, 0),
    "quiet-in-outage": ("Quiet in Outage", "NL", "media", 7, 30),
    "renamed": ("Tern & Co", "IE", "logistics", 11, 48),
    "saved-by-answer": ("Saved by Answer", "", "finance", 4, 16),
    "silent-only-in-outage": ("Silent only in Outage", "PT", "energy", 8, 35),
    "usage-only": ("", "", "", 5, 20),
}
RENAMES = {date(2025, 9, 29): "Tern Labs", date(2025, 10, 16): "Tern"}
FIRST_FILE = {"newcomer": date(2025, 10, 12), "usage-only": date.max}
SILENT: dict[str, Callable[[date], bool]] = {
    "churner": lambda day: day > date(2025, 9, 20),
    "dynamo": lambda day: day.weekday() >= 5,
    "quiet-in-outage": lambda day: day > date(2025, 10, 6),
    "saved-by-answer": lambda day: day.weekday() != 4,
    "silent-only-in-outage": lambda day: day == OUTAGE_DAY,
    "usage-only": lambda day: day < date(2025, 9, 15),
}
# The API may leave a silent company out or answer with zeros; this one gets the zeros.
ANSWERED_WITH_ZEROS = "quiet-in-outage"

SPECIAL_CRM = """\
null-load-date,Null Load Date,US,,2025-09-29 15:00:00,,2025-10-01 01:00:00
"""

# event_id, company_id, event_timestamp, events, is_deleted, loaded_at
SPECIAL_FACT_EVENTS = """\
dup-exact-1,cobalt,2025-09-18 09:15:00+00:00,6,false,2025-09-18 09:20:00
dup-exact-1,cobalt,2025-09-18 09:15:00+00:00,6,false,2025-09-18 09:20:00
dup-exact-2,cobalt,2025-09-19 16:40:00+00:00,4,false,2025-09-19 17:20:00
dup-exact-2,cobalt,2025-09-19 16:40:00+00:00,4,false,2025-09-19 17:20:00
dup-exact-2,cobalt,2025-09-19 16:40:00+00:00,4,false,2025-09-19 17:20:00
border-2330,dynamo,2025-09-26 23:30:00-05:00,8,false,2025-09-27 05:20:00
deleted-1,borealis,2025-09-30 10:05:00+00:00,8,false,2025-09-30 10:20:00
deleted-1,borealis,2025-09-30 10:05:00+00:00,,true,2025-10-02 08:20:00
null-company,,2025-10-03 13:00:00+00:00,5,false,2025-10-03 13:20:00
bad-correction,dynamo,2025-10-06 15:45:00+00:00,11,false,2025-10-06 16:20:00
bad-correction,dynamo,2025-10-06 15:45:00+00:00,-11,false,2025-10-07 09:20:00
negative-events,cobalt,2025-10-07 11:10:00+00:00,-4,false,2025-10-07 11:20:00
null-load-time,borealis,2025-10-09 08:50:00+00:00,5,false,
late-two-weeks,acme,2025-09-29 09:05:00+00:00,7,false,2025-10-13 09:20:00
load-in-2099,acme,2025-10-13 12:30:00+00:00,13,false,2099-01-01 00:00:00
event-in-future,ember,2025-10-20 09:00:00+00:00,6,false,2025-10-14 09:20:00
late-three-weeks,ember,2025-09-24 10:15:00+00:00,9,false,2025-10-15 12:20:00
"""

# What the API counts of these, on top of the ordinary events. Two of them `fact_events` does not
# hold (deleted-1, null-company), and there the two sources differ for good.
COUNTED_BY_API = {
    ("cobalt", date(2025, 9, 18)): 6,  # dup-exact-1, once
    ("cobalt", date(2025, 9, 19)): 4,  # dup-exact-2, once
    ("ember", date(2025, 9, 24)): 9,  # late-three-weeks
    ("dynamo", date(2025, 9, 27)): 8,  # border-2330
    ("acme", date(2025, 9, 29)): 7,  # late-two-weeks
    ("borealis", date(2025, 9, 30)): 8,  # deleted-1
    ("acme", date(2025, 10, 3)): 5,  # null-company
    ("dynamo", date(2025, 10, 6)): 11,  # bad-correction, as it was before
}


def never(_: date) -> bool:
    return False


def crm_daily() -> Iterator[Row]:
    """One file a day at 01:00 with every company that the CRM knows by then."""
    for day in DAYS:
        for offset, (company, (name, country, tag, _, events)) in enumerate(COMPANIES.items()):
            if day < FIRST_FILE.get(company, FIRST_DAY):
                continue
            if company == "renamed":
                name = [name, *(new for since, new in RENAMES.items() if since <= day)][-1]
            contact = day - timedelta(days=(day.toordinal() + 2 * offset) % 9 + 1)
            last_contact_at = f"{contact} 15:00:00" if events else ""
            yield [company, name, country, tag, last_contact_at, str(day), f"{day} 01:00:00"]


def ordinary_usage(rng: random.Random) -> Usage:
    """What the companies really did, the special events left aside."""
    usage: Usage = {}
    for day in DAYS:
        for company, (*_, usual_users, usual_events) in COMPANIES.items():
            is_silent = SILENT.get(company, never)
            if not usual_events or is_silent(day):
                continue
            level = rng.uniform(0.8, 1.2) * (0.4 if day.weekday() >= 5 else 1)
            usage[company, day] = max(1, round(usual_users * level)), round(usual_events * level)
    return usage


def api_answers(ordinary: Usage) -> Iterator[tuple[date, datetime, Usage]]:
    """Every answer of the usage API: the day asked for, the load time, the companies in it."""
    for day in DAYS[:-1]:
        truth = {key: numbers for key, numbers in ordinary.items() if key[1] == day}
        for key, special in COUNTED_BY_API.items():
            if key[1] == day:
                users, events = truth.get(key, (1, 0))
                truth[key] = users, events + special
        if SILENT[ANSWERED_WITH_ZEROS](day):
            truth[ANSWERED_WITH_ZEROS, day] = 0, 0
        asked_at = midnight(day) + timedelta(days=1, hours=2)
        if day == OUTAGE_DAY:
            yield day, OUTAGE_ANSWERED_AT, truth
        elif day == REDELIVERED_DAY:
            kept = {(NOT_REDELIVERED, day): truth.pop((NOT_REDELIVERED, day))}
            partial = {
                key: (users * 3 // 5, events * 3 // 5) for key, (users, events) in truth.items()
            }
            yield day, asked_at, partial | kept
            yield day, REDELIVERED_AT, truth
        else:
            yield day, asked_at, truth


def product_usage_daily(answers: list[tuple[date, datetime, Usage]]) -> Iterator[Row]:
    for day, loaded_at, usage in answers:
        for (company, _), (users, events) in usage.items():
            yield [company, str(day), str(users), str(events), str(loaded_at)]


def usage_answers(answers: list[tuple[date, datetime, Usage]]) -> Iterator[Row]:
    for day, loaded_at, _ in answers:
        yield [str(day), str(loaded_at)]


def fact_events(ordinary: Usage, rng: random.Random) -> Iterator[Row]:
    """Each company-day's events in a few rows, loaded in the batch at 20 past that follows."""
    rows = []
    for (company, day), (_, events) in ordinary.items():
        cuts = sorted(rng.sample(range(1, events), min(events, rng.randint(5, 7)) - 1))
        for low, high in zip([0, *cuts], [*cuts, events], strict=True):
            happened_at = midnight(day) + timedelta(seconds=rng.randrange(86_400))
            rows.append((happened_at, company, high - low))
    for number, (happened_at, company, events) in enumerate(sorted(rows), start=1):
        loaded_at = next_load(happened_at, minute=20)
        if loaded_at < END:
            event_id = f"evt-{number:06}"
            yield [event_id, company, f"{happened_at}+00:00", str(events), "false", str(loaded_at)]


def main() -> None:
    """Write the raw tables of the domain."""
    ordinary = ordinary_usage(random.Random(1))
    answers = list(api_answers(ordinary))
    write(
        "crm_daily",
        "company_id name country industry_tag last_contact_at load_date loaded_at",
        crm_daily(),
        SPECIAL_CRM,
    )
    write(
        "product_usage_daily",
        "company_id usage_date active_users events loaded_at",
        product_usage_daily(answers),
    )
    write("usage_answers", "usage_date loaded_at", usage_answers(answers))
    write(
        "fact_events",
        "event_id company_id event_timestamp events is_deleted loaded_at",
        fact_events(ordinary, random.Random(5)),
        SPECIAL_FACT_EVENTS,
    )
