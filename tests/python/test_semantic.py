"""The metrics beside the marts: what MetricFlow's own `mf` answers is what the marts hold."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import PROJECT, BuiltOnce

from tidemark.engine import Dbt

SEED_CLOCK = datetime(2025, 10, 15, 12)
OUTAGE = date(2025, 10, 10)
DOMAINS = ("company", "consumers", "engagement", "learning", "web")
PAGE = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")

# A mart's rows, with the period of each, and with the last day of the mart in it.
ROWS = """
    select *, max({day}) over (partition by period) = {day} as is_last
    from (select *, cast(date_trunc('{grain}', {day}) as date) as period from {mart})
"""
COMPANIES = ("marts.company_daily_activity", "activity_date")
SERVERS = ("marts.engagement_daily", "activity_date")
VIEWS = ("marts.web_pre_aggregated_stats", "cast(period_bucket as date)")
SESSIONS = ("marts.web_pre_aggregated_bounces", "cast(period_bucket as date)")
LEARNERS = ("marts.session_metrics", "cast(session_start as date)")
MASTERY = ("marts.mastery_deltas", "activity_date")
# A snapshot at midnight is of the day before it; all consumers together have a row of their own.
SNAPSHOTS = (
    "(from marts.consumer_analytics where consumer_id is null)",
    "cast(snapshot_timestamp as date) - 1",
)
EVENTS = ("marts.consumer_events_daily", "activity_date")
# What the marts say of a week before, by the day that it is a week before of.
WEEK_BEFORE = """
    (
        select now.*, before.events_7d as events_before, before.days as days_before
        from (
            select activity_date, sum(events_7d) as events_7d, max(days_reported_7d) as days
            from marts.company_daily_activity group by activity_date
        ) as now
        left join (
            select activity_date, sum(events_7d) as events_7d, max(days_reported_7d) as days
            from marts.company_daily_activity group by activity_date
        ) as before on now.activity_date = before.activity_date + 7
    )
"""
GAINED = """
    (
        select now.*, now.total_customers - before.total_customers as gained
        from (from marts.consumer_analytics where consumer_id is null) as now
        inner join (from marts.consumer_analytics where consumer_id is null) as before
            on now.snapshot_timestamp = before.snapshot_timestamp + interval {days} day
    )
