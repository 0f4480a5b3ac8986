"""The seeded story, step by step: each command is printed as one would type it, then run.

Time passes by moving the clock; the raw tables stand still and reveal what was loaded by then.
"""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from rich.console import Console
from rich.rule import Rule

from tidemark import cadence, gaps, page
from tidemark.backfill import repair
from tidemark.build import build, exit_code
from tidemark.engine import Dbt
from tidemark.exits import Exit
from tidemark.health import look
from tidemark.ingest.local_api import LocalApi, serving
from tidemark.judgement import judge
from tidemark.load import landing_of, load
from tidemark.report.build import run_as_json, show_build
from tidemark.report.cadence import cadence_as_json, show_cadence
from tidemark.report.gaps import look_as_json, show_gaps
from tidemark.report.health import health_as_json, show_health
from tidemark.report.ingest import show_usage, usage_as_json
from tidemark.report.judgement import show_judgement
from tidemark.report.load import load_as_json, show_load
from tidemark.report.repair import plan_as_json, show_plan, show_repair, show_repairs_end
from tidemark.report.tables import show_rows
from tidemark.watermarks import change

_DATABASE = "demo.duckdb"
# A directory of its own, so that the parsed project of other commands stays valid.
_TARGET_PATH = Path("target") / "demo"
_LANDING = _TARGET_PATH / "landing"
_REPORT = "demo_report.html"
_FINDINGS, _FLAGS = "late_findings", "churn_flags"


@dataclass(frozen=True)
class Step(ABC):
    """A command, what it shows, and how it ends; without a clock at that of the seeds."""

    title: str
    tells: str
    as_of: datetime | None = None
    expected: Exit = Exit.DONE

    @property
    @abstractmethod
    def command(self) -> str:
        """The command as one would type it."""

    @abstractmethod
    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        """Do what the command does: its exit code, and its result as JSON values."""

    @property
    def at(self) -> str:
        """The clock as an option."""
        return f" --as-of {self.as_of.isoformat()}" if self.as_of else ""


class Run(Step):
    """`tidemark run`."""

    @property
    def command(self) -> str:
        return f"tidemark run{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        judgement = judge(dbt, self.as_of)
        show_judgement(out, judgement)
        built = build(dbt, judgement)
        show_build(out, judgement, built)
        return exit_code(judgement, built), run_as_json(judgement, built)


@dataclass(frozen=True, kw_only=True)
class Show(Step):
    """`dbt show` of an analysis, as of the run before it."""

    analysis: str

    @property
    def command(self) -> str:
        return f"dbt show --select {self.analysis}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        rows = dbt.show(self.analysis)
        show_rows(out, rows)
        return Exit.DONE, {"rows": rows}


@dataclass(frozen=True, kw_only=True)
class SetBack(Step):
    """`tidemark watermark set`."""

    to: datetime
    job: str = "fact_events_daily"
    reason: str = "a doubt"

    @property
    def command(self) -> str:
        return (
            f"tidemark watermark set {self.job} {self.to.isoformat()} --reason '{self.reason}'"
            f" --yes{self.at}"
        )

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        changed = change(dbt, self.job, self.reason, self.to, self.as_of)
        out.print(changed.words)
        return Exit.DONE, {"rows": dict(changed.rows)}


class Look(Step):
    """`tidemark status --exit-code`."""

    @property
    def command(self) -> str:
        return f"tidemark status --exit-code{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        health = look(dbt, self.as_of)
        show_health(out, health)
        return health.exit_code, health_as_json(health)


@dataclass(frozen=True, kw_only=True)
class Advise(Step):
    """`tidemark cadence --every`."""

    every: timedelta = timedelta(minutes=15)

    @property
    def command(self) -> str:
        return f"tidemark cadence --every {self.every // timedelta(minutes=1)}m{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        seen = cadence.look(dbt, every=self.every, as_of=self.as_of)
        show_cadence(out, seen)
        return Exit.DONE, cadence_as_json(seen)


