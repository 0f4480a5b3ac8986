"""From the landing into the raw tables: list what has landed, have the macros load it, tell.

The macros load each delivery (the files of one name, such as a day's usage and its answer) in one
transaction, and know which they have loaded. They stop at one that fails; this goes on after it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemark.clock import parse_clock
from tidemark.engine import DatabaseLockedError, Dbt, DbtError, Outcome, as_yaml
from tidemark.ingest import words
from tidemark.ingest.landing import JobReport, Landing, LandingError, now, shown
from tidemark.messages import telling_lines
from tidemark.paths import of_setting

# Deliveries of one transaction. A file of 1250 rows takes 39 ms by itself, 23 as one of twenty, and
# 21 as one of fifty (measured).
_AT_ONCE = 50
# Characters of JSON: the macro `text_literal` cuts text off at 2000.
_LENGTH = 1500
# Under this name the ledger keeps loads; ingest jobs are called `ingest usage` and the like.
LOAD = "load"


@dataclass(frozen=True)
class LoadedFile:
    """A file whose rows are in its raw table now."""

    path: str
    table: str
    records: int
    loaded_at: datetime


@dataclass(frozen=True)
class FailedFile:
    """A file that is in the landing and nowhere else, and why."""

    path: str
    reason: str


@dataclass
class Load:
    """What one load did. `set_back` names the models that have to look again at loads they passed.

    `unknown` counts the files in folders that no raw table of the project is called by, `unread`
    are the paths of what is not called as landed files are.
    """

    landing: str
    as_of: datetime
    started_at: datetime
    loaded: list[LoadedFile] = field(default_factory=list)
    failed: list[FailedFile] = field(default_factory=list)
    set_back: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    jobs: dict[str, JobReport] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether all that has landed is in the raw tables."""
        return not self.failed

    @property
    def last_jobs(self) -> dict[str, JobReport]:
        """Of each ingest job that reported, its last run; what one has lost no later one brings."""
        last: dict[str, JobReport] = {}
        for report in self.jobs.values():
            known = last.get(report.job)
            if known is None or report.figures.get("lost") or not known.figures.get("lost"):
                last[report.job] = report
        return last

    @property
    def error(self) -> str | None:
        """What went wrong, in one sentence."""
        if not self.failed:
            return None
        first, *others = self.failed
        more = f" and {len(others)} more" if others else ""
        return f"Not loaded: {shown(first.path)}{more}. {first.reason}"


def load(dbt: Dbt, landing: Landing, as_of: datetime | None = None) -> Load:
    """Load what is not loaded yet, and write the ledger of it and of the ingest jobs before it.

    Raises DbtError or LandingError when nothing more could be done; what was loaded before that
    stays, each delivery whole.
    """
    known = {name for id_, name in dbt.lineage.names.items() if id_ in dbt.lineage.sources}
    listing = landing.listing()
    paths = [file.path for file in listing.files if file.table in known]
    reports = landing.report_paths()
    done = Load(landing.root, as_of or now(), now(), unread=listing.unread)
    done.unknown.update(file.table for file in listing.files if file.table not in known)
    with _giving_back_the_lock(dbt, as_of):
        told = _Loader(dbt, landing.root, as_of, done).load(paths, reports)
        done.as_of = parse_clock(told["as_of"])
        done.jobs, unreadable = _read_reports(landing, told["new_reports"])
        done.failed += unreadable
        dbt.operate("close_load", _records(done), as_of)
    return done


@dataclass(frozen=True)
class _Loader:
    """Calls the macro that loads until it has gone through all files."""

    dbt: Dbt
    root: str
    as_of: datetime | None
    done: Load

    def load(
        self, paths: Sequence[str], reports: Sequence[str] = (), at_once: int = _AT_ONCE
    ) -> dict[str, Any]:
        """Load these files, so many deliveries at once: what the macro says at its end."""
        while True:
            # As JSON in text, since dbt reads its arguments as YAML: 50,000 paths in 0.1 s, as a
            # list in 3.4 s (measured). Any character may stand in a path.
            texts = {"files": json.dumps(paths), "reports": json.dumps(reports)}
            given = as_yaml({"root": self.root, **texts, "at_once": at_once})
            outcome = self.dbt.call(
                *("run-operation", "load_landing", "--no-write-json", "--args", given),
                as_of=self.as_of,
            )
            for told in outcome.events.get("loaded", []):
                self.done.loaded += [_read_file(file) for file in told["files"]]
                self.done.set_back = sorted({*self.done.set_back, *told["set_back"]})
            if outcome.success:
                return outcome.event("landing")
            begun = _failed(outcome)
            if begun["deliveries"] > 1:
                # Which of them it is shows one by one.
                self.load(begun["paths"], at_once=1)
            else:
                reason = telling_lines("\n".join(outcome.errors)) or "dbt failed without a word."
                self.done.failed += [FailedFile(path, reason) for path in begun["paths"]]
            gone = frozenset(begun["paths"])
            left = [path for path in paths if path not in gone]
            if len(left) == len(paths):
                # Asked again for the same, the macro would fail at the same, without end.
                raise outcome.failure("dbt failed without a word.")
            paths = left


