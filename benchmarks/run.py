"""Measure Tidemark against plain SQL, against itself with other data, and against dbt's microbatch.

    python benchmarks/run.py --scale 10
    python benchmarks/run.py --only web --scale 50
    python benchmarks/run.py --only startup
    python benchmarks/run.py --only ingest

Every ratio compares two times of this one run, on this machine. README.md explains the rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import ingest
import startup
from data import LATE_DAYS, START, Stream, spine, web, web_year
from engine import Call, Project, peak_memory, reset_peak_memory
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
REFERENCES = HERE.parent / "tests" / "python" / "exact" / "references"
COMPARED_WITH_MICROBATCH = "fact_events_daily"
SCATTERED_DAYS = 70
LOOKBACK_DAYS = 3
SIMULATED_DAYS = 5
# How much of the history is restated, to see from which share on a full refresh takes less time.
SHARES = (0.25, 0.75)
# Up to so many million events: at 100 they would take an hour more.
SHARES_UP_TO = 10
# dbt_project.yml, vars: refresh_above: what a run calls cheaper is to be cheaper.
REFRESH_ABOVE = 0.85

# What coverage looks at; less where a quarter of the history is shorter.
COVERED_DAYS = 30

# A run looks at the tables ten minutes after the hour: what was sent in it has been loaded.
LOADED = timedelta(minutes=10)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

STARTUP, INGEST = "startup", "ingest"
# Rows of each million: ingestion takes as long for the first as for the last.
INGESTED = 100_000
# People take half a second for an instant.
INSTANT = 0.5

console = Console()


@dataclass(frozen=True)
class Subject:
    """Models that are measured together, on raw tables of their own."""

    stream: Callable[[float], Stream]
    domains: tuple[str, ...]
    views: tuple[str, ...]
    models: tuple[str, ...]
    # How many days back an hour's late rows lie; the first is the ordinary.
    late_days: tuple[int, ...]
    # The plain SQL: files named after the tables that they make, in order.
    by_hand: tuple[Path, ...]
    aim_by_hand: float | None = None


SPINE_MODELS = (
    COMPARED_WITH_MICROBATCH,
    "fct_engagement_metrics",
    "feature_engagement_daily",
    "server_engagement_daily",
)
WEB_MODELS = ("dim_web_teams", "web_hourly_stats", "web_sessions", "web_hourly_bounces")

SUBJECTS = {
    "spine": Subject(
        spine,
        ("company", "engagement"),
        ("stg_fact_events", "stg_engagement_events"),
        SPINE_MODELS,
        (LATE_DAYS, SCATTERED_DAYS),
        tuple(HERE / "by_hand" / f"{model}.sql" for model in SPINE_MODELS),
        aim_by_hand=1.15,
    ),
    "web": Subject(
        web,
        ("web",),
        ("stg_web_events", "stg_web_teams"),
        WEB_MODELS,
        (LATE_DAYS,),
        tuple(REFERENCES / f"{table}.sql" for table in ("web_events_versions", *WEB_MODELS)),
    ),
}

# Asked for by name: with --scale 40 it is 40 million events over 360 days, and 10 over 90.
SUBJECTS["web-year"] = replace(SUBJECTS["web"], stream=web_year)


@dataclass
class Warehouse:
    """A database file with raw tables that grow, and the time up to which they are loaded."""

    path: Path
    stream: Stream
    loaded_until: datetime

    @classmethod
    def create(cls, path: Path, stream: Stream, since: datetime, until: datetime) -> Warehouse:
        path.parent.mkdir(parents=True)
        warehouse = cls(path, stream, since)
        with closing(warehouse.connect()) as connection:
            stream.create_tables(connection)
        warehouse.load(until - since)
        return warehouse

    @property
    def clock(self) -> datetime:
        return self.loaded_until + LOADED

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection with the settings of profiles.yml."""
        connection = duckdb.connect(self.path, config={"threads": 2, "memory_limit": "8GB"})
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set variable as_of = timestamp '{self.clock}'")
        return connection

    def load(self, duration: timedelta, late_days: int = LATE_DAYS) -> int:
        end = self.loaded_until + duration
        with closing(self.connect()) as connection:
            rows = self.stream.load(connection, self.loaded_until, end, late_days)
        self.loaded_until = end
        return rows

    def make_by_hand(self, *files: Path) -> dict[str, float]:
        """Make tables by plain SQL; seconds of each."""
        seconds = {}
        with closing(self.connect()) as connection:
            connection.execute("create schema if not exists by_hand")
            connection.execute("set schema = 'by_hand'")
            for file in files:
                select = file.read_text()
                start = time.perf_counter()
                connection.execute(f"create or replace table {file.stem} as {select}")
                seconds[file.stem] = time.perf_counter() - start
        return seconds

    def rows_that_differ(self, model: str) -> int:
        """Rows that only one of the two has: the model's table, and the one made by hand."""
        with closing(self.connect()) as connection:
            connection.execute("set search_path = 'marts,intermediate'")
            names = ", ".join(
                column[0]
                for column in connection.execute(f"describe {model}").fetchall()
                if column[0] != "record_loaded_at"
            )
            # Hashes, so that it takes little memory; the union makes types equal.
            return _count(
                connection,
                f"""
                with both_sides as (
                    select {names}, 1 as side from {model}
                    union all
                    select {names}, -1 as side from by_hand.{model}
                ),
                balance as (
                    select sum(side) as surplus from both_sides group by hash({names})
                )
                select coalesce(sum(abs(surplus)), 0) from balance
                """,
            )

    def wrong_company_days(self, schema: str) -> int:
        """Company-days of fact_events_daily that are not what plain SQL makes of the raw table."""
        with closing(self.connect()) as connection:
            return _count(
                connection,
                f"""
                select count(*)
                from {schema}.{COMPARED_WITH_MICROBATCH} as held
                full join by_hand.{COMPARED_WITH_MICROBATCH} as expected
                    using (company_id, activity_date)
                where (held.events, held.event_rows)
                    is distinct from (expected.events, expected.event_rows)
                """,
            )


