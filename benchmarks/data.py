"""Raw events for the benchmark: made by DuckDB out of row numbers, in the order of their loading.

Everything about a row follows from its number, so any stretch of rows can be made at any time, in
any file, and is the same there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

START = datetime(2024, 1, 1, 12)

# 1 % of the rows are late, by up to 20 days (evenly).
LATE_DAYS = 20

_SPINE_TABLES = """
create schema if not exists raw;

create table raw.fact_events (
    event_id varchar, company_id varchar, event_timestamp timestamptz, events integer,
    is_deleted boolean, loaded_at timestamp
);

create table raw.engagement_events (
    event_id varchar, user_id varchar, server_id varchar, session_date timestamp,
    feature_used varchar, interaction_count integer, duration_minutes decimal(12, 2),
    is_deleted boolean, updated_at timestamp
);
"""

_WEB_TABLES = """
create schema if not exists raw;

create table raw.web_events (
    event_id varchar, team_id integer, person_id varchar, session_id varchar, event varchar,
    timestamp timestamp, host varchar, pathname varchar, device_type varchar, browser varchar,
    os varchar, referring_domain varchar, utm_source varchar, utm_medium varchar,
    utm_campaign varchar, country_code varchar, loaded_at timestamp
);

create table raw.web_teams as
select
    cast(number as integer) as team_id,
    'team ' || number as name,
    number % 10 > 0 as is_enabled,
    timestamp '{start}' as enabled_at,
    timestamp '{start}' as updated_at
from range(1, 201) as numbers (number);
"""

# Half a percent of the rows deliver an earlier row again, their `origin`: half of them just as it
# was, the others with a new value or as deleted, in the web with another session or time.
_ROWS = """
with numbered as (

    select
        row_number,
        hash(row_number, {seed}) as chance,
        cast((chance >> 8) % {redelivered_within} as bigint) as distance,
        if(chance % 200 = 0, greatest(row_number - distance, 0), row_number) as origin,
        (chance >> 40) % 100 as fate
    from range({first}, {end}) as rows (row_number)

),

described as (

    select
        row_number,
        hash(origin, {seed} + 1) as nature,
        hash(origin, {seed} + 2) as who,
        hash(if(fate < 50, origin, row_number), {seed} + 3) as measure,
        if(row_number <> origin, fate, 0) as fate,
        row_number <> origin and fate >= 90 as is_deleted,
        timestamp '{start}' + to_microseconds(cast(row_number * {spacing} as bigint)) as sent_at,
        timestamp '{start}' + to_microseconds(cast(origin * {spacing} as bigint)) - case
            when nature % 100 = 0 then to_seconds(cast((nature >> 8) % {late_seconds} as bigint))
            else to_seconds(0)
        end as happened_at
    from numbered

)
"""

# Few companies and servers make most of the events, and some hardly any.
_FACT_EVENTS = """
insert into raw.fact_events
{rows}
select
    printf('%016x', nature) as event_id,
    'company-' || cast(5000 * pow((who % 1000003) / 1000003.0, 2) as integer) as company_id,
    happened_at at time zone 'UTC' as event_timestamp,
    cast(1 + measure % 20 as integer) as events,
    is_deleted,
    -- loaded all day long, from a queue
    sent_at + interval 5 minutes as loaded_at
from described
"""

_ENGAGEMENT_EVENTS = """
insert into raw.engagement_events by name
{rows}
select
    printf('%016x', nature) as event_id,
    'server-' || cast(3000 * pow((who % 1000003) / 1000003.0, 2) as integer) as server_id,
    concat(server_id, '-user-', cast(200 * pow((who >> 32) % 10007 / 10007.0, 2) as integer))
        as user_id,
    happened_at as session_date,
    case when nature >> 16 & 15 > 0 then 'feature-' || (nature >> 16 & 15) end as feature_used,
    cast(1 + measure % 30 as integer) as interaction_count,
    cast((measure >> 16) % 6000 / 100 as decimal(12, 2)) as duration_minutes,
    is_deleted,
    -- refreshed upstream once an hour
    date_trunc('hour', sent_at) + interval 65 minutes as updated_at
