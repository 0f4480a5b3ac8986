"""Raw tables whose types were widened: what differs is told, what does not fit set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from test_ledger import PROJECT, Warehouse

from tidemark.engine import Dbt, Outcome

CLOCK = datetime(2025, 10, 15, 12)
WIDENED = {
    "event_id": "bigint",
    "user_id": "uuid",
    "server_id": "varchar",
    "session_date": "varchar",
    "feature_used": "double",
    "interaction_count": "double",
    "duration_minutes": "varchar",
    "is_deleted": "varchar",
    "updated_at": "timestamptz",
}
SOUND = {
    **{"user_id": "a" * 8 + "-aaaa-aaaa-aaaa-" + "a" * 12, "server_id": "s"},
    **{"session_date": "2025-10-14 10:00:00+02", "interaction_count": "3"},
    **{"duration_minutes": "1.5", "updated_at": "2025-10-14 12:00:00+02"},
}
# what a column holds -> the reason of its row, none where it fits
VALUES: list[tuple[str, str, str | None]] = [
    ("interaction_count", "2.7", "interaction_count does not fit integer"),
    ("interaction_count", "nan", "interaction_count does not fit integer"),
    ("interaction_count", "-infinity", "interaction_count does not fit integer"),
    ("interaction_count", "9223372036854775807", "interaction_count does not fit integer"),
    ("interaction_count", "-1", "interaction_count is negative"),
    ("interaction_count", "7.0", None),
    ("duration_minutes", "2.345", "duration_minutes does not fit decimal(12,2)"),
    ("duration_minutes", "99999999999", "duration_minutes does not fit decimal(12,2)"),
    ("duration_minutes", "1e3", "duration_minutes does not fit decimal(12,2)"),
    ("duration_minutes", "2.3400", None),
    ("duration_minutes", "2", None),
    ("session_date", "14.10.2025", "session_date does not fit timestamp"),
    ("session_date", "0001-01-01 00:00:00", "session_date is before earliest_event"),
    ("session_date", "infinity", "session_date is more than 24 hours after updated_at"),
    ("session_date", "2025-10-14 08:00:00.123456789", "session_date does not fit timestamp"),
    ("session_date", "2025-10-14T08:00:00Z", None),
    ("session_date", "2025-10-14 08:00:00.123456000", None),
    ("is_deleted", "perhaps", "is_deleted does not fit boolean"),
    ("is_deleted", "False", None),
    # of 7.0 nobody knows whether it was 7
    ("feature_used", "7", "feature_used does not fit varchar"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home = tmp_path_factory.mktemp("types")
    dbt = Dbt(PROJECT, "duckdb", {"domains": ["engagement"]}, home / "target")
    built = Warehouse(home / "tidemark.duckdb", dbt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(built.path))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        columns = ", ".join(f"{name} {kind}" for name, kind in WIDENED.items())
        built.sql("create schema raw", f"create table raw.engagement_events ({columns})")
        for number, (column, value, _) in enumerate(VALUES):
            row = {"event_id": str(number), **SOUND, column: value}
            told = ", ".join(f"'{text}'::{WIDENED[name]} as {name}" for name, text in row.items())
            built.sql(f"insert into raw.engagement_events by name select {told}")
        yield built


@pytest.fixture(scope="module")
def told(warehouse: Warehouse) -> list[str]:
    """What dbt said while it built."""
    said: list[str] = []
    warehouse.dbt.listeners.append(lambda event: said.append(str(event.info.msg)))
    outcome: Outcome = warehouse.call("build", as_of=CLOCK)
    warehouse.dbt.listeners.pop()
    problems = [f"{r.node.name}: {r.message}" for r in outcome.results if r.status == "error"]
    assert outcome.success, [*outcome.errors, *problems]
    return said


def test_what_differs_is_told_by_name_before_anything_is_built(told: list[str]) -> None:
    (place,) = [i for i, text in enumerate(told) if "has other types than its contract" in text]
    assert "event_id is BIGINT, not varchar" in told[place]
    assert "interaction_count is DOUBLE, not integer" in told[place]
    assert "server_id" not in told[place]
    assert not any("created sql" in text for text in told[:place])


@pytest.mark.usefixtures("told")
def test_what_fits_is_converted_and_what_does_not_is_a_bad_row(warehouse: Warehouse) -> None:
    found: dict[str, Any] = dict(
        warehouse.sql("select row_key.split(' | ')[1], quarantine_reason from ops.quarantined_rows")
    )
    assert found == {str(n): reason for n, (_, _, reason) in enumerate(VALUES) if reason}
    ((hour, interactions, duration),) = warehouse.sql(
        "select metric_hour, total_interactions, total_duration from marts.fct_engagement_metrics"
    )
    fitting = [(column, value) for column, value, reason in VALUES if not reason]
    assert hour == datetime(2025, 10, 14, 8)
    assert interactions == sum(
        int(float(value)) if column == "interaction_count" else 3 for column, value in fitting
    )
    assert duration == sum(
        Decimal(value if column == "duration_minutes" else "1.5") for column, value in fitting
    )


@pytest.mark.usefixtures("told")
def test_load_times_that_are_none_are_told(warehouse: Warehouse) -> None:
    said: list[str] = []
    warehouse.sql("alter table raw.engagement_events alter updated_at type bigint using 1")
    warehouse.dbt.listeners.append(lambda event: said.append(str(event.info.msg)))
    warehouse.call("run", "--select", "stg_engagement_events", as_of=CLOCK)
    warehouse.dbt.listeners.pop()
    (told,) = [text for text in said if "does not fit its contract" in text]
    assert "its load time updated_at is BIGINT, no timestamp" in told
    assert "`tidemark check --contract engagement_events`" in told


_CONVERSIONS = """
{%- set told = [] -%}
{%- for actual, wanted in var('asked') -%}
    {%- do told.append(tidemark.exact_conversion('given', actual, wanted)) -%}
{%- endfor -%}
{{ tojson(told) }}
"""

# the type that a value has and the one it should have, the value, and what comes of it
EXACT: list[tuple[str, str, str, str | None]] = [
    ("DOUBLE", "INTEGER", "2.0", "2"),
    ("DOUBLE", "INTEGER", "2.7", None),
    ("DOUBLE", "INTEGER", "nan", None),
    ("DOUBLE", "INTEGER", "1e300", None),
    ("BIGINT", "INTEGER", "2147483647", "2147483647"),
    ("BIGINT", "INTEGER", "2147483648", None),
    ("UBIGINT", "INTEGER", "18446744073709551615", None),
    ("HUGEINT", "DECIMAL(12,2)", "170141183460469231731687303715884105727", None),
    ("BOOLEAN", "INTEGER", "true", None),
    ("BOOLEAN", "DECIMAL(12,2)", "true", None),
    ("INTEGER", "BOOLEAN", "1", None),
    ("DATE", "INTEGER", "2025-10-15", None),
    ("VARCHAR", "INTEGER", "-7", "-7"),
    ("VARCHAR", "INTEGER", "2.7", None),
    ("VARCHAR", "INTEGER", "1e3", None),
    ("VARCHAR", "INTEGER", " 7", None),
    ("VARCHAR", "INTEGER", "99999999999", None),
    ("VARCHAR", "DECIMAL(12,2)", "2.340", "2.34"),
    ("VARCHAR", "DECIMAL(12,2)", "2.345", None),
    ("VARCHAR", "BOOLEAN", "TRUE", "true"),
    ("VARCHAR", "BOOLEAN", "1", None),
    ("DOUBLE", "DECIMAL(12,2)", "0.1", "0.10"),
    ("FLOAT", "DECIMAL(12,2)", "0.1", "0.10"),
    ("DOUBLE", "DECIMAL(12,2)", "2.345", None),
    ("DOUBLE", "DECIMAL(12,2)", "inf", None),
    ("DECIMAL(20,3)", "DECIMAL(12,2)", "1.230", "1.23"),
    ("DECIMAL(20,3)", "DECIMAL(12,2)", "1.235", None),
    ("BIGINT", "VARCHAR", "9007199254740993", "9007199254740993"),
    ("DOUBLE", "VARCHAR", "7", None),
    ("BLOB", "VARCHAR", "abc", None),
    ("INTEGER[]", "VARCHAR", "[1]", None),
    ("STRUCT(a INTEGER)", "VARCHAR", "{'a': 1}", None),
    ("TIMESTAMP", "DATE", "2025-10-15 00:00:00", "2025-10-15"),
    ("TIMESTAMP", "DATE", "2025-10-15 10:00:00", None),
    ("TIMESTAMP WITH TIME ZONE", "DATE", "2025-10-15 02:00:00+02", "2025-10-15"),
    ("TIMESTAMP WITH TIME ZONE", "DATE", "2025-10-15 00:00:00+02", None),
    ("VARCHAR", "DATE", "2025-10-15", "2025-10-15"),
    ("VARCHAR", "DATE", "2025-10-15 10:00:00", None),
    ("VARCHAR", "DATE", "5881580-07-10", "5881580-07-10"),
    ("VARCHAR", "DATE", "15.10.2025", None),
    ("DATE", "TIMESTAMP", "2025-10-15", "2025-10-15 00:00:00"),
    ("DATE", "TIMESTAMP", "5881580-07-10", None),
    ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "2025-10-15 10:00:00+02", "2025-10-15 08:00:00"),
    ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "infinity", "infinity"),
    ("VARCHAR", "TIMESTAMP", "2025-10-15 10:00:00+02", "2025-10-15 08:00:00"),
    ("VARCHAR", "TIMESTAMP", "2025-10-15T10:00:00", "2025-10-15 10:00:00"),
    ("VARCHAR", "TIMESTAMP", "0044-03-15 (BC)", "0044-03-15 (BC) 00:00:00"),
    ("VARCHAR", "TIMESTAMP", "yesterday", None),
    ("VARCHAR", "TIMESTAMP", "2025-10-15 10:00:00.1234567", None),
    ("TIMESTAMP_NS", "TIMESTAMP", "2025-10-15 10:00:00.123456", "2025-10-15 10:00:00.123456"),
    ("TIMESTAMP_NS", "TIMESTAMP", "2025-10-15 10:00:00.123456789", None),
    ("BIGINT", "TIMESTAMP", "1760522400", None),
    ("TIME", "TIMESTAMP", "10:00:00", None),
    ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "2025-10-15 10:00:00", "2025-10-15 10:00:00 UTC"),
    ("VARCHAR", "TIMESTAMP WITH TIME ZONE", "2025-10-15 10:00+02", "2025-10-15 08:00:00 UTC"),
]


def test_nothing_becomes_another_value(warehouse: Warehouse) -> None:
    asked = [(actual, wanted) for actual, wanted, _, _ in EXACT]
    outcome = warehouse.dbt.call("compile", "--inline", _CONVERSIONS, variables={"asked": asked})
    assert outcome.success, outcome.errors
    found = []
    with duckdb.connect() as connection:
        # whatever the zone of a session
        connection.execute("set TimeZone = 'America/New_York'")
        for (actual, wanted, given, _), rule in zip(
            EXACT, json.loads(outcome.results[0].node.compiled_code), strict=True
        ):
            value = rule["value"]
            if wanted.endswith("ZONE"):
                value = f"timezone('UTC', {value}) || ' UTC'"
            text = given.replace("'", "''")
            rows = connection.execute(
                f"select case when {rule['fits']} then cast({value} as varchar) end"
                f" from (select cast('{text}' as {actual}) as given)"
            ).fetchall()
            found.append((actual, wanted, given, rows[0][0]))
    assert found == EXACT