@dataclass
class Bench:
    """One run of the benchmark for a subject, and everything that it has measured."""

    subject: Subject
    scale: float
    repeats: int
    rounds: int
    folder: Path

    def __post_init__(self) -> None:
        self.stream = self.subject.stream(self.scale)
        self.calls: dict[str, list[Call]] = {}
        self.tidemark = Project(
            HERE.parent,
            "duckdb",
            self.folder / "all" / "warehouse.duckdb",
            self.folder / "tidemark",
            {"domains": self.subject.domains},
        )
        self.microbatch = Project(
            HERE / "microbatch",
            "microbatch",
            self.tidemark.database,
            self.folder / "microbatch",
        )

    def run(self, table: Table) -> None:
        with console.status("making raw tables"):
            now = START + self.stream.history
            everything = Warehouse.create(self.tidemark.database, self.stream, START, now)
            quarter = Warehouse.create(
                self.folder / "quarter" / "warehouse.duckdb",
                self.stream,
                now - self.stream.history / 4,
                now,
            )

        with console.status("full refresh, and the same by hand"):
            self.measure_full_refresh(everything, quarter, table)
        with console.status("hourly increments"):
            self.measure_increments(everything, quarter, table)
        with console.status("hours with their tests"):
            self.measure_tests(everything, table)
        with console.status("coverage"):
            self.measure_coverage(everything, quarter, table)
        if COMPARED_WITH_MICROBATCH in self.subject.models:
            with console.status("microbatch"):
                self.measure_microbatch(everything, table)
        if self.scale <= SHARES_UP_TO:
            # last, since it leaves the tables in another order
            with console.status("restatements"):
                self.measure_shares(everything, table)

    def build(self, label: str, warehouse: Warehouse, *args: str, **variables: object) -> Call:
        return self.call("run", label, warehouse, *args, **variables)

    def call(
        self, command: str, label: str, warehouse: Warehouse, *args: str, **variables: object
    ) -> Call:
        clock = str(warehouse.clock)
        call = self.tidemark.call(warehouse.path, command, *args, as_of=clock, **variables)
        self.calls.setdefault(label, []).append(call)
        return call

    def measure_full_refresh(self, everything: Warehouse, quarter: Warehouse, table: Table) -> None:
        for warehouse in (everything, quarter):
            self.build("views", warehouse, "--select", *self.subject.views)
        self.build("full, a quarter", quarter, "--select", *self.subject.models)

        by_hand = []
        for number in range(self.rounds):
            # They take turns in going first: the second finds the raw tables in memory.
            if number % 2:
                by_hand.append(everything.make_by_hand(*self.subject.by_hand))
            reset_peak_memory()
            self.build("full", everything, "--full-refresh", "--select", *self.subject.models)
            peak = peak_memory()
            if not number % 2:
                by_hand.append(everything.make_by_hand(*self.subject.by_hand))
        ours = self.best("full")
        theirs = min(by_hand, key=lambda seconds: sum(seconds.values()))
        different = self.rows_that_differ(everything)

        ratio = ours.engine_seconds / sum(theirs.values())
        row(
            table,
            f"full refresh of {len(self.subject.models)} models, against plain SQL "
            f"({different} rows differ)",
            seconds(ours),
            f"{sum(theirs.values()):.2f}",
            ratio,
            self.subject.aim_by_hand,
            different == 0,
        )
        of_node = ours.seconds_by("node")
        for name, theirs_here in theirs.items():
            ours_here = of_node[(name,)]
            row(
                table,
                f"    {name}",
                f"{ours_here:.2f}",
                f"{theirs_here:.2f}",
                ours_here / theirs_here,
            )
        self.full, self.full_peak = ours, peak

    def play_hours(self, everything: Warehouse, quarter: Warehouse) -> float:
        """Load and build hours, the rows of some come late; the peak of memory in GB."""
        reset_peak_memory()
        # One kind after the other: a run looks back over half an hour of the one before, late rows
        # and all.
        for late_days in self.subject.late_days:
            for _ in range(self.repeats):
                for name, warehouse in (("all", everything), ("a quarter", quarter)):
                    warehouse.load(HOUR, late_days)
                    label = f"hour, {late_days} days, {name}"
                    self.build(label, warehouse, "--select", *self.subject.models)
                if late_days == LATE_DAYS:
                    everything.load(HOUR, late_days)
                    models = ("--select", *self.subject.models)
                    self.build("hour, not audited", everything, *models, audit="none")
        return peak_memory()

    def measure_increments(self, everything: Warehouse, quarter: Warehouse, table: Table) -> None:
        peak = self.play_hours(everything, quarter)
        hour = self.median(f"hour, {LATE_DAYS} days, all")
        quarter_hour = self.median(f"hour, {LATE_DAYS} days, a quarter")
        not_audited = self.median("hour, not audited")
        hours = (len(self.subject.late_days) + 1) * self.repeats

        everything.make_by_hand(*self.subject.by_hand)
        different = self.rows_that_differ(everything)
        faster = self.full.engine_seconds / hour.engine_seconds
        aim = 100 if self.scale >= 100 else 25
        row(
            table,
            f"full refresh, against one hour ({different} rows differ after {hours})",
            seconds(self.full),
            seconds(hour),
            faster,
            aim,
            faster >= aim and different == 0,
            at_least=True,
        )
        row(
            table,
            "hour with audits, against its models alone",
            seconds(hour),
            seconds(not_audited),
            hour.engine_seconds / not_audited.engine_seconds,
            1.2,
        )
        for late_days in self.subject.late_days[1:]:
            scattered = self.median(f"hour, {late_days} days, all")
            row(
                table,
                f"hour with late rows over {late_days} days, against {LATE_DAYS}",
                seconds(scattered),
                seconds(hour),
                scattered.engine_seconds / hour.engine_seconds,
                1.5,
            )
        row(
            table,
            "hour with four times the history",
            seconds(hour),
            seconds(quarter_hour),
            hour.engine_seconds / quarter_hour.engine_seconds,
            1.25,
        )
        limits = "DuckDB may use 8 GB"
        table.add_row(f"peak memory, full refresh; {limits}", f"{self.full_peak:.1f} GB")
        table.add_row(f"peak memory, hours; {limits}", f"{peak:.1f} GB")

    def measure_tests(self, warehouse: Warehouse, table: Table) -> None:
        """Everything with its tests, then hours with theirs: what they take beside the models."""
        nodes = (
            *("--select", *self.subject.views, *self.subject.models, "etl_job_watermarks"),
            *("--indirect-selection", "buildable"),
            *("--exclude-resource-type", "unit_test"),
        )
        self.call("build", "full, tested", warehouse, "--full-refresh", *nodes)
        for _ in range(self.repeats):
            warehouse.load(HOUR)
            self.call("build", "hour, tested", warehouse, *nodes)
        full, hour = self.best("full, tested"), self.median("hour, tested")
        aim = 100 if self.scale >= 100 else 25
        ratio = full.engine_seconds / hour.engine_seconds
        what = "full build with its tests, against one hour with its tests"
        row(table, what, seconds(full), seconds(hour), ratio, aim, at_least=True)
        tests = {
            node.name
            for node in self.tidemark.manifest.nodes.values()
            if str(node.resource_type) == "test"
        }
        of_tests = sum(each.seconds for each in hour.statements if each.node in tests)
        of_models = hour.engine_seconds - of_tests
        what = "tests of an hour, against its models"
        row(table, what, f"{of_tests:.2f}", f"{of_models:.2f}", of_tests / of_models, 1)

    def measure_coverage(self, everything: Warehouse, quarter: Warehouse, table: Table) -> None:
        """Both hold the same rate of events, so the window holds as many rows in both."""
        days = min(COVERED_DAYS, int(self.stream.history / 4 / DAY) - 1)
        for _ in range(self.rounds):
            for name, warehouse in (("all", everything), ("a quarter", quarter)):
                self.build(
                    f"coverage, {name}",
                    warehouse,
                    *("--select", *self.subject.models),
                    coverage={"days": days},
                )
        ours, theirs = self.median("coverage, all"), self.median("coverage, a quarter")
        with closing(everything.connect()) as connection:
            gaps = _count(
                connection, "select count(*) from ops.partition_coverage where state <> 'ok'"
            )
        row(
            table,
            f"coverage of {days} days with four times the history ({gaps} gaps)",
            seconds(ours),
            seconds(theirs),
            ours.engine_seconds / theirs.engine_seconds,
            1.25,
            gaps == 0,
        )

    def measure_shares(self, warehouse: Warehouse, table: Table) -> None:
        """Restate more and more of the history; a line through that meets the full refresh."""
        end = warehouse.clock.date() + DAY
        for _ in range(self.rounds):
            for share in SHARES:
                window = (
                    *("--event-time-start", str(end - share * self.stream.history)),
                    *("--event-time-end", str(end)),
                )
                self.build(f"restated, {share:.0%}", warehouse, "--select", *self.replaced, *window)
            self.build("full, at the end", warehouse, "--full-refresh", "--select", *self.replaced)
        full = self.best("full, at the end")
        restated = [self.best(f"restated, {share:.0%}") for share in SHARES]
        for share, call in zip(SHARES, restated, strict=True):
            what = f"restating {share:.0%} of the days, against a full refresh"
            ratio = call.engine_seconds / full.engine_seconds
            row(table, what, seconds(call), seconds(full), ratio)
        per_node = [call.seconds_by("node") for call in (*restated, full)]
        meet = _meet(*(call.engine_seconds for call in (*restated, full)))
        what = "share from which on a full refresh takes less; refresh_above"
        aim = f"<= {REFRESH_ABOVE:.0%}"
        table.add_row(what, f"{meet:.0%}", "", "", aim, verdict(meet <= REFRESH_ABOVE))
        console.log(f"{what}: {meet:.0%}")
        for model in self.replaced:
            meet = _meet(*(seconds_of[(model,)] for seconds_of in per_node))
            table.add_row(f"    {model}", f"{meet:.0%}")

    @property
    def replaced(self) -> tuple[str, ...]:
        """The models of which a run replaces a part."""
        return tuple(model for model in self.subject.models if model != "dim_web_teams")

    def measure_microbatch(self, everything: Warehouse, table: Table) -> None:
        """Both start from the same right table, and see the same hours and days of loads."""
        with closing(everything.connect()) as connection:
            connection.execute("create schema microbatch")
            connection.execute(
                f"create table microbatch.{COMPARED_WITH_MICROBATCH} as "
                f"select * exclude (record_loaded_at) from by_hand.{COMPARED_WITH_MICROBATCH}"
            )
        for _ in range(self.repeats):
            everything.load(HOUR)
            self.build("hour, one model", everything, "--select", COMPARED_WITH_MICROBATCH)
            self.run_microbatch(everything, "hour, microbatch")
        for _ in range(SIMULATED_DAYS):
            everything.load(DAY)
            self.build("day, one model", everything, "--select", COMPARED_WITH_MICROBATCH)
            self.run_microbatch(everything, "day, microbatch")

        ours, theirs = self.median("hour, one model"), self.median("hour, microbatch")
        everything.make_by_hand(HERE / "by_hand" / f"{COMPARED_WITH_MICROBATCH}.sql")
        wrong = {
            schema: everything.wrong_company_days(schema) for schema in ("marts", "microbatch")
        }
        name = f"microbatch, lookback {LOOKBACK_DAYS}"
        row(
            table,
            f"hour of {COMPARED_WITH_MICROBATCH}, against {name}",
            seconds(ours),
            seconds(theirs),
            ours.engine_seconds / theirs.engine_seconds,
        )
        table.add_row(
            f"wrong company-days after {SIMULATED_DAYS} days, against {name}",
            str(wrong["marts"]),
            str(wrong["microbatch"]),
            "",
            "0",
            verdict(wrong["marts"] == 0),
        )

    def run_microbatch(self, warehouse: Warehouse, label: str) -> None:
        # What `lookback` does when dbt reads the wall clock, at the clock of the raw tables.
        start = warehouse.clock.date() - timedelta(days=LOOKBACK_DAYS)
        window = ("--event-time-start", str(start), "--event-time-end", str(warehouse.clock))
        self.calls.setdefault(label, []).append(
            self.microbatch.call(warehouse.path, "run", *window)
        )

    def rows_that_differ(self, warehouse: Warehouse) -> int:
        return sum(warehouse.rows_that_differ(model) for model in self.subject.models)

    def best(self, label: str) -> Call:
        """The fastest call: whatever else the machine does can only add."""
        return min(self.calls[label], key=lambda call: call.engine_seconds)

    def median(self, label: str) -> Call:
        """The call in the middle of its repetitions."""
        calls = sorted(self.calls[label], key=lambda call: call.engine_seconds)
        middle = statistics.median_low(range(len(calls)))
        return calls[middle]

    @property
    def statements(self) -> list[dict[str, object]]:
        return [
            {
                "call": label,
                "wall_seconds": call.wall_seconds,
                "engine_seconds": call.engine_seconds,
                "statements": [vars(statement) for statement in call.statements],
            }
            for label, calls in self.calls.items()
            for call in calls
        ]

    def breakdown(self) -> Table:
        """Where the time of the median call goes, by node and by what a statement is for."""
        table = Table("call", "node", title="engine milliseconds of the median call")
        tables = {label: self.median(label).seconds_by("node", "kind") for label in self.calls}
        kinds = [
            kind
            for kind, _ in sum(
                (Counter({kind: s}) for t in tables.values() for (_, kind), s in t.items()),
                Counter(),
            ).most_common()
        ]
        for kind in kinds:
            table.add_column(kind, justify="right")
        for label, cells in tables.items():
            for node in sorted({node for node, _ in cells}):
                table.add_row(label, node, *(f"{1000 * cells[node, kind]:,.0f}" for kind in kinds))
        return table


