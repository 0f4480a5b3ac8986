"""Coverage finds what is wrong with built tables, and the repair puts exactly that right."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from conftest import BuiltOnce
from damage import RAW_TABLES, Damage, spoil
from exact.marts import day_column_of, entity_of, place
from test_cli import Demo

from tidemark.engine import Dbt, DbtError, Outcome
from tidemark.gaps import Asked, findings_after_rechecks

PROJECT = Path(__file__).parents[2]
SEED_CLOCK = datetime(2025, 10, 15, 12)
# What coverage compares at the seed clock: thirty ended days.
FIRST_DAY, TODAY = date(2025, 9, 15), date(2025, 10, 15)

STORED = "config.materialized:incremental"

# Each plays one damage per domain. `make test-coverage` plays at length.
ROUNDS = int(os.environ.get("TIDEMARK_DAMAGES", "5")) // len(RAW_TABLES)

BACKFILL = {
    "min_partitions": 3,
    "max_days": 7,
    "priority_entities": [],
    "failures": 2,
    "retry_after_hours": 24,
    "abandoned_after_hours": 6,
}

Key = tuple[str, date | None]


@dataclass
class Warehouse:
    """One demo database, and dbt on it."""

    path: Path
    dbt: Dbt

    def call(self, *args: str, as_of: datetime = SEED_CLOCK, **variables: Any) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIDEMARK_DEMO_PATH", str(self.path))
            patch.setenv("DBT_LOG_PATH", str(self.path.parent / "logs"))
            return self.dbt.call(*args, as_of=as_of, variables=variables)

    def run(self, *args: str, as_of: datetime = SEED_CLOCK, **variables: Any) -> Outcome:
        outcome = self.call(*args, as_of=as_of, **variables)
        assert outcome.success, [*outcome.errors, *(r.message for r in outcome.results)]
        return outcome

    def check(self, *select: str, as_of: datetime = SEED_CLOCK, **asked: Any) -> Outcome:
        selected = select or (STORED,)
        return self.run("run", "--select", *selected, as_of=as_of, coverage=asked)

    def settle(self, marts: Marts) -> None:
        """Compare again what the plan doubts, as every look of the command line does."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIDEMARK_DEMO_PATH", str(self.path))
            found, failures = findings_after_rechecks(self.dbt, SEED_CLOCK, Asked(), marts.all)
        assert failures == []
        assert "doubtful" not in {finding.decision for finding in found}

    def sql(self, *statements: str) -> list[Any]:
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                answer = connection.execute(statement).fetchall()
        return answer

    def copy(self, folder: Path) -> Warehouse:
        shutil.copy(self.path, folder / self.path.name)
        return Warehouse(folder / self.path.name, self.dbt)

    def gaps(self) -> dict[str, set[Key]]:
        found: dict[str, set[Key]] = defaultdict(set)
        for model, entity, day in self.sql("select model_name, entity, day from ops.data_gaps"):
            found[model].add((entity, day))
        return found

    def plan(self, *columns: str) -> list[Any]:
        return self.sql(f"select {', '.join(columns)} from ops.backfill_plan order by all")

    def repair(self, run_id: str, **picked: Any) -> dict[str, Any]:
        """Start, build, look again, finish: as `tidemark backfill --apply` does."""
        arguments = ("--args", json.dumps(picked))
        started = self.run("run-operation", "start_backfill", *arguments, run_id=run_id)
        models = started.event("backfill_started")["models"]
        touched = [f"{model}+,{STORED}" for model in models]
        if touched:
            self.run("run", "--select", *touched, run_id=run_id)
            self.run("run", "--select", *touched, run_id=run_id, coverage={})
        finished = self.run("run-operation", "finish_backfill", run_id=run_id)
        return {"models": models, **finished.event("backfill_finished")}


@dataclass(frozen=True)
class Marts:
    """What the project stores: the strategy of each table, per domain, and what it is built on."""

    strategies: Mapping[str, Mapping[str, str]]
    built_on: Mapping[str, set[str]]

    @property
    def all(self) -> dict[str, str]:
        return {name: kind for tables in self.strategies.values() for name, kind in tables.items()}