@dataclass(frozen=True, kw_only=True)
class Ask(Step):
    """`tidemark ingest usage`, for some days."""

    as_of: datetime
    first: date
    last: date

    @property
    def command(self) -> str:
        return f"tidemark ingest usage --start {self.first} --end {self.last}{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        from tidemark.ingest import usage
        from tidemark.ingest.usage_api import Settings

        landing = landing_of(dbt)
        plan = usage.prepare(landing, self.as_of, self.first, self.last)
        came = usage.ingest(landing, Settings.of(), plan, lambda: self.as_of)
        show_usage(out, came, plan, None)
        return (Exit.FAILED if came.open else Exit.DONE), usage_as_json(came, plan)


class Take(Step):
    """`tidemark load`."""

    @property
    def command(self) -> str:
        return f"tidemark load{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        done = load(dbt, landing_of(dbt), self.as_of)
        show_load(out, done)
        return (Exit.DONE if done.is_done else Exit.FAILED), load_as_json(done)


@dataclass(frozen=True, kw_only=True)
class Accident(Step):
    """A macro of the demo that does some damage."""

    macro: str

    @property
    def command(self) -> str:
        return f"dbt run-operation {self.macro}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:  # noqa: ARG002
        dbt.operate(self.macro, as_of=self.as_of)
        return Exit.DONE, {}


@dataclass(frozen=True, kw_only=True)
class Compare(Step):
    """`tidemark gaps` on one table."""

    as_of: datetime
    table: str

    @property
    def command(self) -> str:
        return f"tidemark gaps --table {self.table}{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        found = self.look(dbt)
        show_gaps(out, found, everything=False)
        return Exit.DONE, look_as_json(found, everything=False)

    def look(self, dbt: Dbt) -> gaps.Look:
        """Compare the table with what its raw rows say."""
        return gaps.look(dbt, self.as_of, gaps.Asked(tables=(self.table,)))


