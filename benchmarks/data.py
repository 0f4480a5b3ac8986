"""Raw events for the benchmark: made by DuckDB out of row numbers, in the order of their loading.

Everything about a row follows from its number, so any stretch of rows can be made at any time, in
any file, and is the same there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

HISTORY = timedelta(days=364)
START = datetime(2024, 1, 1, 12)

# 1 % of the rows are late, by up to 20 days (evenly).
LATE_DAYS = 20

_SCHEMA = """
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

# Half a percent of the rows deliver an earlier row again: the first half of them just as it was,
# the others with a new value or as deleted. `origin` is the row that they repeat.
_ROWS = """
with numbered as (

    select
        row_number,
        hash(row_number, {seed}) as chance,
        cast((chance >> 8) % {redelivered_within} as bigint) as distance,
        if(chance % 200 = 0, greatest(row_number - distance, {first}), row_number) as origin,
        (chance >> 40) % 100 as fate
    from range({first}, {end}) as rows (row_number)

),

described as (

    select
        row_number,
        hash(origin, {seed} + 1) as nature,
        hash(origin, {seed} + 2) as who,
        hash(if(fate < 50, origin, row_number), {seed} + 3) as measure,
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


@dataclass(frozen=True)
class Stream:
    """The rows of both tables at a constant daily volume: `scale` million in the whole history."""

    scale: float

    @property
    def rows_per_hour(self) -> float:
        return self.scale * 1e6 / (HISTORY / timedelta(hours=1))

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
        for seed, statement in ((10, _FACT_EVENTS), (20, _ENGAGEMENT_EVENTS)):
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
            connection.execute(statement.format(rows=rows))
        return end_row - first_row


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """The contract's raw tables of events, empty."""
    connection.execute(_SCHEMA)