def measure_startup(table: Table, folder: Path, rounds: int) -> None:
    with console.status("commands that have nothing to do"):
        times = startup.measure(folder, rounds)
    table.add_section()
    table.add_row(f"[bold]{STARTUP}[/bold]: whole processes, wall seconds (processor seconds)")
    help_ = times[startup.HELP]
    aim = f"< {INSTANT} s"
    table.add_row(startup.HELP, str(help_), "", "", aim, verdict(help_.wall < INSTANT))
    against = times[startup.FRESHNESS]
    for command, name in (
        (startup.STATUS, "tidemark status"),
        (startup.SKIPPED_RUN, "tidemark run, nothing new"),
    ):
        this = times[command]
        what = f"{name}, against {startup.FRESHNESS}"
        row(table, what, str(this), str(against), this.wall / against.wall, 1.3)


def measure_ingest(table: Table, folder: Path, rows: int) -> None:
    table.add_section()
    table.add_row(f"[bold]{INGEST}[/bold]: {rows:,} rows, wall seconds")
    with console.status("the consumer"):
        ours, alone = ingest.consumer(folder, rows)
    share = ours.per_second / alone.per_second
    row(table, "events into files, against pyarrow alone", str(ours), str(alone), share)
    with console.status("the loader"):
        ours, alone = ingest.loader(folder, HERE.parent)
    share = ours.per_second / alone.per_second
    row(table, "files into the raw table, against DuckDB alone", str(ours), str(alone), share)