"""

# Of each metric the mart, its day, and the figure of a period.
FIGURES: dict[str, tuple[tuple[str, str], str]] = {
    "events": (COMPANIES, "sum(events)"),
    "active_companies": (
        COMPANIES,
        "case when count(events) > 0 then"
        " count(distinct company_id) filter (where active_users >= 1 or events >= 1) end",
    ),
    "days_reported": (COMPANIES, "count(distinct activity_date) filter (where events is not null)"),
    "events_7d": (COMPANIES, "sum(events_7d) filter (where is_last)"),
    "days_reported_7d": (COMPANIES, "max(days_reported_7d) filter (where is_last)"),
    "last_activity_day": (COMPANIES, "max(activity_date) - date '1970-01-01'"),
    "weekly_growth": (
        (WEEK_BEFORE, "activity_date"),
        "max(events_7d / events_before - 1)"
        " filter (where is_last and days = 7 and days_before = 7)",
    ),
    "companies_at_risk": (
        COMPANIES,
        "case when count(is_churn_risk) filter (where is_last) > 0 then"
        " count(*) filter (where is_last and is_churn_risk) end",
    ),
    "companies_judged": (COMPANIES, "count(is_churn_risk) filter (where is_last)"),
    "companies_unknown": (COMPANIES, "count(*) filter (where is_last and is_churn_risk is null)"),
    "churn_rate": (
        COMPANIES,
        "count(*) filter (where is_last and is_churn_risk)"
        " / count(is_churn_risk) filter (where is_last)",
    ),
    "churn_rate_at_most": (
        COMPANIES,
        "count(*) filter (where is_last and is_churn_risk is distinct from false)"
        " / count(*) filter (where is_last)",
    ),
    "interactions": (SERVERS, "sum(total_interactions)"),
    "engagement_minutes": (SERVERS, "sum(total_duration)"),
    "user_days": (SERVERS, "sum(active_users)"),
    "interactions_per_active_user": (
        SERVERS,
        "sum(total_interactions) / nullif(sum(active_users), 0)",
    ),
    "pageviews": (VIEWS, "sum(pageviews)"),
    "sessions": (SESSIONS, "sum(sessions)"),
    "bounces": (SESSIONS, "sum(bounces)"),
    "bounce_rate": (SESSIONS, "sum(bounces) / sum(sessions)"),
    "activities_started": (LEARNERS, "sum(lessons_attempted + assessments_attempted)"),
    "activities_completed": (LEARNERS, "sum(lessons_completed + assessments_completed)"),
    "completion_rate": (
        LEARNERS,
        "sum(lessons_completed + assessments_completed)"
        " / nullif(sum(lessons_attempted + assessments_attempted), 0)",
    ),
    "mastery_gained": (MASTERY, "sum(mastery_delta)"),
    "customers": (SNAPSHOTS, "sum(total_customers) filter (where is_last)"),
    "active_customers": (SNAPSHOTS, "sum(active_customers) filter (where is_last)"),
    "last_snapshot_day": (SNAPSHOTS, "max(cast(snapshot_timestamp as date)) - date '1970-01-02'"),
    "customers_gained": (
        (GAINED.format(days=1), SNAPSHOTS[1]),
        "sum(gained) filter (where is_last)",
    ),
    "customers_gained_7d": (
        (GAINED.format(days=7), SNAPSHOTS[1]),
        "sum(gained) filter (where is_last)",
    ),
    "customer_events": (EVENTS, "sum(events)"),
    "customer_creations": (EVENTS, "sum(events) filter (where event_type = 'customer_creation')"),
    "customer_deletions": (EVENTS, "sum(events) filter (where event_type = 'customer_deletion')"),
}
GRAINS = ("day", "week", "month")


@dataclass(frozen=True)
class Asked:
    """What `mf` answered: a column of each metric by grain, and what it printed by call.

    How it went on, it said beside: `spinner`.
    """

    database: Path
    manifest: Any
    spinner: str
    printed: dict[str, str]
    answers: dict[str, list[dict[str, str]]]

    def of(self, metric: str, grain: str) -> dict[date, float]:
        """A metric's figures by period, without those that it does not know."""
        return {
            datetime.fromisoformat(row[f"metric_time__{grain}"]).date(): float(row[metric])
            for row in self.answers[grain]
            if row[metric] not in ("", "nan")
        }

    def held(self, metric: str, grain: str) -> dict[date, float]:
        """The figures of the mart."""
        (mart, day), figure = FIGURES[metric]
        rows = ROWS.format(mart=mart, day=day, grain=grain)
        with duckdb.connect(str(self.database), read_only=True) as connection:
            found = connection.execute(f"select period, {figure} from ({rows}) group by period")
            return {period: float(told) for period, told in found.fetchall() if told is not None}


def examples() -> dict[str, str]:
    """The calls of `mf` in docs/metrics.md, and what the page says they print."""
    blocks = re.findall(r"```\n\.venv/bin/(mf .*?)\n\n(.*?)\n```", PAGE, re.DOTALL)
    return {" ".join(call.replace("\\\n", " ").split()): printed for call, printed in blocks}


