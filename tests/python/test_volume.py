"""The generic test `volume_drop`: drops are planted in tables made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tidemark.engine import Dbt

PROJECT = Path(__file__).parents[2]
A_WEDNESDAY = date(2025, 10, 15)
NOON_AFTER = datetime(2025, 10, 16, 12)
WEEKS = 9
LEDGER_ROW = (
    "insert into ops.etl_job_runs by name select 1 as ledger_entry, 'fact_events_daily' as"
    " job_name, 'model' as job_type, 'success' as status, {clock} as as_of, {clock} as"
    " last_processed_timestamp"
)

Judge = Callable[..., int]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """One domain, and as much of it as the test reads: a staging view, a mart, the ledger."""
    home = tmp_path_factory.mktemp("volume")
    path = home / "tidemark.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema raw")
        connection.execute("create schema marts")
        connection.execute(
            "create table raw.crm_daily (company_id varchar, name varchar, country varchar,"
            " industry_tag varchar, last_contact_at timestamp, load_date date, loaded_at timestamp)"
        )
        connection.execute(
            "create table marts.fact_events_daily"
            " (company_id varchar, activity_date date, event_rows bigint)"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(path))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        dbt = Dbt(PROJECT, "demo", {"domains": ["company"]}, home / "target")
        made = dbt.call("run", "--select", "stg_crm_daily", "etl_job_watermarks", as_of=NOON_AFTER)
        assert made.success
    return dbt


@pytest.fixture
def judge(project: Dbt, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Fill the tables with as many rows a day, and count the days that the test finds."""
    path = Path(str(project.target_path)).parent / "tidemark.duckdb"
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(path))
    monkeypatch.setenv("DBT_LOG_PATH", str(path.parent / "logs"))

    def count(
        rows: dict[date, int],
        model: str = "stg_crm_daily",
        as_of: datetime = NOON_AFTER,
        watermark: datetime = NOON_AFTER,
        *behind: str,
    ) -> int:
        with duckdb.connect(str(path)) as connection:
            connection.execute("delete from raw.crm_daily")
            connection.execute("delete from marts.fact_events_daily")
            connection.execute("delete from ops.etl_job_runs")
            connection.execute(LEDGER_ROW.format(clock=f"timestamp '{watermark}'"))
            days = [[day, number] for day, number in rows.items() if number]
            connection.execute("create or replace temp table days (load_date date, number int)")
            connection.executemany("insert into days values (?, ?)", days)
            connection.execute(
                "insert into raw.crm_daily by name select 'c' || company as company_id, load_date,"
                " load_date + interval 1 hour as loaded_at"
                " from days, lateral (select unnest(range(number)) as company)"
            )
            connection.execute(
                "insert into marts.fact_events_daily select 'c', load_date, number from days"
            )
            for statement in behind:
                connection.execute(statement)
        tested = project.call("test", "--select", f"{model},test_name:volume_drop", as_of=as_of)
        (result,) = tested.results_of("test")
        assert result.status in ("pass", "warn"), result.message
        assert (result.status == "warn") == (result.failures > 0)
        return int(result.failures)

    return count


def history(weeks: int = WEEKS, usual: int = 100, **weekdays: int) -> dict[date, int]:
    """As many rows on each of the days up to the Wednesday; other numbers for some weekdays."""
    days = [A_WEDNESDAY - timedelta(days=back) for back in range(7 * weeks)]
    return {day: weekdays.get(f"{day:%a}", usual) for day in days}


@pytest.mark.parametrize(("rows", "found"), [(91, 0), (90, 0), (89, 1), (0, 0)])
def test_more_than_a_tenth_fewer_is_a_drop(judge: Judge, rows: int, found: int) -> None:
    # nothing on the last day at all: it has not come yet, which is the freshness check's to say
    assert judge(history() | {A_WEDNESDAY: rows}) == found


@pytest.mark.parametrize(("rows", "found"), [(91, 0), (89, 1), (0, 1)])
def test_a_drop_is_seen_for_a_week(judge: Judge, rows: int, found: int) -> None:
    assert judge(history() | {A_WEDNESDAY - timedelta(days=6): rows}) == found
    assert judge(history() | {A_WEDNESDAY - timedelta(days=7): rows}) == 0


def test_a_day_is_compared_with_its_weekday(judge: Judge) -> None:
    assert judge(history(Sun=30)) == 0
    assert judge(history(Sun=0)) == 0
    assert judge(history(Sun=30) | {A_WEDNESDAY - timedelta(days=1): 30}) == 1


def test_one_bad_week_does_not_move_what_is_usual(judge: Judge) -> None:
    a_week_before = {A_WEDNESDAY - timedelta(weeks=1): 1}
    assert judge(history() | a_week_before) == 0
    assert judge(history() | a_week_before | {A_WEDNESDAY: 89}) == 1


@pytest.mark.parametrize(("weeks", "found"), [(4, 0), (5, 1)])
def test_without_a_history_there_is_no_verdict(judge: Judge, weeks: int, found: int) -> None:
    assert judge(history(weeks) | {A_WEDNESDAY: 10}) == found


def test_few_rows_are_judged_only_when_there_are_none(judge: Judge) -> None:
    day = A_WEDNESDAY - timedelta(days=2)
    assert judge(history(usual=9) | {day: 1}) == 0
    assert judge(history(usual=9) | {day: 0}) == 1


@pytest.mark.parametrize(
    ("clock", "found"), [(datetime(2025, 10, 16, 1, 59), 0), (datetime(2025, 10, 16, 2), 1)]
)
def test_a_day_is_judged_when_it_is_complete(judge: Judge, clock: datetime, found: int) -> None:
    assert judge(history() | {A_WEDNESDAY: 50}, as_of=clock) == found


def test_redeliveries_and_bad_rows_do_not_fill_a_gap(judge: Judge) -> None:
    again = "insert into raw.crm_daily select * from raw.crm_daily"
    bad = (
        "insert into raw.crm_daily by name select 'bad' || i as company_id, date '2025-10-15' as"
        " load_date, timestamp '2025-10-13' as loaded_at from range(50) as more(i)"
    )
    drop = history() | {A_WEDNESDAY: 89}
    assert judge(drop, "stg_crm_daily", NOON_AFTER, NOON_AFTER, again, bad) == 1


def test_marts_are_judged_by_their_watermark(judge: Judge) -> None:
    drop = history(usual=1000) | {A_WEDNESDAY: 500}
    assert judge(drop, "fact_events_daily", watermark=datetime(2025, 10, 15, 23)) == 0
    assert judge(drop, "fact_events_daily") == 1
    # what the ledger does not know, by the clock
    unknown = "delete from ops.etl_job_runs"
    assert judge(drop, "fact_events_daily", NOON_AFTER, NOON_AFTER, unknown) == 1
    # below a thousand events chance alone makes such drops
    assert judge(history(usual=999) | {A_WEDNESDAY: 500}, "fact_events_daily") == 0