def row(
    table: Table,
    what: str,
    this: str,
    against: str,
    ratio: float,
    aim: float | None = None,
    right: bool = True,
    at_least: bool = False,
) -> None:
    # At 100 million the table comes after most of an hour: say what is known so far.
    console.log(f"{what}: {this} against {against}, {ratio:.2f}")
    if aim is None:
        table.add_row(what, this, against, f"{ratio:.2f}", "", "" if right else verdict(False))
        return
    reached = right and (ratio >= aim if at_least else ratio <= aim)
    sign = ">=" if at_least else "<="
    table.add_row(what, this, against, f"{ratio:.2f}", f"{sign} {aim:g}", verdict(reached))


def seconds(call: Call) -> str:
    return f"{call.engine_seconds:.2f} ({call.wall_seconds:.2f})"


def verdict(reached: bool) -> str:
    return "[green]yes[/green]" if reached else "[red]no[/red]"


def _meet(less: float, more: float, full: float) -> float:
    """The share at which a line through two restatements reaches the time of a full refresh."""
    slope = (more - less) / (SHARES[1] - SHARES[0])
    return SHARES[0] + (full - less) / slope


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    (found,) = connection.execute(sql).fetchall()
    return int(found[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = [*SUBJECTS, STARTUP, INGEST]
    defaults = ["spine", "web", STARTUP, INGEST]
    parser.add_argument(
        "--only", nargs="+", choices=parts, default=defaults, help="(all but web-year)"
    )
    parser.add_argument("--scale", type=float, default=10, help="million events a table")
    parser.add_argument("--repeats", type=int, default=5, help="runs to take the median of")
    parser.add_argument("--rounds", type=int, default=2, help="full refreshes to take the best of")
    parser.add_argument(
        "--folder",
        type=Path,
        default=HERE.parent / "target" / "bench",
        help="where the database files go; emptied first",
    )
    parser.add_argument("--keep", action="store_true", help="keep the database files")
    parser.add_argument("--verbose", action="store_true", help="show where the time goes")
    options = parser.parse_args()

    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    title = f"{options.scale:g} million rows a table; engine seconds (wall seconds)"
    table = Table("measured", "this", "against", "ratio", "aim", "", title=title)
    statements = []
    for name in options.only:
        if name == STARTUP:
            measure_startup(table, folder / name, options.repeats)
            continue
        if name == INGEST:
            measure_ingest(table, folder / name, round(options.scale * INGESTED))
            continue
        bench = Bench(SUBJECTS[name], options.scale, options.repeats, options.rounds, folder / name)
        stream = bench.stream
        table.add_section()
        table.add_row(
            f"[bold]{name}[/bold]: {stream.history.days} days, {stream.rows_per_hour:,.0f} an hour"
        )
        bench.run(table)
        statements += bench.statements
        if options.verbose:
            console.print(bench.breakdown())
        if not options.keep:
            for part in ("all", "quarter"):
                shutil.rmtree(bench.folder / part)
    console.print(table)
    (folder / "statements.json").write_text(json.dumps(statements, indent=2))


if __name__ == "__main__":
    main()