class Backfill(Compare):
    """`tidemark backfill --apply` on one table."""

    @property
    def command(self) -> str:
        return f"tidemark backfill --apply --table {self.table}{self.at}"

    def take(self, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
        known = self.look(dbt)
        show_plan(out, known)
        repairs = repair(
            *(dbt, known, gaps.Asked(tables=(self.table,)), False),
            progress=lambda _: nullcontext(),
            tell=lambda done: show_repair(out, done),
        )
        show_repairs_end(out, repairs)
        return repairs.exit_code, plan_as_json(repairs)


_AN_HOUR_LATER = datetime(2025, 10, 15, 13)
_ANSWERED = datetime(2025, 10, 16, 3)

_STALE = datetime(2025, 10, 17, 6, 30)

STORY: tuple[Step, ...] = (
    Run(
        "The first run",
        "Nothing exists yet: every model is new and built whole.",
    ),
    Run(
        "Again, at the same clock",
        "No source brought anything, so nothing is built, and each model says so.",
    ),
    Show(
        "What is about to change",
        "Four numbers of the past, as they are known now.",
        analysis=_FINDINGS,
    ),
    Run(
        "An hour later",
        "The hour brought its own events, and a few that are days or weeks old. Only the days they"
        " belong to are recomputed: see the column partitions.",
        _AN_HOUR_LATER,
    ),
    Show(
        "What has changed",
        "A customer was created two weeks ago, an earlier attempt took part of a later one's"
        " progress, a session began before the hour it was known for, and a team that was enabled"
        " got its whole history.",
        _AN_HOUR_LATER,
        analysis=_FINDINGS,
    ),
    Show(
        "Before the late answer",
        "The usage API never answered for 2025-10-10. For companies whose other days were silent"
        " the flag is null: nobody can know.",
        _AN_HOUR_LATER,
        analysis=_FLAGS,
    ),
    Run(
        "The late answer",
        "In the night the API answers at last, for the day of the outage too.",
        _ANSWERED,
    ),
    Show(
        "After the late answer",
        "Seven of seven days are reported. Who was silent on that day as well is at risk; who was"
        " active on it is not.",
        _ANSWERED,
        analysis=_FLAGS,
    ),
    Advise(
        "How often is it worth looking?",
        "Checked every quarter of an hour, an hourly source has nothing new three times of four."
        " Skips are cheap, but a schedule that fits is cheaper.",
        _ANSWERED,
    ),
    SetBack(
        "A doubt",
        "Somebody doubts what was made of a fortnight's events. A row in the ledger, with the"
        " reason, has them read again by the next run; nothing can be lost by that.",
        _ANSWERED,
        to=datetime(2025, 10, 1),
    ),
    Ask(
        "Two days from the API",
        "Until here the raw tables were seeds. A usage API on this machine now stands in for"
        " yours: in the night it is asked for two days. Its answers land as files, each with its"
        " load time; the warehouse is not needed for that.",
        as_of=datetime(2025, 10, 17, 5),
        first=date(2025, 10, 15),
        last=date(2025, 10, 16),
    ),
    Ask(
        "One of them again",
        "At five the API had not yet counted all of the second day. A further answer is a further"
        " file; the later load time wins, company by company.",
        as_of=datetime(2025, 10, 17, 6),
        first=date(2025, 10, 16),
        last=date(2025, 10, 16),
    ),
    Take(
        "From files into raw tables",
        "Each file once: its rows and the ledger's row of it are one transaction.",
        _STALE,
    ),
    Run(
        "A source goes stale",
        "What was loaded is built. But the hourly events stopped at midnight: past their limit they"
        " block the models below them, and the others go on. The exit code is"
        f" {Exit.BLOCKED.value}, so that a scheduler notices.",
        _STALE,
        Exit.BLOCKED,
    ),
    Show(
        "What came of it",
        "Both days were answered twice, the first one also in the seeds; each counts once.",
        _STALE,
        analysis="answered_days",
    ),
    Look(
        "How is it?",
        "Every figure against its limits. Rows that wait are what the seeds know of the future.",
        _STALE,
        Exit.CRITICAL,
    ),
    Accident(
        "An accident",
        "Somebody deletes three days of a team by hand. No load and no freshness check will ever"
        " tell.",
        _STALE,
        macro="delete_three_days",
    ),
    Compare(
        "What is missing",
        "Every stored partition is compared with what its raw rows say.",
        as_of=_STALE,
        table="web_hourly_stats",
    ),
    Backfill(
        "The repair",
        "Exactly the damaged partitions are rewritten, by the model itself, and compared again.",
        as_of=_STALE,
        table="web_hourly_stats",
    ),
)

_TOKEN = "demo"


class _Answers:
    """What the API of the demo knows; of the second day only a part when it is asked first."""

    days: ClassVar = {
        date(2025, 10, 15): [
            *(("acme", 24, 118), ("borealis", 14, 67), ("cobalt", 17, 84), ("dynamo", 11, 50)),
            *(("ember", 7, 32), ("renamed", 12, 51), ("silent-only-in-outage", 8, 34)),
            ("usage-only", 5, 21),
        ],
        date(2025, 10, 16): [
            *(("acme", 21, 99), ("borealis", 14, 66), ("cobalt", 16, 77), ("dynamo", 10, 47)),
            *(("ember", 8, 36), ("renamed", 12, 54), ("silent-only-in-outage", 7, 32)),
            ("usage-only", 4, 19),
        ],
    }

    def __init__(self) -> None:
        self.asked: Counter[date] = Counter()

    def __call__(self, day: date) -> list[tuple[str, int, int]]:
        self.asked[day] += 1
        known = self.days[day]
        is_counting = day == max(self.days) and self.asked[day] == 1
        return [("acme", 13, 58), *known[1:5]] if is_counting else known


def tell(project_dir: Path, out: Console, until: datetime | None = None) -> list[dict[str, Any]]:
    """Tell the story from the beginning, and return what each step did."""
    landing = project_dir / _LANDING
    shutil.rmtree(landing, ignore_errors=True)
    with serving(LocalApi(_Answers(), _TOKEN)) as url:
        here = {"TIDEMARK_LANDING": str(landing), "TIDEMARK_USAGE_URL": url}
        with _environment({**here, "TIDEMARK_USAGE_TOKEN": _TOKEN}):
            return _tell_all(project_dir, out, until)


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    """What the reader's own settings are to the commands, for as long as the story lasts."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _tell_all(project_dir: Path, out: Console, until: datetime | None) -> list[dict[str, Any]]:
    os.environ["TIDEMARK_DEMO_PATH"] = _DATABASE
    for leftover in (_DATABASE, f"{_DATABASE}.wal"):
        (project_dir / leftover).unlink(missing_ok=True)
    dbt = Dbt(project_dir, target="demo", target_path=_TARGET_PATH)
    out.print("The story is told in a database file of its own, as if you had typed:\n")
    out.print(f"[bold]$ export TIDEMARK_DEMO_PATH={_DATABASE}[/]")
    told: list[dict[str, Any]] = []
    for step in STORY:
        if until is not None and step.as_of is not None and step.as_of > until:
            break
        told.append(_tell(step, dbt, out))
        if told[-1]["exit_code"] != step.expected:
            out.print("[red]The story should have gone on otherwise, so it ends here.[/]")
            return told
    _write_report(project_dir, dbt, out)
    _tell_the_rest(project_dir, out)
    return told


def _write_report(project_dir: Path, dbt: Dbt, out: Console) -> None:
    """The whole story as a page, where the extra that draws it is installed."""
    out.print()
    out.print(Rule("[bold]See it[/]", align="left"))
    out.print(f"[bold]$ tidemark report --output {_REPORT}[/]")
    if not page.is_installed():
        out.print(page.MISSING)
        return
    made = page.make(dbt)
    page.write(made.html, project_dir / _REPORT)
    out.print(f"All of it as one page, for a browser: {project_dir / _REPORT}")


def _tell(step: Step, dbt: Dbt, out: Console) -> dict[str, Any]:
    out.print()
    out.print(Rule(f"[bold]{step.title}[/]", align="left"))
    out.print(step.tells)
    out.print(f"\n[bold]$ {step.command}[/]")
    dbt.run_id = str(uuid4())
    code, result = step.take(dbt, out)
    if code != Exit.DONE:
        out.print(f"Exit code {int(code)}" + (", as expected." if code == step.expected else "."))
    return {
        "title": step.title,
        "command": step.command,
        "exit_code": int(code),
        "expected_exit_code": int(step.expected),
        **result,
    }


def _tell_the_rest(project_dir: Path, out: Console) -> None:
    # `make demo` runs in an environment of its own, which the reader's shell does not know.
    venv = Path(sys.prefix)
    activate = f". {venv.name}/bin/activate; " if venv.parent == project_dir else ""
    out.print()
    out.print(Rule("[bold]Where to look next[/]", align="left"))
    out.print(
        f"The tables are in {_DATABASE}: marts.company_daily_activity, marts.engagement_daily,\n"
        "marts.fct_engagement_metrics and their neighbours; ops.etl_job_watermarks,\n"
        "ops.source_checks and ops.quarantined_rows say how they came about.\n\n"
        f"[bold]$ {activate}export TIDEMARK_DEMO_PATH={_DATABASE}[/]\n"
        f"[bold]$ tidemark check{STORY[-1].at}[/]\n"
        "  what a run would do now, and why\n"
        "[bold]$ dbt show --select company_daily_activity[/]\n"
        "  the first rows of a table\n"
        "[bold]$ unset TIDEMARK_DEMO_PATH; dbt build[/]\n"
        "  plain dbt does all of it too, in a file of its own, tidemark.duckdb\n"
        "[bold]$ make docs[/]\n"
        "  every table and column, and the graph"
    )
