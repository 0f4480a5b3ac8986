"""The seeded story, step by step: each command is printed as one would type it, then run.

Time passes by moving the clock; the raw tables stand still and reveal what was loaded by then.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.rule import Rule

from tidemark import cadence, gaps
from tidemark.backfill import repair
from tidemark.build import build, exit_code
from tidemark.engine import Dbt
from tidemark.exits import Exit
from tidemark.health import look
from tidemark.judgement import judge
from tidemark.report.build import run_as_json, show_build
from tidemark.report.cadence import cadence_as_json, show_cadence
from tidemark.report.gaps import look_as_json, show_gaps
from tidemark.report.health import health_as_json, show_health
from tidemark.report.judgement import show_judgement
from tidemark.report.repair import plan_as_json, show_plan, show_repair, show_repairs_end
from tidemark.report.tables import show_rows
from tidemark.watermarks import change

_DATABASE = "demo.duckdb"
# A directory of its own, so that the parsed project of other commands stays valid.
_TARGET_PATH = Path("target") / "demo"
_FINDINGS, _FLAGS = "late_findings", "churn_flags"


@dataclass(frozen=True)
class Run:
    """`tidemark run` at a clock; none is the clock of the seeds."""

    title: str
    tells: str
    as_of: datetime | None = None
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return "tidemark run" + (f" --as-of {self.as_of.isoformat()}" if self.as_of else "")


@dataclass(frozen=True)
class Show:
    """`dbt show` of an analysis, as of the run before it."""

    title: str
    tells: str
    analysis: str
    as_of: datetime | None = None
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"dbt show --select {self.analysis}"


@dataclass(frozen=True)
class SetBack:
    """`tidemark watermark set` at a clock."""

    title: str
    tells: str
    to: datetime
    as_of: datetime
    job: str = "fact_events_daily"
    reason: str = "a doubt"
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return (
            f"tidemark watermark set {self.job} {self.to.isoformat()} --reason '{self.reason}'"
            f" --yes --as-of {self.as_of.isoformat()}"
        )


@dataclass(frozen=True)
class Look:
    """`tidemark status --exit-code` at a clock."""

    title: str
    tells: str
    as_of: datetime
    expected: Exit

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"tidemark status --exit-code --as-of {self.as_of.isoformat()}"


@dataclass(frozen=True)
class Advise:
    """`tidemark cadence --every` at a clock."""

    title: str
    tells: str
    as_of: datetime
    every: timedelta = timedelta(minutes=15)
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        minutes = self.every // timedelta(minutes=1)
        return f"tidemark cadence --every {minutes}m --as-of {self.as_of.isoformat()}"


@dataclass(frozen=True)
class Accident:
    """A macro of the demo that does some damage."""

    title: str
    tells: str
    macro: str
    as_of: datetime
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"dbt run-operation {self.macro}"


@dataclass(frozen=True)
class Compare:
    """`tidemark gaps` on one table at a clock."""

    title: str
    tells: str
    table: str
    as_of: datetime
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"tidemark gaps --table {self.table} --as-of {self.as_of.isoformat()}"


@dataclass(frozen=True)
class Backfill:
    """`tidemark backfill --apply` on one table at a clock."""

    title: str
    tells: str
    table: str
    as_of: datetime
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"tidemark backfill --apply --table {self.table} --as-of {self.as_of.isoformat()}"


Step = Run | Show | SetBack | Look | Advise | Accident | Compare | Backfill

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
        _FINDINGS,
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
        _FINDINGS,
        _AN_HOUR_LATER,
    ),
    Show(
        "Before the late answer",
        "The usage API never answered for 2025-10-10. For companies whose other days were silent"
        " the flag is null: nobody can know.",
        _FLAGS,
        _AN_HOUR_LATER,
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
        _FLAGS,
        _ANSWERED,
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
        datetime(2025, 10, 1),
        _ANSWERED,
    ),
    Run(
        "A source goes stale",
        "The hourly events stop at midnight. Past their limit they block the models below them;"
        f" the others go on. The exit code is {Exit.BLOCKED.value}, so that a scheduler notices.",
        _STALE,
        Exit.BLOCKED,
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
        "delete_three_days",
        _STALE,
    ),
    Compare(
        "What is missing",
        "Every stored partition is compared with what its raw rows say.",
        "web_hourly_stats",
        _STALE,
    ),
    Backfill(
        "The repair",
        "Exactly the damaged partitions are rewritten, by the model itself, and compared again.",
        "web_hourly_stats",
        _STALE,
    ),
)


def tell(project_dir: Path, out: Console, until: datetime | None = None) -> list[dict[str, Any]]:
    """Tell the story from the beginning, and return what each step did."""
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
    _tell_the_rest(project_dir, out)
    return told


def _tell(step: Step, dbt: Dbt, out: Console) -> dict[str, Any]:
    out.print()
    out.print(Rule(f"[bold]{step.title}[/]", align="left"))
    out.print(step.tells)
    out.print(f"\n[bold]$ {step.command}[/]")
    dbt.run_id = str(uuid4())
    code, result = _take(step, dbt, out)
    if code != Exit.DONE:
        out.print(f"Exit code {int(code)}" + (", as expected." if code == step.expected else "."))
    return {
        "title": step.title,
        "command": step.command,
        "exit_code": int(code),
        "expected_exit_code": int(step.expected),
        **result,
    }


def _take(step: Step, dbt: Dbt, out: Console) -> tuple[int, dict[str, Any]]:
    """Do what a step does: its exit code, and its result as JSON values."""
    match step:
        case Run():
            judgement = judge(dbt, step.as_of)
            show_judgement(out, judgement)
            built = build(dbt, judgement)
            show_build(out, judgement, built)
            return exit_code(judgement, built), run_as_json(judgement, built)
        case Show():
            rows = dbt.show(step.analysis)
            show_rows(out, rows)
            return Exit.DONE, {"rows": rows}
        case SetBack():
            changed = change(dbt, step.job, step.reason, step.to, step.as_of)
            out.print(changed.words)
            return Exit.DONE, {"rows": dict(changed.rows)}
        case Advise():
            seen = cadence.look(dbt, every=step.every, as_of=step.as_of)
            show_cadence(out, seen)
            return Exit.DONE, cadence_as_json(seen)
        case Look():
            health = look(dbt, step.as_of)
            show_health(out, health)
            return health.exit_code, health_as_json(health)
        case Accident():
            dbt.operate(step.macro, as_of=step.as_of)
            return Exit.DONE, {}
        case Compare():
            found = gaps.look(dbt, step.as_of, gaps.Asked(table=step.table))
            show_gaps(out, found, everything=False)
            return Exit.DONE, look_as_json(found, everything=False)
        case Backfill():
            known = gaps.look(dbt, step.as_of, gaps.Asked(table=step.table))
            show_plan(out, known)
            repairs = repair(
                *(dbt, known, gaps.Asked(table=step.table), False),
                progress=lambda _: nullcontext(),
                tell=lambda done: show_repair(out, done),
            )
            show_repairs_end(out, repairs)
            return repairs.exit_code, plan_as_json(repairs)


def _tell_the_rest(project_dir: Path, out: Console) -> None:
    last = STORY[-1].as_of
    clock = f" --as-of {last.isoformat()}" if last else ""
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
        f"[bold]$ tidemark check{clock}[/]\n"
        "  what a run would do now, and why\n"
        "[bold]$ dbt show --select company_daily_activity[/]\n"
        "  the first rows of a table\n"
        "[bold]$ unset TIDEMARK_DEMO_PATH; dbt build[/]\n"
        "  plain dbt does all of it too, in a file of its own, tidemark.duckdb\n"
        "[bold]$ make docs[/]\n"
        "  every table and column, and the graph"
    )