@pytest.fixture(scope="module")
def sound(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The demo, built once at the seed clock."""
    home = tmp_path_factory.mktemp("coverage")
    path = built_once(home, ["seed", "run"], SEED_CLOCK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(path))
        yield Warehouse(path, Dbt(PROJECT, "demo", target_path=home / "target", listeners=[]))


@pytest.fixture
def warehouse(sound: Warehouse, tmp_path: Path) -> Warehouse:
    return sound.copy(tmp_path)


@pytest.fixture(scope="module")
def marts(sound: Warehouse) -> Marts:
    nodes = {
        node.unique_id: node
        for node in sound.dbt.manifest.nodes.values()
        if node.resource_type == "model" and node.config.materialized == "incremental"
    }
    strategies: dict[str, dict[str, str]] = defaultdict(dict)
    built_on: dict[str, set[str]] = defaultdict(set)
    parents = sound.dbt.manifest.parent_map
    for unique_id, node in nodes.items():
        strategies[node.fqn[-2]][node.name] = node.config.incremental_strategy
        ahead = list(parents[unique_id])
        while ahead:
            parent = ahead.pop()
            ahead += parents.get(parent, [])
            if parent in nodes:
                built_on[node.name].add(nodes[parent].name)
    return Marts(strategies, built_on)


@pytest.fixture(scope="module")
def generous(sound: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The same with a plan that takes everything at once, and that nobody is left out of."""
    copy = sound.copy(tmp_path_factory.mktemp("generous"))
    copy.sql("update raw.web_teams set is_enabled = true")
    copy.run(
        *("run", "--select", "dim_web_teams", "backfill_plan"),
        backfill={**BACKFILL, "max_days": 60},
    )
    return copy


@pytest.fixture(scope="module")
def usual(generous: Warehouse, marts: Marts, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a build at the same clock rewrites of sound tables: it reads the overlap again."""
    again = generous.copy(tmp_path_factory.mktemp("usual"))
    forget_when_written(again, marts)
    again.run("run", "--select", STORED)
    return rewritten(again, marts)


def key_of(mart: str, strategy: str) -> str:
    day = "cast(null as date)" if strategy == "full" else f"cast({day_column_of(mart)} as date)"
    return f"cast({entity_of(mart)} as varchar), {day}"


def forget_when_written(warehouse: Warehouse, marts: Marts) -> None:
    warehouse.sql(
        *(f"update {place(mart)} set record_loaded_at = '2000-01-01'" for mart in marts.all)
    )


def rewritten(warehouse: Warehouse, marts: Marts) -> dict[str, set[Key]]:
    return {
        mart: set(
            warehouse.sql(
                f"select distinct {key_of(mart, strategy)} from {place(mart)} "
                "where record_loaded_at <> '2000-01-01'"
            )
        )
        for mart, strategy in marts.all.items()
    }


def differences(warehouse: Warehouse, fresh: Warehouse, marts: Marts) -> dict[str, set[Key]]:
    """Partitions of ended days in the window that are not those of a full refresh."""
    found: dict[str, set[Key]] = {}
    with duckdb.connect() as connection:
        connection.execute(f"attach '{warehouse.path}' as stored (read_only)")
        connection.execute(f"attach '{fresh.path}' as fresh (read_only)")
        for mart, strategy in marts.all.items():
            rows = "select * exclude (record_loaded_at) from {}." + place(mart)
            one, other = rows.format("stored"), rows.format("fresh")
            keys = connection.execute(
                f"select distinct {key_of(mart, strategy)} from "
                f"(({one} except all {other}) union all ({other} except all {one})) as different"
            ).fetchall()
            differing = {(who, day) for who, day in keys if day is None or FIRST_DAY <= day < TODAY}
            if differing:
                found[mart] = differing
    return found


def replayed_from(keys: set[Key]) -> dict[str, date]:
    first: dict[str, date] = {}
    for entity, day in keys:
        assert day is not None
        first[entity] = min(day, first.get(entity, day))
    return first


def unasked(
    warehouse: Warehouse, marts: Marts, truth: dict[str, set[Key]], usual: dict[str, set[Key]]
) -> dict[str, set[Key]]:
    """Sound partitions that the repair rewrote, beyond what its models have to."""
    now, surplus = rewritten(warehouse, marts), {}
    for mart, strategy in marts.all.items():
        allowed = truth.get(mart, set()) | usual[mart]
        extra = now[mart] - allowed
        if strategy == "full":
            extra = set()
        elif strategy == "replay":
            first = replayed_from(truth.get(mart, set()))
            extra = {key for key in extra if key[0] not in first or key[1] < first[key[0]]}  # type: ignore[operator]
        elif strategy == "sessions":
            extra -= reaching_into(warehouse, mart, truth.get(mart, set()))
        # the partitions of sessions that were written again
        elif sessions := [m for m in marts.built_on[mart] if marts.all[m] == "sessions"]:
            extra -= set().union(*(now[name] for name in sessions))
        if extra:
            surplus[mart] = extra
    return surplus


def reaching_into(warehouse: Warehouse, mart: str, keys: set[Key]) -> set[Key]:
    """Partitions with sessions that reach into a damaged day: these are recomputed with it."""
    sessions = warehouse.sql(
        f"select cast({entity_of(mart)} as varchar), session_start, session_end from {place(mart)}"
    )
    return {
        (entity, start.date())
        for entity, start, end in sessions
        for who, day in keys
        if who == entity and day is not None and start.date() <= day <= end.date()
    }


def damage_shows(damage: Damage, truth: Mapping[str, Any], marts: Marts) -> bool:
    if not damage.is_raw:
        return damage.table in truth
    (domain,) = (name for name, tables in RAW_TABLES.items() if damage.table in tables)
    return any(mart in truth for mart in marts.strategies[domain])


@pytest.mark.coverage
@pytest.mark.parametrize("number", range(ROUNDS))
def test_damage_is_found_and_repaired(
    generous: Warehouse, marts: Marts, usual: Any, tmp_path: Path, number: int
) -> None:
    random, warehouse = Random(number), generous.copy(tmp_path)
    forget_when_written(warehouse, marts)
    with duckdb.connect(str(warehouse.path)) as connection:
        damages = [
            spoil(connection, random, domain, tables)
            for domain, tables in sorted(marts.strategies.items())
        ]
    fresh = generous
    if any(damage.is_raw for damage in damages):
        (tmp_path / "fresh").mkdir()
        fresh = warehouse.copy(tmp_path / "fresh")
        fresh.run("run", "--full-refresh", "--select", STORED)
    truth = differences(warehouse, fresh, marts)
    wrecked = {damage.table for damage in damages if damage.kind == "interrupted"}

    warehouse.check()
    gaps = warehouse.gaps()
    for mart in marts.all:
        # what is built on something wrong is judged when that is right again
        if not any(other in truth for other in marts.built_on[mart]):
            assert gaps.get(mart, set()) == truth.get(mart, set()), (mart, damages)

    # damage that makes no difference (a superseded version that went) tests nothing
    record = [
        f"{damage.kind} {damage.table}" for damage in damages if damage_shows(damage, truth, marts)
    ]
    print(f"round {number}: {len(record)} of {len(damages)} show: {', '.join(record)}")

    repairs = 0
    warehouse.settle(marts)
    while any(
        decision in ("planned", "below minimum") for (decision,) in warehouse.plan("decision")
    ):
        repairs += 1
        assert repairs <= 9, damages
        done = warehouse.repair(f"repair {repairs}", below_minimum=True)
        assert done["failed"] == 0, (damages, done)
        warehouse.settle(marts)
    assert warehouse.plan("*") == []
    assert differences(warehouse, fresh, marts) == {}, damages
    surplus = unasked(warehouse, marts, truth, usual)
    for mart in surplus:
        # a table that was never finished is rebuilt whole, and so is what is built on it
        assert mart in wrecked or wrecked & marts.built_on[mart], (damages, surplus)


# ---- what is planned ----

STATS = "web_hourly_stats"


def lose(warehouse: Warehouse, team: int, days: int) -> list[date]:
    """Delete the newest ended days of one team; which those were, the newest first."""
    newest = warehouse.sql(
        f"select distinct cast(period_bucket as date) from {place(STATS)} where team_id = {team} "
        f"and period_bucket < date '{TODAY}' order by 1 desc limit {days}"
    )
    lost = [day for (day,) in newest]
    assert len(lost) == days
    warehouse.sql(
        f"delete from {place(STATS)} where team_id = {team} "
        f"and cast(period_bucket as date) in ({', '.join(repr(str(day)) for day in lost)})"
    )
    return lost


def test_of_fourteen_missing_days_the_newest_seven_are_planned(warehouse: Warehouse) -> None:
    lost = lose(warehouse, team=2, days=14)
    warehouse.check(STATS)
    newest_first = warehouse.sql(
        "select day, decision, state, plan_order from ops.backfill_plan order by day desc"
    )
    assert newest_first == [
        (day, "planned" if order <= 7 else "later", "missing", order)
        for order, day in enumerate(lost, start=1)
    ]


def test_two_missing_days_plan_nothing_unless_asked(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=2)
    warehouse.check(STATS)
    assert warehouse.plan("decision", "is_planned") == [("below minimum", False)] * 2
    assert warehouse.repair("not asked")["models"] == {}
    assert warehouse.repair("asked", below_minimum=True)["repaired"] == 2
    assert warehouse.plan("*") == []


def test_three_missing_days_plan_three(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=3)
    warehouse.check(STATS)
    assert warehouse.plan("decision", "is_planned") == [("planned", True)] * 3


def test_a_disabled_team_is_reported_and_not_planned(warehouse: Warehouse) -> None:
    lost = lose(warehouse, team=8, days=5)
    warehouse.check(STATS)
    assert warehouse.gaps() == {STATS: {("8", day) for day in lost}}
    assert warehouse.plan("decision") == [("disabled",)] * 5


def test_a_team_without_traffic_is_missing_only_by_the_calendar(warehouse: Warehouse) -> None:
    # team 7 has rows on a few days only
    warehouse.check(STATS)
    assert warehouse.gaps() == {}
    warehouse.check(STATS, calendar=True)
    quiet = warehouse.gaps()[STATS]
    with_rows = warehouse.sql(
        f"select distinct cast(period_bucket as date) from {place(STATS)} where team_id = 7"
    )
    days = {FIRST_DAY + timedelta(days=number) for number in range(30)}
    assert {day for team, day in quiet if team == "7"} == days - {day for (day,) in with_rows}
    assert not {"8", "9"} & {team for team, _ in quiet}, "nobody expects a disabled team"
    assert {decision for (decision,) in warehouse.plan("decision")} == {"no source"}


def test_the_unfinished_day_never_counts(warehouse: Warehouse) -> None:
    warehouse.sql(f"delete from {place(STATS)} where period_bucket >= date '{TODAY}'")
    warehouse.check(STATS)
    current = warehouse.sql(
        "select distinct day, state from ops.partition_coverage where is_current"
    )
    assert current == [(TODAY, "missing")]
    assert warehouse.gaps() == {}


def test_one_of_several_teams_is_found(warehouse: Warehouse) -> None:
    (lost,) = lose(warehouse, team=1, days=1)
    warehouse.check(STATS)
    assert warehouse.gaps() == {STATS: {("1", lost)}}


def test_what_waits_for_the_next_run_is_no_damage(warehouse: Warehouse) -> None:
    next_day = SEED_CLOCK + timedelta(hours=15)
    assert warehouse.sql(
        f"select count(*) > 0 from raw.web_events where loaded_at > '{SEED_CLOCK}' "
        f"and loaded_at <= '{next_day}'"
    ) == [(True,)]
    warehouse.check(as_of=next_day)
    assert warehouse.gaps() == {}


def test_an_event_that_came_late_is_found_though_its_session_began_before_the_window(
    warehouse: Warehouse,
) -> None:
    warehouse.sql(
        "create table late as from raw.web_events where team_id = 2 and session_id is not null "
        f"and timestamp < date '{FIRST_DAY}' - 1 limit 1",
        "update late set event_id = 'late', timestamp = '2025-10-01', loaded_at = '2025-10-01'",
        "insert into raw.web_events from late",
    )
    day = date(2025, 10, 1)
    warehouse.check("web_sessions")
    assert warehouse.gaps() == {"web_sessions": {("2", day)}}
    assert warehouse.repair("late", below_minimum=True)["repaired"] == 1
    assert warehouse.plan("*") == []
    reached = "select session_start < session_end - interval 10 days from marts.web_sessions "
    assert warehouse.sql(f"{reached} where session_id = (select session_id from late)") == [(True,)]


def test_what_retention_has_taken_is_no_gap(warehouse: Warehouse) -> None:
    pruning = {"dry_run": False, "sources": ["web_events"], "kept_from": "2025-09-25"}
    warehouse.run("run-operation", "prune", "--args", json.dumps(pruning))
    (lost,) = lose(warehouse, team=2, days=1)
    warehouse.check(STATS, "web_sessions", "web_hourly_bounces")
    assert warehouse.gaps() == {STATS: {("2", lost)}}
    below = "select model_name, max(day) from ops.partition_coverage where not is_rebuildable "
    assert warehouse.sql(f"{below} group by model_name order by model_name") == [
        (mart, date(2025, 9, 24)) for mart in ("web_hourly_bounces", STATS, "web_sessions")
    ]


def test_a_query_that_fails_is_not_no_gaps(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=3)
    warehouse.check(STATS)
    found = warehouse.gaps()
    warehouse.sql("alter table raw.web_events rename column pathname to path")
    outcome = warehouse.call("run", "--select", STATS, coverage={})
    assert not outcome.success
    assert warehouse.gaps() == found, "what was known stays"


def test_a_table_that_is_gone_is_said_so_and_not_built(warehouse: Warehouse) -> None:
    warehouse.sql(f"drop table {place(STATS)} cascade")
    (result,) = warehouse.call("run", "--select", STATS, coverage={}).results_of("model")
    assert "its table is gone" in result.message
    assert warehouse.sql(f"select count(*) from duckdb_tables() where table_name = '{STATS}'") == [
        (0,)
    ]


def test_a_check_writes_nothing_else(warehouse: Warehouse, marts: Marts) -> None:
    lose(warehouse, team=2, days=3)
    tables = [place(mart) for mart in marts.all]
    before = warehouse.sql(*(f"from {table} order by all" for table in tables))
    successes = "select count(*) from ops.etl_job_runs where job_type = 'model'"
    entries = warehouse.sql(successes)
    warehouse.check()
    assert warehouse.sql(*(f"from {table} order by all" for table in tables)) == before
    assert warehouse.sql(successes) == entries


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (("build",), {}),
        (("run", "--full-refresh"), {}),
        (("run", "--event-time-start", "2025-10-01", "--event-time-end", "2025-10-02"), {}),
        (("run",), {"begin": "2025-10-01"}),
        (("run",), {"start": "2025-10-01"}),
        (("run",), {"start": "2025-10-02", "end": "2025-10-01"}),
        (("run",), {"from_first_day": True, "days": 3}),
    ],
)
def test_coverage_refuses_what_it_cannot_mean(
    warehouse: Warehouse, args: tuple[str, ...], asked: dict[str, str]
) -> None:
    with pytest.raises(DbtError, match="Nothing was checked"):
        warehouse.call(*args, "--select", STATS, coverage=asked)
    assert warehouse.sql("select count(*) from ops.partition_coverage") == [(0,)]


def test_what_fails_twice_waits_and_leaves_its_place_to_others(warehouse: Warehouse) -> None:
    newest, *older = lose(warehouse, team=2, days=9)
    warehouse.check(STATS)
    for attempt in ("first", "second"):
        # started and never built: the day is as damaged as it was
        warehouse.run(
            "run-operation", "start_backfill", "--args", f"{{day: {newest}}}", run_id=attempt
        )
        warehouse.run(
            "run-operation", "finish_backfill", "--args", "{error: it is not}", run_id=attempt
        )
    by_day = dict(warehouse.sql("select day, decision from ops.backfill_plan"))
    assert by_day == {newest: "stuck"} | {
        day: "planned" if order < 7 else "later" for order, day in enumerate(older)
    }
    a_day_later = SEED_CLOCK + timedelta(days=1)
    warehouse.check(STATS, as_of=a_day_later)
    decision = f"select decision, failed_attempts from ops.backfill_plan where day = '{newest}'"
    assert warehouse.sql(decision) == [("planned", 2)]


def test_nothing_is_repaired_twice_at_once(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=3)
    warehouse.check(STATS)
    start = ("run-operation", "start_backfill")
    first = warehouse.run(*start, run_id="first").event("backfill_started")
    assert first["models"][STATS]["partitions"] == 3
    assert warehouse.run(*start, run_id="second").event("backfill_started")["models"] == {}
    assert warehouse.plan("decision") == [("running",)] * 3
    # killed, and long ago
    warehouse.sql("update ops.backfill_attempts set started_at = started_at - interval 7 hours")
    third = warehouse.run(*start, run_id="third").event("backfill_started")
    assert third["models"] == first["models"]
    assert warehouse.sql(
        "select count(*), any_value(run_id) from ops.backfill_attempts where outcome = 'failed'"
    ) == [(3, "first")]


def test_entities_of_priority_come_first(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=7)
    oldest = lose(warehouse, team=1, days=14)[-1]
    warehouse.sql(
        f"insert into {place(STATS)} select * from {place(STATS)} "
        f"where team_id = 3 and cast(period_bucket as date) = '{oldest}'"
    )
    backfill = {**BACKFILL, "priority_entities": ["3"]}
    warehouse.run("run", "--select", "backfill_plan", backfill=backfill)
    warehouse.check(STATS)
    planned = warehouse.sql(
        "select distinct plan_day, plan_order from ops.backfill_plan where is_planned "
        "order by plan_order"
    )
    assert planned[0] == (oldest, 1)
    assert len(planned) == 7


def test_a_table_that_others_are_built_on_comes_first(warehouse: Warehouse) -> None:
    warehouse.sql(
        "delete from marts.dim_companies where company_id in "
        "(select company_id from intermediate.company_daily_usage limit 1)"
    )
    warehouse.check("dim_companies", "company_daily_usage")
    decisions = set(warehouse.plan("model_name", "decision", "reason"))
    waiting = ("company_daily_usage", "waiting", "dim_companies comes first")
    assert waiting in decisions
    assert warehouse.repair("first", below_minimum=True)["models"].keys() == {"dim_companies"}
    assert warehouse.plan("*") == [], "nothing was wrong with what is built on it"


BEFORE_THE_WINDOW = {
    "mastery_deltas": (
        "update marts.mastery_deltas set current_mastery = 0.123456 "
        "where trigger_event_id = 'lrn-00098' and current_mastery = 1",
        ("learner-01", date(2025, 9, 6)),
    ),
    "customer_states": (
        "update intermediate.customer_states set existing_since = existing_since - interval 1 day "
        "where customer_id = 'aurum-003' and activity_date = '2025-09-05'",
        ("con-aurum", date(2025, 9, 5)),
    ),
}


@pytest.mark.parametrize("mart", BEFORE_THE_WINDOW)
def test_a_replay_is_repaired_from_where_damage_begins_though_a_look_begins_later(
    sound: Warehouse, warehouse: Warehouse, marts: Marts, mart: str
) -> None:
    damage, (entity, first_day) = BEFORE_THE_WINDOW[mart]
    forget_when_written(warehouse, marts)
    assert warehouse.sql(damage) == [(1,)]
    # the days after it look wrong, and a repair of these alone would agree with the damage
    warehouse.check(mart)
    found = warehouse.gaps()[mart]
    assert found
    assert min(day for _, day in found if day) >= FIRST_DAY
    assert set(warehouse.plan("decision", "reason")) == {
        ("doubtful", "its first days were not compared")
    }
    assert warehouse.repair("too early", below_minimum=True)["models"] == {}

    tidemark = Demo(warehouse.path, warehouse.dbt)
    told = tidemark.json("backfill", "--table", mart, "--apply", "--below-minimum")
    assert [(each["entity"], each["day"]) for each in told["plan"]] == [(entity, str(first_day))]
    assert [(each["repaired"], each["failed"]) for each in told["repairs"]] == [(1, 0)]
    rows = f"select * exclude (record_loaded_at) from {place(mart)} order by all"
    assert warehouse.sql(rows) == sound.sql(rows)
    written = rewritten(warehouse, marts)[mart]
    assert min(day for who, day in written if who == entity and day) == first_day


def test_what_was_mended_since_it_was_found_is_not_repaired(warehouse: Warehouse) -> None:
    days = ("2025-09-08", "2025-09-09", "2025-09-10")
    of_acme = f"company_id = 'acme' and activity_date in {days}"
    warehouse.sql(f"update marts.fact_events_daily set events = events + 1 where {of_acme}")
    warehouse.check("fact_events_daily", days=45)
    assert warehouse.plan("decision") == [("planned",)] * 3
    # of two of the days an event comes late, and the next run rewrites them
    warehouse.sql(
        "insert into raw.fact_events select event_id || '-late' as event_id, * exclude (event_id) "
        "replace (timestamp '2025-10-15 12:10:00' as loaded_at) from raw.fact_events "
        "where company_id = 'acme' and event_timestamp::date in ('2025-09-08', '2025-09-10') "
        "qualify row_number() over (partition by event_timestamp::date order by event_id) = 1"
    )
    later = SEED_CLOCK + timedelta(hours=1)
    warehouse.run("run", "--select", "fact_events_daily", as_of=later, run_id="mends")
    assert set(warehouse.plan("decision", "reason")) == {
        ("doubtful", "its table was written since it was compared")
    }
    warehouse.sql("update marts.fact_events_daily set record_loaded_at = '2000-01-01'")

    tidemark = Demo(warehouse.path, warehouse.dbt)
    asked = ("--table", "fact_events_daily", "--as-of", later.isoformat())
    told = tidemark.json("backfill", *asked, "--apply", "--below-minimum")
    assert [(each["day"], each["decision"]) for each in told["plan"]] == [
        ("2025-09-09", "below minimum")
    ]
    assert [each["repaired"] for each in told["repairs"]] == [1]
    assert warehouse.sql(
        "select distinct activity_date from marts.fact_events_daily "
        "where record_loaded_at <> '2000-01-01' and activity_date < '2025-10-01'"
    ) == [(date(2025, 9, 9),)]
    assert warehouse.gaps() == {}


def test_health_shows_gaps_and_what_became_of_repairs(warehouse: Warehouse) -> None:
    lose(warehouse, team=2, days=4)
    warehouse.check(STATS, "web_sessions")
    warehouse.run("run", "--select", "pipeline_health")
    figures = "select metric, subject, amount, level from ops.pipeline_health where metric in "
    assert warehouse.sql(f"{figures} ('open_gaps') order by all") == [
        ("open_gaps", STATS, 4, "warning"),
        ("open_gaps", "web_sessions", 0, "normal"),
    ]
    for run_id in ("fails", "repairs"):
        start = ("run-operation", "start_backfill", "--args", "{below_minimum: true}")
        warehouse.run(*start, run_id=run_id)
        if run_id == "repairs":
            warehouse.run("run", "--select", STATS)
            warehouse.check(STATS)
        warehouse.run("run-operation", "finish_backfill", run_id=run_id)
    assert warehouse.sql(f"{figures} ('repair_success', 'open_gaps') order by all") == [
        ("open_gaps", STATS, 0, "normal"),
        ("open_gaps", "web_sessions", 0, "normal"),
        ("repair_success", "last 30 days", 50, "normal"),
    ]
    ((seconds,),) = warehouse.sql(
        "select amount from ops.pipeline_health where metric = 'repair_time'"
    )
    ((low, high),) = warehouse.sql(
        "select min(epoch(finished_at - found_at)), max(epoch(finished_at - found_at)) "
        "from ops.backfill_attempts where outcome = 'repaired'"
    )
    assert low - 0.001 <= seconds <= high + 0.001
