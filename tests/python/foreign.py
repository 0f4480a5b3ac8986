"""Raw tables of somebody else: six shapes, each wrong in its own way, of the same few events."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb

CLOCK = datetime(2025, 10, 15, 12)
DAYS, COMPANIES, EACH = 10, 3, 4
EVENTS = DAYS * COMPANIES * EACH

_EVENTS = f"""
    select
        i as number,
        1000 + i % {COMPANIES} as company,
        i % 2 as person,
        timestamp '2025-10-01 08:00:00' + interval (i // {COMPANIES * EACH}) day
            + interval (i % {COMPANIES * EACH}) minute as happened_at
    from range({EVENTS}) as numbers (i)
"""

# What is wrong -> the table as its loader makes it, from the events.
TABLES = {
    "another name, zoned times, no count": f"""
        create table raw.tracks as
        select
            uuid() as id, 'a' || person as anonymous_id, 'u' || person as user_id,
            company as account_id, 'Clicked' as event,
            timezone('UTC', happened_at) as timestamp,
            timezone('UTC', happened_at + interval 2 minute) as received_at
        from ({_EVENTS})
    """,
    "other names, load times as milliseconds": f"""
        create table raw.product_usage_daily as
        select
            company as account, cast(happened_at as date) as day,
            count(distinct person) as dau, count(*) as event_count,
            epoch_ms(max(happened_at)) + 86400000 as synced_at
        from ({_EVENTS}) group by all
    """,
    "days and load times as text": f"""
        create table raw.usage_answers as
        select distinct
            strftime(happened_at, '%Y-%m-%d') as usage_date,
            strftime(happened_at + interval 1 day, '%Y-%m-%dT23:00:00Z') as loaded_at
        from ({_EVENTS})
    """,
    "current state, integer ids, no day": f"""
        create table raw.crm_daily as
        select distinct
            company as id, 'Company ' || company as account_name, 'DE' as billing_country,
            timestamptz '2025-10-05 10:00:00+02' as last_activity_at,
            timestamptz '2025-10-12 03:00:00+02' as _fivetran_synced
        from ({_EVENTS})
    """,
    "names in camel case, event times as seconds, soft deletes": f"""
        create table raw.engagement_events as
        select
            'e' || number as "eventId", person as "userId", company as "serverId",
            cast(epoch(happened_at) as bigint) as ts, 'chat' as feature,
            cast(1.5 as double) as minutes,
            if(number = 0, happened_at, null) as deleted_at,
            happened_at + interval 1 hour as _airbyte_extracted_at
        from ({_EVENTS})
    """,
    "times of New York, JSON by another name": f"""
        create table raw.learner_events as
        select
            number as id, 'u' || person as user_id, 'page_view' as type,
            timezone('America/New_York', timezone('UTC', happened_at)) as ts,
            json_object('page_id', person) as properties,
            happened_at + interval 2 minute as received_at
        from ({_EVENTS})
    """,
}
_NAMES = "fact_events product_usage_daily usage_answers crm_daily engagement_events learner_events"
SOURCES = dict(zip(TABLES, _NAMES.split(), strict=True))
VARIABLES = {
    "domains": ["company", "engagement", "learning"],
    "raw_identifiers": {"fact_events": "tracks"},
}


def create(path: Path) -> None:
    """A database file with these raw tables."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema raw")
        for table in TABLES.values():
            connection.execute(table)
