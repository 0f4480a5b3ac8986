"""`tidemark gaps`, `tidemark backfill` and `tidemark run --heal`: the arithmetic, then the demo."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from exact.marts import place
from rich.console import Console
from test_cli import Demo
from typer.testing import CliRunner

from tidemark import backfill, cli
from tidemark.backfill import (
    Repair,
    Repairs,
    Step,
    chosen_tables,
    next_day,
    steps_of,
    tables_to_test,
)
from tidemark.build import Failure, read_build
from tidemark.clock import Interval
from tidemark.engine import Dbt, DbtError
from tidemark.gaps import Finding, Look, Recheck, TableDay, joined, rechecks, strip
from tidemark.judgement import Judgement
from tidemark.lineage import Lineage, StoredMart
from tidemark.report.build import show_build

PROJECT = Path(__file__).parents[2]
FIRST = date(2025, 10, 1)
ONE_DAY = timedelta(days=1)


def finding(offset: int | None, **given: Any) -> Finding:
    day = None if offset is None else FIRST + offset * ONE_DAY
    usual: dict[str, Any] = {
        "model": "stats",
        "entity": "7",
        "state": "missing",
        "rows": 2,
        "columns": None,
        "decision": "planned",
        "reason": "missing",
        "plan_day": day,
        "plan_order": None if offset is None else 10 - offset,
    }
    return Finding(day=day, **{**usual, **given})


# ---- arithmetic ----


def test_consecutive_days_are_one_range() -> None:
    ranges = joined(finding(offset) for offset in (5, 1, 0, 2))
    assert [(r.first, r.last, r.days, r.rows) for r in ranges] == [
        (FIRST, FIRST + 2 * ONE_DAY, 3, 6),
        (FIRST + 5 * ONE_DAY, FIRST + 5 * ONE_DAY, 1, 2),
    ]


@pytest.mark.parametrize(
    "other", [{"model": "sessions"}, {"entity": "8"}, {"state": "different"}, {"decision": "later"}]
)
def test_what_differs_is_a_range_of_its_own(other: dict[str, str]) -> None:
    ranges = joined([finding(0), finding(1, **other), finding(2)])
    assert sorted(each.days for each in ranges) == [1, 1, 1]


def test_without_a_day_there_is_no_range() -> None:
    (one, two) = joined([finding(None), finding(None, entity="8")])
    assert (one.first, one.last, one.days, two.days) == (None, None, 0, 0)


def window(days: int) -> tuple[date, date]:
    return FIRST, FIRST + days * ONE_DAY


def test_a_strip_has_a_cell_per_day() -> None:
    days = [
        TableDay("stats", FIRST, 4, 1),
        TableDay("stats", FIRST + 2 * ONE_DAY, 4, 2, is_current=True),
    ]
    cells = strip(days, window(3))
    assert [(c.partitions, c.damaged, c.is_current) for c in cells] == [
        (4, 1, False),
        (0, 0, False),
        (0, 0, True),
    ]


@pytest.mark.parametrize("days", [1, 59, 60, 61, 90, 365])
def test_a_strip_counts_every_day_once_and_is_never_too_long(days: int) -> None:
    known = [TableDay("stats", FIRST + n * ONE_DAY, n + 1, n % 2) for n in range(days)]
    cells = strip(known, window(days), most=60)
    assert len(cells) <= 60
    assert sum(cell.partitions for cell in cells) == sum(day.partitions for day in known)
    assert sum(cell.damaged for cell in cells) == sum(day.damaged for day in known)


def test_a_table_without_days_is_one_cell() -> None:
    (cell,) = strip([TableDay("names", None, 12, 1)], window(30))
    assert (cell.partitions, cell.damaged) == (12, 1)


def test_the_newest_day_comes_first_after_those_of_priority() -> None:
    plan = [finding(0, plan_order=1), finding(3, plan_order=2), finding(2, plan_order=3)]
    plan += [finding(5, decision="later", plan_order=8), finding(3, model="more", plan_order=1)]
    done: list[date] = []
    while (day := next_day(plan, done, even_few=False)) is not None:
        done.append(day)
    # the third day is first in the order of another domain, and newer than the one of priority
    assert done == [FIRST + 3 * ONE_DAY, FIRST, FIRST + 2 * ONE_DAY]


def test_few_are_left_alone_unless_asked() -> None:
    plan = [finding(0, decision="below minimum")]
    assert next_day(plan, [], even_few=False) is None
    assert next_day(plan, [], even_few=True) == FIRST


MARTS = {
    name: StoredMart(name, domain, strategy)
    for name, domain, strategy in [
        ("stats", "web", "partitions"),
        ("sessions", "web", "sessions"),
        ("teams", "web", "full"),
        ("usage", "company", "replay"),
    ]
}


@pytest.mark.parametrize(
    ("interval", "lengths"), [(Interval.DAILY, [1] * 16), (Interval.WEEKLY, [7, 7, 2])]
)
def test_a_window_in_steps(interval: Interval, lengths: list[int]) -> None:
    steps = steps_of(MARTS.values(), window(16), interval)
    *by_day, last = steps
    assert [(step.end - step.first).days for step in by_day] == lengths
    assert by_day[0].first == FIRST
    assert all(one.end == two.first for one, two in pairwise(by_day))
    assert {step.tables for step in by_day} == {("stats", "sessions")}
    # what would be rewritten to the end by each step is done once
    assert last == Step(*window(16), ("teams", "usage"))


def test_a_domain_is_restated_together() -> None:
    assert [mart.name for mart in chosen_tables(MARTS, ["stats"])] == ["sessions", "stats", "teams"]
    assert [mart.name for mart in chosen_tables(MARTS, ["company"])] == ["usage"]
    assert len(chosen_tables(MARTS, [])) == len(MARTS)
    with pytest.raises(ValueError, match="no domain or table tides"):
        chosen_tables(MARTS, ["stats", "tides"])


def test_only_tables_without_known_damage_are_tested() -> None:
    repairs = [Repair(FIRST, {"stats": 1, "sessions": 2}, repaired=3, failed=0)]
    assert tables_to_test(repairs, [finding(3, decision="later")]) == (["sessions"], ["stats"])
    assert tables_to_test(repairs, [finding(3, decision="today")]) == (["sessions", "stats"], [])


def test_what_is_doubtful_is_compared_again_by_entity() -> None:
    doubtful = {"decision": "doubtful", "strategy": "partitions"}
    replayed = {"decision": "doubtful", "strategy": "replay", "model": "usage"}
    found = [
        *(finding(offset, **doubtful) for offset in (0, 1, 5)),
        finding(1, **{**doubtful, "model": "sessions", "entity": "8"}),
        *(finding(offset, entity="acme", **replayed) for offset in (2, 3)),
        finding(9, **{**doubtful, "decision": "later"}),
        finding(9),
    ]
    day = [FIRST + offset * ONE_DAY for offset in range(8)]
    assert rechecks(found) == [
        Recheck(("usage",), ("acme",)),
        Recheck(("sessions", "stats"), ("7", "8"), (day[0], day[2])),
        Recheck(("stats",), ("7",), (day[5], day[6])),
    ]
    assert rechecks(found)[0].coverage == {"from_first_day": True, "entity": ["acme"]}
    assert rechecks(found)[2].coverage == {
        "start": "2025-10-06",
        "end": "2025-10-07",
        "entity": ["7"],
    }
    assert rechecks([finding(0)]) == []


def test_exit_codes_of_repairs() -> None:
    known = Look(datetime(2025, 10, 15), window(30), ["stats"])
    failure = Failure("stats", "model", "no such column")
    done = Repair(FIRST, {"stats": 1}, repaired=1, failed=0)
    assert Repairs(known, [done]).exit_code == 0
    assert Repairs(known, [done, replace(done, failed=1)]).exit_code == 1
    assert Repairs(known, [replace(done, failures=[failure])]).exit_code == 1
    assert Repairs(replace(known, failures=[failure])).exit_code == 1
    assert Repairs(known, [done], failures=[failure]).exit_code == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--start", "2025-10-01"], "both --start and --end"),
        (["--start", "2025-10-02", "--end", "2025-10-02"], "is not before the end"),
        (["--start", "2025-10-03", "--end", "2025-10-02"], "is not before the end"),
        (["--start", "soon", "--end", "2025-10-02"], "not an ISO 8601 time"),
        (["--start", "2025-10-01", "--end", "2025-10-02", "--apply"], "belong to the plan"),
        (["--start", "2025-10-01", "--end", "2025-10-02", "--json"], "add --yes"),
        (["--interval", "daily"], "belong to a window"),
        (["--start", "2025-10-01", "--end", "2025-10-02", "--max-days", "3"], "belong to the plan"),
        (["--max-days", "0"], "greater than or equal to 1"),
        (["--interval", "hourly"], "hourly"),
        (["--days", "0"], "greater than or equal to 1"),
    ],
)
def test_usage_errors(args: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dbt, "_invoke", None)
    ran = CliRunner().invoke(cli.app, ["backfill", *args])
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.replace("│", " ").split())


# ---- on the demo ----


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Two domains at the seed clock, built once; between them they have tables of every kind."""
    home = tmp_path_factory.mktemp("gaps")
    variables = {"domains": ["company", "web"]}
    dbt = Dbt(PROJECT, "demo", variables, home / "target", listeners=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        dbt.call("seed").raise_if_failed()
        dbt.call("run").raise_if_failed()
        dbt.call("snapshot").raise_if_failed()
    return Demo(home / "tidemark.duckdb", dbt)


@pytest.fixture
def tidemark(sound: Demo, tmp_path: Path) -> Demo:
    shutil.copy(sound.path, tmp_path / sound.path.name)
    return Demo(tmp_path / sound.path.name, sound.dbt)


def harm(tidemark: Demo) -> None:
    """Three days of a team are deleted, and a company's day is edited."""
    tidemark.sql(
        "delete from intermediate.web_hourly_stats where team_id = 1"
        " and cast(period_bucket as date) between '2025-10-05' and '2025-10-07'"
    )
    tidemark.sql(
        "update marts.fact_events_daily set events = events + 1"
        " where company_id = 'acme' and activity_date = '2025-10-06'"
    )


def rows_of(tidemark: Demo, table: str) -> list[Any]:
    return tidemark.sql(f"select * exclude (record_loaded_at) from {place(table)} order by all")


def test_gaps_are_told_as_ranges(tidemark: Demo) -> None:
    harm(tidemark)
    told = tidemark.json("gaps", "--days", "14")
    assert told["as_of"] == "2025-10-15T12:00:00"
    gaps = {gap["model"]: gap for gap in told["gaps"]}
    stats, events = gaps["web_hourly_stats"], gaps["fact_events_daily"]
    assert (stats["entity"], stats["first"], stats["last"]) == ("1", "2025-10-05", "2025-10-07")
    assert (stats["state"], stats["days"], stats["decision"]) == ("missing", 3, "planned")
    assert (events["entity"], events["days"], events["rows"]) == ("acme", 1, 1)
    assert len(told["gaps"]) == 2
    days = {
        day["day"]: day
        for table in told["tables"]
        for day in table["days"]
        if table["table"] == "web_hourly_stats"
    }
    assert days["2025-10-06"]["damaged"] == 1
    assert days["2025-10-08"]["damaged"] == 0
    assert days["2025-10-15"]["is_current"]
    shown = tidemark("gaps", "--table", "web_hourly_stats", "--entity", "1", "--days", "14").stdout
    assert "web_hourly_stats ▁▁▁▁███▁▁·▁▁▁▁? 13 3" in " ".join(shown.split())
    assert "acme" not in shown
    # fewer days than the gap is old: it is not there, but not forgotten either
    fewer = tidemark("gaps", "--table", "web_hourly_stats", "--days", "3").stdout
    assert "No gaps." in fewer
    assert "Besides, 3 partitions outside of that" in fewer
    assert tidemark("gaps", "--table", "tides").exit_code == 2


def test_a_domain_is_looked_at_and_planned_alone_within_the_cap(tidemark: Demo) -> None:
    harm(tidemark)
    found = tidemark.json("gaps", "--select", "company")
    assert {gap["model"] for gap in found["gaps"]} == {"fact_events_daily"}
    assert {each["table"] for each in found["tables"]} >= {"fact_events_daily", "dim_companies"}

    def decided(*options: str) -> list[tuple[str, str, str]]:
        plan = tidemark.json("backfill", "--select", "web", "--below-minimum", *options)["plan"]
        return sorted((each["model"], each["day"], each["decision"]) for each in plan)

    asked = ["2025-10-05", "2025-10-06", "2025-10-07"]
    all_of_them = [("web_hourly_stats", day, "planned") for day in asked]
    assert decided() == all_of_them
    newest = [(*each[:2], "later") for each in all_of_them[:2]] + all_of_them[2:]
    assert decided("--max-days", "1") == newest
    applied = ("backfill", "--select", "web", "--max-days", "1", "--apply", "--below-minimum")
    repaired = tidemark.json(*applied)["repairs"]
    assert [(each["day"], each["repaired"]) for each in repaired] == [("2025-10-07", 1)]
    refused = tidemark("gaps", "--select", "tide")
    assert refused.exit_code == 2
    assert "there is no domain or table tide" in " ".join(refused.stderr.split())


def test_today_is_told_only_when_all_is(tidemark: Demo) -> None:
    tidemark.sql("delete from marts.fact_events_daily where activity_date = '2025-10-15'")
    asked = ("gaps", "--table", "fact_events_daily", "--days", "2")
    assert tidemark.json(*asked)["gaps"] == []
    everything = tidemark.json(*asked, "--all")["gaps"]
    assert {gap["decision"] for gap in everything} == {"today"}


def test_what_cannot_be_compared_is_no_good_news(tidemark: Demo) -> None:
    tidemark.sql("alter table raw.fact_events rename column events to event_count")
    told = tidemark.json("gaps", exit_code=1)
    assert [failure["node"] for failure in told["failures"]] == ["fact_events_daily"]
    assert "fact_events_daily" not in {table["table"] for table in told["tables"]}
    shown = tidemark("gaps")
    assert shown.exit_code == 1
    assert "nothing is known of them: fact_events_daily" in " ".join(shown.stdout.split())


def test_backfill_shows_first_and_repairs_when_told(tidemark: Demo, sound: Demo) -> None:
    harm(tidemark)
    tidemark.sql("update marts.fact_events_daily set record_loaded_at = '2000-01-01'")
    told = tidemark.json("backfill")
    assert {each["decision"] for each in told["plan"]} == {"planned"}
    assert told["repairs"] == []
    assert tidemark.sql("select * from ops.requested_partitions") == []
    assert rows_of(tidemark, "web_hourly_stats") != rows_of(sound, "web_hourly_stats")

    told = tidemark.json("backfill", "--apply")
    assert [(r["day"], r["repaired"], r["failed"]) for r in told["repairs"]] == [
        ("2025-10-07", 1, 0),
        ("2025-10-06", 2, 0),
        ("2025-10-05", 1, 0),
    ]
    for table in ("web_hourly_stats", "web_hourly_bounces", "fact_events_daily"):
        assert rows_of(tidemark, table) == rows_of(sound, table)
    rewritten = tidemark.sql(
        "select company_id, activity_date from marts.fact_events_daily"
        " where record_loaded_at <> '2000-01-01' and activity_date < '2025-10-12'"
    )
    assert rewritten == [("acme", date(2025, 10, 6))]
    outcomes = tidemark.sql("select outcome, count(*) from ops.backfill_attempts group by all")
    assert dict(outcomes) == {"started": 4, "repaired": 4}
    assert "Nothing is to be repaired." in tidemark("backfill").stdout


def test_a_day_that_fails_does_not_stop_the_others(
    tidemark: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(tidemark)
    build = backfill.build_started

    def break_one_day(dbt: Dbt, as_of: datetime, started: backfill.Started) -> list[Failure]:
        if started.window and started.window[0] == date(2025, 10, 6):
            raise DbtError("the disk is full")
        return build(dbt, as_of, started)

    monkeypatch.setattr(backfill, "build_started", break_one_day)
    ran = tidemark("backfill", "--apply")
    assert ran.exit_code == 1
    shown = " ".join(ran.stdout.split())
    assert "2025-10-06: 0 repaired, 2 failed." in shown
    assert "the disk is full" in shown
    assert "2025-10-05: 1 repaired." in shown
    failed = tidemark.sql(
        "select model_name, day, error_message from ops.backfill_attempts"
        " where outcome = 'failed' order by all"
    )
    assert [(model, day) for model, day, _ in failed] == [
        ("fact_events_daily", date(2025, 10, 6)),
        ("web_hourly_stats", date(2025, 10, 6)),
    ]
    assert all("the disk is full" in message for *_, message in failed)
    # nothing waits to be rewritten by whatever builds next
    assert tidemark.sql("select * from ops.requested_partitions where done_at is null") == []


def lose(tidemark: Demo, *days: str) -> None:
    """Delete days of a team; those before the window only a test of the whole table sees."""
    told = ", ".join(f"'{day}'" for day in days)
    tidemark.sql(
        "delete from intermediate.web_hourly_stats where team_id = 1"
        f" and cast(period_bucket as date) in ({told})"
    )


def failed_tests_of(tidemark: Demo, table: str) -> list[str]:
    messages = tidemark.sql(
        "select error_message from ops.etl_job_runs where status = 'failed'"
        f" and job_name = '{table}' and error_message like 'Test %'"
    )
    return [message for (message,) in messages]


def test_a_test_that_fails_after_a_repair_is_tried_again_until_it_passes(tidemark: Demo) -> None:
    lose(tidemark, "2025-09-05", "2025-10-05")
    repair = ("backfill", "--apply", "--below-minimum", "--table", "web_hourly_stats")
    told = tidemark.json(*repair, exit_code=1)
    assert [(r["repaired"], r["failed"]) for r in told["repairs"]] == [(1, 0)]
    failed = failed_tests_of(tidemark, "web_hourly_stats")
    assert len(failed) == len(told["failures"])
    assert any("every_row_is_accounted_for" in message for message in failed)
    figures = {(f["metric"], f["subject"]): f["level"] for f in tidemark.json("status")["figures"]}
    assert figures["job_failures", "web_hourly_stats"] == "warning"

    def decision() -> tuple[str, str]:
        decisions = {each["model"]: each for each in tidemark.json("check")["models"]}
        return decisions["web_hourly_stats"]["state"], decisions["web_hourly_stats"]["reason"]

    assert decision() == ("new", "It or a test of it failed the last time.")
    assert tidemark.json(*repair, "--days", "45")["failures"] == []
    # its build was a success, and no test has failed since
    assert decision()[0] == "unchanged"


def test_a_test_that_fails_in_a_run_that_heals_is_kept(tidemark: Demo) -> None:
    lose(tidemark, "2025-09-05", "2025-10-05", "2025-10-06", "2025-10-07")
    # of days that a build does not write, it tests those that have not passed
    tidemark.sql("delete from ops.test_results")
    told = tidemark.json("run", "--heal", exit_code=1)
    assert (told["healing"]["repaired"], told["healing"]["failed"]) == (3, 0)
    failed = failed_tests_of(tidemark, "web_hourly_stats")
    assert any("every_row_is_accounted_for" in message for message in failed)


def test_a_table_without_days_is_repaired_before_what_is_built_on_it(
    tidemark: Demo, sound: Demo
) -> None:
    tidemark.sql("delete from intermediate.reported_days where usage_date >= '2025-10-01'")
    ran = tidemark("backfill", "--apply")
    assert ran.exit_code == 0
    assert rows_of(tidemark, "reported_days") == rows_of(sound, "reported_days")
    assert rows_of(tidemark, "company_daily_usage") == rows_of(sound, "company_daily_usage")
    assert "Nothing is to be repaired." in tidemark("backfill").stdout


def test_a_window_is_restated_in_all_tables_of_the_domain(tidemark: Demo, sound: Demo) -> None:
    tables = ("web_hourly_stats", "web_sessions", "web_hourly_bounces")
    for table in tables:
        tidemark.sql(
            f"update {place(table)} set record_loaded_at = '2000-01-01', team_id = team_id"
        )
    tidemark.sql("delete from intermediate.web_hourly_stats where period_bucket >= '2025-10-08'")
    asked = ("backfill", "--start", "2025-10-01", "--end", "2025-10-13", "--interval", "weekly")
    told = tidemark.json(*asked, "--select", "web_hourly_stats", "--yes", exit_code=1)
    by_day = [step for step in told["steps"] if "web_hourly_stats" in step["tables"]]
    assert [(step["first_day"], step["end_day"]) for step in by_day] == [
        ("2025-10-01", "2025-10-08"),
        ("2025-10-08", "2025-10-13"),
    ]
    assert set(tables) == set(by_day[0]["tables"])
    for table, day in zip(tables, ("period_bucket", "session_start", "period_bucket"), strict=True):
        ((first, last),) = tidemark.sql(
            f"select min({day})::date, max({day})::date from {place(table)}"
            " where record_loaded_at <> '2000-01-01'"
        )
        assert first >= date(2025, 9, 30)
        assert last == date(2025, 10, 12)
    # the days after the window are still missing, and the tests say so
    assert any("every_row_is_accounted_for" in each["node"] for each in told["failures"])
    told = tidemark.json(*asked[:4], "2025-10-15T12:00:00", "--select", "web", "--yes")
    assert told["failures"] == []
    assert rows_of(tidemark, "web_hourly_stats") == rows_of(sound, "web_hourly_stats")


def test_what_is_wrong_with_a_window_is_said_before_anything_is_touched(tidemark: Demo) -> None:
    before = tidemark.sql("select count(*) from ops.etl_job_runs")
    window = ("backfill", "--start", "2025-10-10", "--end")
    later = tidemark(*window, "2025-10-16", "--yes")
    assert later.exit_code == 2
    assert "lies after the clock" in " ".join(later.stderr.replace("│", " ").split())
    assert tidemark(*window, "2025-10-12", "--select", "tides", "--yes").exit_code == 2
    declined = tidemark(*window, "2025-10-12", "--select", "web")
    assert "Shall these days be rewritten?" in declined.stdout
    assert declined.exit_code == 1
    assert tidemark.sql("select count(*) from ops.etl_job_runs") == before


def test_a_run_heals(tidemark: Demo, sound: Demo) -> None:
    harm(tidemark)
    told = tidemark.json("run", "--skip-exit-code", "99", exit_code=99)
    assert told["healing"] is None
    told = tidemark.json("run", "--heal", "--skip-exit-code", "99")
    assert told["healing"]["partitions"] == {"fact_events_daily": 1, "web_hourly_stats": 3}
    assert (told["healing"]["repaired"], told["healing"]["failed"]) == (4, 0)
    built = {model["model"] for model in told["build"]["models"]}
    assert {"fact_events_daily", "web_hourly_stats", "web_pre_aggregated_stats"} <= built
    assert "web_sessions" not in built
    for table in ("web_hourly_stats", "fact_events_daily"):
        assert rows_of(tidemark, table) == rows_of(sound, table)


def test_what_is_blocked_is_not_healed(tidemark: Demo) -> None:
    harm(tidemark)
    # past the limit of the web events, within that of the product events
    told = tidemark.json("run", "--heal", "--as-of", "2025-10-17T06:30:00", exit_code=3)
    assert "web_hourly_stats" not in told["healing"]["partitions"]
    # one damage alone is below the minimum
    assert told["healing"]["partitions"] == {}


def explained(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["table"]: each for each in told["touched"]}


def test_explain_says_what_a_run_then_does(tidemark: Demo) -> None:
    tidemark.sql(
        "insert into ops.requested_partitions values ('r', 'fact_events_daily', 'acme',"
        " '2025-10-01', 'a doubt', '2025-10-15 12:00', null, null)"
    )
    stored = {table: rows_of(tidemark, table) for table in ("fact_events_daily", "web_sessions")}
    later = ("--as-of", "2025-10-15T13:00:00")
    told = tidemark.json("run", "--explain", *later)
    assert told["build"] is None
    touched = explained(told)
    # the hour's two company-days, one of them of an event that came late
    assert touched["fact_events_daily"]["why"] == {"late rows": 1, "new rows": 1, "request": 1}
    assert touched["web_hourly_stats"]["why"]["redelivery"] == 1
    assert touched["web_hourly_bounces"]["follows"] == ["web_sessions"]
    assert touched["dim_web_teams"]["partitions"] is None
    assert stored == {table: rows_of(tidemark, table) for table in stored}
    assert (
        tidemark.sql(
            "select * from ops.etl_job_runs where job_type <> 'gate' and as_of > '2025-10-15 12:30'"
        )
        == []
    )

    built = {model["model"]: model for model in tidemark.json("run", *later)["build"]["models"]}
    for table in ("fact_events_daily", "web_hourly_stats", "web_sessions"):
        assert built[table]["partitions"] == touched[table]["partitions"]


def test_explain_of_a_window(tidemark: Demo) -> None:
    window = ("backfill", "--start", "2025-10-01", "--end", "2025-10-08", "--select", "company")
    told = tidemark.json(*window, "--explain")
    touched = explained(told)
    ((days, rows),) = tidemark.sql(
        "select count(distinct (company_id, activity_date)), count(*)"
        " from marts.fact_events_daily where activity_date >= '2025-10-01'"
        " and activity_date < '2025-10-08'"
    )
    assert touched["fact_events_daily"]["why"] == {"restatement": days}
    assert touched["fact_events_daily"]["rows"] == rows
    # everything from the first day on
    ((rows,),) = tidemark.sql(
        "select count(*) from intermediate.company_daily_usage where activity_date >= '2025-10-01'"
    )
    assert touched["company_daily_usage"]["rows"] == rows
    assert tidemark.sql("select * from ops.etl_job_runs where job_type = 'restatement'") == []


# ---- a full refresh that is cheaper ----


def where_any_refresh_is_cheaper(tidemark: Demo) -> Demo:
    """The same tables, of which any part that is rewritten is too much."""
    variables = {**tidemark.dbt.variables, "refresh_above": {"share": 0, "rows": 0}}
    dbt = replace(tidemark.dbt, variables=variables)
    vars(dbt)["manifest"] = tidemark.dbt.manifest
    return Demo(tidemark.path, dbt)


def test_a_run_says_what_is_cheaper_as_a_full_refresh() -> None:
    heard = SimpleNamespace(
        success=True,
        result=None,
        results=[
            SimpleNamespace(
                status="success",
                execution_time=1.0,
                node=SimpleNamespace(
                    name=table,
                    resource_type="model",
                    config=SimpleNamespace(materialized="incremental"),
                ),
            )
            for table in ("stats", "sessions")
        ],
        events={
            "job": [
                {"job": "stats", "mode": "incremental", "is_refresh_cheaper": True},
                {"job": "sessions", "mode": "incremental", "is_refresh_cheaper": False},
            ]
        },
    )
    report = read_build(heard, Lineage({}, {}, frozenset()))  # type: ignore[arg-type]
    out = Console(record=True, width=120, file=StringIO())
    show_build(out, Judgement(datetime(2025, 10, 15), [], []), report)
    assert "--select TABLE): stats.\n" in out.export_text()


def test_a_run_that_rewrote_most_of_a_table_says_so(
    tidemark: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_DEMO_PATH", str(tidemark.path))
    monkeypatch.setenv("DBT_LOG_PATH", str(tidemark.path.parent / "logs"))
    tables = ("fact_events_daily", "web_hourly_stats", "web_sessions", "web_hourly_bounces")
    eager = where_any_refresh_is_cheaper(tidemark)
    later = datetime(2025, 10, 15, 13)
    ran = eager.dbt.call("run", "--select", *tables, as_of=later)
    ran.raise_if_failed()
    jobs = ran.events["job"]
    # what is built on a table of sessions is rebuilt with that, and never on its own
    cheaper = {job["job"] for job in jobs if job["is_refresh_cheaper"]}
    assert cheaper == {*tables} - {"web_hourly_bounces"}