@pytest.fixture(scope="module")
def asked(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """All questions of this module, asked of the demo at the seed clock in one go."""
    from dbt.contracts.graph.semantic_manifest import SemanticManifest

    home = tmp_path_factory.mktemp("semantic")
    database = built_once(home, ["seed", "run"], SEED_CLOCK)
    # `mf` wants a project with what `dbt parse` writes: one of its own, with the manifest at hand.
    shutil.copy(PROJECT / "dbt_project.yml", home)
    (home / "target").mkdir()
    environment = {
        **os.environ,
        **{"TIDEMARK_DEMO_PATH": str(database), "DBT_PROFILES_DIR": str(PROJECT)},
        **{"DBT_PROJECT_DIR": str(home), "DBT_LOG_PATH": str(home / "logs"), "COLUMNS": "200"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(database))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        manifest = Dbt(PROJECT, "demo", target_path=home / "target").manifest
    SemanticManifest(manifest).write_json_to_file(str(home / "target" / "semantic_manifest.json"))
    names = ",".join(metric.name for metric in manifest.metrics.values())
    calls = ["mf validate-configs --show-all", *examples()]
    for saved in manifest.saved_queries.values():
        calls.append(f"mf query --saved-query {saved.name}")
    for grain in GRAINS:
        by = f"--group-by metric_time__{grain} --csv {home / grain}.csv"
        calls.append(f"mf query --metrics {names} {by}")
    asking, printed = home / "calls.json", home / "printed.json"
    asking.write_text(json.dumps([call.split()[1:] for call in calls]), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(PROJECT / "tests/python/mf_session.py"), str(asking), str(printed)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    answers = {}
    for grain in GRAINS:
        with (home / f"{grain}.csv").open(newline="", encoding="utf-8") as file:
            answers[grain] = list(csv.DictReader(file))
    told = dict(zip(calls, json.loads(printed.read_text(encoding="utf-8")), strict=True))
    return Asked(database, manifest, ran.stdout, told, answers)


def test_every_metric_is_compared(asked: Asked) -> None:
    assert sorted(metric.name for metric in asked.manifest.metrics.values()) == sorted(FIGURES)


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize("metric", FIGURES)
def test_a_metric_is_what_the_mart_holds(asked: Asked, metric: str, grain: str) -> None:
    held = asked.held(metric, grain)
    assert asked.of(metric, grain) == pytest.approx(held, rel=1e-9, abs=1e-12)
    # Of months there are two, and growth wants two that are whole.
    assert held or (metric, grain) == ("weekly_growth", "month")


def test_a_day_that_nobody_reported_is_no_zero(asked: Asked) -> None:
    assert OUTAGE not in asked.of("active_companies", "day")
    assert OUTAGE not in asked.of("events", "day")
    assert asked.of("days_reported", "day")[OUTAGE] == 0
    assert asked.of("companies_unknown", "day")[OUTAGE] > 0
    assert asked.of("churn_rate_at_most", "day")[OUTAGE] > asked.of("churn_rate", "day")[OUTAGE]


@pytest.mark.parametrize("metric", ["events_7d", "days_reported_7d", "weekly_growth"])
def test_seven_days_end_with_the_last_reported_day(asked: Asked, metric: str) -> None:
    last = max(asked.held("events", "day"))
    assert max(asked.of(metric, "day")) <= last < max(asked.of("customers", "day"))


def test_growth_is_unknown_where_a_day_of_it_is(asked: Asked) -> None:
    grown, days = asked.of("weekly_growth", "day"), asked.of("days_reported_7d", "day")
    assert len(grown) > 20
    assert all(days[day] == 7 for day in grown)


def test_the_definitions_are_valid_on_the_warehouse(asked: Asked) -> None:
    told = re.findall(
        r"validated (.*?) \(ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0\)", asked.spinner
    )
    parts = ("semantic models", "dimensions", "entities", "measures", "metrics")
    assert told == [
        "the semantics of built manifest",
        *(f"{part} against data warehouse" for part in parts),
    ]


def test_every_saved_query_has_rows(asked: Asked) -> None:
    printed = {call: text for call, text in asked.printed.items() if "--saved-query" in call}
    assert len(printed) >= len(asked.manifest.saved_queries)
    assert [call for call, text in printed.items() if len(text.splitlines()) < 4] == []


@pytest.mark.parametrize("call", examples())
def test_the_page_shows_what_mf_prints(asked: Asked, call: str) -> None:
    assert asked.printed[call] == examples()[call]


def test_the_page_has_every_metric_and_saved_query(asked: Asked) -> None:
    described = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    there = [*asked.manifest.metrics.values(), *asked.manifest.saved_queries.values()]
    # two are there for others alone
    assert sorted(described) == sorted(
        each.name for each in there if not each.name.startswith("last_")
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_is_switched_off_with_its_metrics(domain: str) -> None:
    from dbt.clients.yaml_helper import load_yaml_text

    folder = PROJECT / "models" / "marts" / domain
    read = load_yaml_text((folder / f"_{domain}_metrics.yml").read_text(encoding="utf-8"))
    parts = [
        each for kind in ("semantic_models", "metrics", "saved_queries") for each in read[kind]
    ]
    enabled = f"{{{{ '{domain}' in var('domains') }}}}"
    assert [each["name"] for each in parts if each.get("config") != {"enabled": enabled}] == []


def test_exposures_name_metrics(asked: Asked) -> None:
    exposures = asked.manifest.exposures.values()
    named = {name for exposure in exposures for (name, *_) in exposure.metrics}
    assert {"churn_rate", "bounce_rate", "completion_rate"} <= named
