"""The seeded story, step by step: each command is printed as one would type it, then run.

Time passes by moving the clock; the raw tables stand still and reveal what was loaded by then.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule

from tidemark import report
from tidemark.build import build, exit_code
from tidemark.engine import Dbt
from tidemark.exits import Exit
from tidemark.judgement import judge

_DATABASE = "demo.duckdb"
# A directory of its own, so that the parsed project of other commands stays valid.
_TARGET_PATH = Path("target") / "demo"
_FLAGS = "churn_flags"


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
    as_of: datetime | None = None
    expected: Exit = Exit.DONE

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return f"dbt show --select {_FLAGS}"


_ANSWERED = datetime(2025, 10, 16, 3)

STORY: tuple[Run | Show, ...] = (
    Run(
        "The first run",
        "Nothing exists yet: every model is new and built whole.",
    ),
    Run(
        "Again, at the same clock",
        "No source brought anything, so nothing is built, and each model says so.",
    ),
    Run(
        "An hour later",
        "The hour brought its own events, and two that are three weeks old. Only the days they"
        " belong to are recomputed: see the column partitions.",
        datetime(2025, 10, 15, 13),
    ),
    Show(
        "Before the late answer",
        "The usage API never answered for 2025-10-10. For companies whose other days were silent"
        " the flag is null: nobody can know.",
        datetime(2025, 10, 15, 13),
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
    ),
    Run(
        "A source goes stale",
        "The hourly events stop at midnight. Past their limit they block the models below them;"
        f" the others go on. The exit code is {Exit.BLOCKED.value}, so that a scheduler notices.",
        datetime(2025, 10, 17, 6, 30),
        Exit.BLOCKED,
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


def _tell(step: Run | Show, dbt: Dbt, out: Console) -> dict[str, Any]:
    out.print()
    out.print(Rule(f"[bold]{step.title}[/]", align="left"))
    out.print(step.tells)
    out.print(f"\n[bold]$ {step.command}[/]")
    if isinstance(step, Run):
        judgement = judge(dbt, step.as_of)
        report.show_judgement(out, judgement)
        built = build(dbt, judgement)
        report.show_build(out, judgement, built)
        code = exit_code(judgement, built)
        result = report.as_json(judgement, built)
    else:
        rows = _show(dbt, _FLAGS)
        report.show_rows(out, rows)
        code, result = Exit.DONE, {"rows": rows}
    if code != Exit.DONE:
        out.print(f"Exit code {int(code)}" + (", as expected." if code == step.expected else "."))
    return {
        "title": step.title,
        "command": step.command,
        "exit_code": int(code),
        "expected_exit_code": int(step.expected),
        **result,
    }


def _show(dbt: Dbt, analysis: str) -> list[dict[str, Any]]:
    """The rows of an analysis, as `dbt show` fetches them, as JSON values."""
    outcome = dbt.call("show", "--select", analysis, "--limit", "-1")
    outcome.raise_if_failed()
    tables = [result.agate_table for result in outcome.results]
    return [
        {name: _plain(value) for name, value in zip(table.column_names, row.values(), strict=True)}
        for table in tables
        for row in table.rows
    ]


def _plain(value: Any) -> Any:
    """A JSON value: dbt fetches every number as a decimal."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, bool) else str(value)


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