def landing_of(dbt: Dbt, root: str | None = None) -> Landing:
    """The landing of a project, where its warehouse can read it, too."""
    landing = Landing.at(root, dbt.project_dir)
    if "://" in landing.root:
        # The profile has DuckDB read buckets only where somebody has one.
        os.environ["TIDEMARK_LANDING"] = landing.root
    return landing


@dataclass
class BroughtIn:
    """What `tidemark run --ingest` did before the run itself; `error` is what ended it early."""

    load: Load | None = None
    error: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether everything was ingested and loaded."""
        return (
            self.error is None
            and self.load is not None
            and self.load.is_done
            and all(report.status == "success" for report in self.load.last_jobs.values())
        )


def bring_in(dbt: Dbt, as_of: datetime | None = None) -> BroughtIn:
    """Ingest what is set up, and load what has landed.

    What fails is told and stops no run: the gate judges how fresh everything is. A database that
    is in use does.
    """
    from tidemark.ingest.configured import ingest

    brought = BroughtIn()
    try:
        landing = landing_of(dbt)
        if crm := os.environ.get("TIDEMARK_CRM_PATH"):
            os.environ["TIDEMARK_CRM_PATH"] = of_setting(crm, dbt.project_dir)
        ingest(landing, as_of)
        brought.load = load(dbt, landing, as_of)
    except DatabaseLockedError:
        raise
    except DbtError as error:
        brought.error = telling_lines(str(error))
    except Exception as error:
        # Whatever it is, it stops no build of what the raw tables hold.
        brought.error = telling_lines(words(error))
    return brought


@contextmanager
def _giving_back_the_lock(dbt: Dbt, as_of: datetime | None) -> Iterator[None]:
    """Hold the run lock no longer than the load, however that ends."""
    try:
        yield
    except DatabaseLockedError:
        raise
    except (DbtError, KeyboardInterrupt):
        with suppress(DbtError):
            dbt.operate("release_run_lock", as_of=as_of)
        raise


def _read_file(told: Mapping[str, Any]) -> LoadedFile:
    loaded_at = parse_clock(told["loaded_at"])
    return LoadedFile(told["path"], told["table_name"], told["records"], loaded_at)


def _failed(outcome: Outcome) -> dict[str, Any]:
    """The deliveries that the macro began and did not finish."""
    begun = outcome.events.get("loading", [])
    if len(begun) <= len(outcome.events.get("loaded", [])):
        raise outcome.failure("dbt failed without a word.")
    return begun[-1]


def _read_reports(
    landing: Landing, paths: Iterable[str]
) -> tuple[dict[str, JobReport], list[FailedFile]]:
    reports, unreadable = {}, []
    for path in paths:
        try:
            reports[path] = landing.read_report(path)
        except LandingError as error:
            unreadable.append(FailedFile(path, str(error)))
    return reports, unreadable


def _records(done: Load) -> dict[str, Any]:
    """The load and the jobs before it as the macro `close_load` takes them."""
    return {
        "jobs": [
            *(_job(report, path) for path, report in done.jobs.items()),
            {
                "job_name": LOAD,
                "status": "success" if done.is_done else "failed",
                "started_at": done.started_at.isoformat(),
                "records_processed": sum(file.records for file in done.loaded),
                "error_message": done.error,
                "figures": {
                    "files": len(done.loaded),
                    "failed_files": len(done.failed),
                    "unread_files": len(done.unread),
                    "set_back": len(done.set_back),
                },
            },
        ],
        "failed_files": [{"path": file.path, "error_message": file.reason} for file in done.failed],
    }


def _job(report: JobReport, path: str) -> dict[str, Any]:
    return {
        "job_name": f"ingest {report.job}",
        "status": report.status,
        "started_at": report.started_at.isoformat(),
        "completed_at": report.completed_at.isoformat(),
        "records_processed": report.records,
        "error_message": report.error,
        "figures": _short(report.figures),
        "path": path,
    }


def _short(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What a column of the ledger holds whole; lists of days may be long, numbers are not."""
    if len(json.dumps(figures)) <= _LENGTH:
        return dict(figures)
    return {name: figure for name, figure in figures.items() if isinstance(figure, int | float)}


def by_table(files: Sequence[LoadedFile]) -> dict[str, list[LoadedFile]]:
    """The files of each raw table."""
    found: dict[str, list[LoadedFile]] = {}
    for file in files:
        found.setdefault(file.table, []).append(file)
    return dict(sorted(found.items()))