from described
"""

# So many visitors at a time, each with a session of half an hour after the other, as the six events
# in it happen to fall. A visitor stays with a team, and few teams have most of them. A late event
# belongs to a session of its own time; one that is redelivered with another session goes to a
# neighbour's, which may be of another team and is then a session of its own.
_WEB_EVENTS = """
insert into raw.web_events by name
{rows},

visiting as (

    select
        *,
        cast(who % {visitors} as bigint) as visitor,
        if(fate between 50 and 74, visitor + 1, visitor) as named,
        (epoch_us(happened_at) + named * 1800000000 // {visitors}) // 1800000000 as half_hour,
        hash(named, half_hour, {seed}) as visit
    from described

)

select
    printf('%016x', nature) as event_id,
    cast(1 + floor(200 * pow(visitor / {visitors}, 2)) as integer) as team_id,
    concat('person-', team_id, '-', visit % 2003) as person_id,
    printf('%016x', visit) as session_id,
    case
        when nature >> 16 & 15 < 9 then '$pageview'
        when nature >> 16 & 15 < 10 then '$screen'
        when nature >> 16 & 15 < 14 then '$autocapture'
        else 'signed up'
    end as event,
    if(fate >= 75, happened_at + to_seconds(cast(measure % 3600 as bigint) - 1800), happened_at)
        as timestamp,
    concat('site-', team_id, '.example') as host,
    '/page/' || cast(40 * pow((nature >> 24) % 10007 / 10007.0, 2) as integer) as pathname,
    'device-' || (visit >> 8) % 3 as device_type,
    'browser-' || (visit >> 16) % 5 as browser,
    'os-' || (visit >> 20) % 4 as os,
    case when (visit >> 24) % 20 < 12 then 'site-' || (visit >> 24) % 20 || '.example' end
        as referring_domain,
    case when (visit >> 32) % 20 < 6 then 'source-' || (visit >> 32) % 20 end as utm_source,
    case when (visit >> 32) % 20 < 6 then 'medium-' || (visit >> 32) % 3 end as utm_medium,
    case when (visit >> 32) % 20 < 6 then 'campaign-' || (visit >> 40) % 9 end as utm_campaign,
    'country-' || (visit >> 48) % 30 as country_code,
    -- loaded all day long, from a queue
    sent_at + interval 5 minutes as loaded_at
from visiting
"""


@dataclass(frozen=True)
class Stream:
    """Rows of raw tables at a constant daily volume: `scale` million a table in the history."""

    scale: float
    history: timedelta
    tables: str
    inserts: Mapping[int, str]

    @property
    def rows_per_hour(self) -> float:
        return self.scale * 1e6 / (self.history / timedelta(hours=1))

    def create_tables(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The contract's raw tables: those of events are empty."""
        connection.execute(self.tables.format(start=START))

    def load(
        self,
        connection: duckdb.DuckDBPyConnection,
        first: datetime,
        end: datetime,
        late_days: int = LATE_DAYS,
    ) -> int:
        """Append the rows sent from one full hour to another; returns how many a table got."""
        first_row, end_row = (
            round((moment - START) / timedelta(hours=1) * self.rows_per_hour)
            for moment in (first, end)
        )
        for seed, statement in self.inserts.items():
            rows = _ROWS.format(
                seed=seed,
                first=first_row,
                end=end_row,
                start=START,
                spacing=3.6e9 / self.rows_per_hour,
                late_seconds=late_days * 86_400,
                # within three days
                redelivered_within=max(1, round(72 * self.rows_per_hour)),
            )
            visitors = max(1, round(self.rows_per_hour / 2 / 6))
            connection.execute(statement.format(rows=rows, seed=seed, visitors=visitors))
        return end_row - first_row


def spine(scale: float) -> Stream:
    inserts = {10: _FACT_EVENTS, 20: _ENGAGEMENT_EVENTS}
    return Stream(scale, timedelta(days=364), _SPINE_TABLES, inserts)


def web(scale: float, days: int = 90) -> Stream:
    return Stream(scale, timedelta(days=days), _WEB_TABLES, {30: _WEB_EVENTS})


def web_year(scale: float) -> Stream:
    """The same visitors over four times the days: so a quarter of it is `web` at a quarter."""
    return web(scale, days=360)
