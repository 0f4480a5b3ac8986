"""DAGs of Tidemark, each from a few words: what, when, and what besides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import Any

from airflow.sdk import DAG, Asset, BaseOperator, Param

from tidemark_airflow.operators import (
    BlockedOperator,
    MartOperator,
    OutcomeOperator,
    TidemarkOperator,
)
from tidemark_airflow.project import Project, marts_of
from tidemark_airflow.told import SKIPPED

_BEGAN = datetime(2025, 1, 1, tzinfo=timezone.utc)
# What a person may say when triggering: what a schedule never does.
_CLOCK = {
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date-time",
        description="The clock; the target's own unless it is said.",
    )
}
_AS_OF = "{% if params.as_of %}--as-of={{ params.as_of }}{% endif %}"
_A_DAY = {"type": "string", "format": "date"}


@cache
def mart(name: str) -> Asset:
    """The asset of a mart: `schedule=[mart("company_daily_activity")]` runs when it was built."""
    return Asset(name=f"tidemark.{name}", uri=f"tidemark://marts/{name}")


def run_dag(
    dag_id: str,
    *,
    schedule: Any,
    select: Collection[str] = (),
    ingest: Collection[str] = (),
    flags: Sequence[str] = (),
    project: Project | None = None,
    fails_when_blocked: bool = False,
    **options: Any,
) -> DAG:
    """Build what is new of some domains or models, with a task for each mart.

    `ingest` names what is ingested before, one after the other; then what has landed is loaded.
    Whether one of them failed, the next goes on, and the run fails at its end.
    """
    project = project or Project.of_environment()
    with _dag(dag_id, schedule, _CLOCK, options) as dag:
        before = [_call(f"ingest_{job}", ["ingest", job], project) for job in ingest]
        if ingest:
            before.append(_call("load", ["load", _AS_OF], project))
        selected = [argument for name in select for argument in ("--select", name)]
        wanted = ["run", *selected, "--skip-exit-code", str(SKIPPED), *flags, _AS_OF]
        run = _call("run", wanted, project)
        for first, then in pairwise([*before, run]):
            then.trigger_rule = "all_done"
            first >> then
        blocked = BlockedOperator(task_id="blocked", run="run")
        run >> [
            blocked,
            *(
                MartOperator(task_id=name, mart=name, asset=mart(name), run="run")
                for name in marts_of(project.manifest, select)
            ),
        ]
        _end([*before, run], fails_when_blocked, blocked)
    return dag


def backfill_dag(
    dag_id: str, *, select: Collection[str], project: Project | None = None, **options: Any
) -> DAG:
    """Restate a window that is told when triggering: `start_date`, `end_date` (the day after the
    last), `interval`. Airflow refuses what is no date; the command what is no window."""
    project = project or Project.of_environment()
    params = {
        "start_date": Param(description="The first day.", **_A_DAY),
        "end_date": Param(description="The day after the last one.", **_A_DAY),
        "interval": Param("daily", enum=["daily", "weekly"], description="How much at once."),
        **_CLOCK,
    }
    asked = ["--start={{ params.start_date }}", "--end={{ params.end_date }}"]
    asked += ["--interval={{ params.interval }}", _AS_OF]
    asked += [argument for name in select for argument in ("--select", name)]
    with _dag(dag_id, None, params, options) as dag:
        validate = _call("validate", ["backfill", *asked, "--explain"], project, retries=0)
        validate >> _call("restate", ["backfill", *asked, "--yes"], project)
    return dag


def repair_dag(
    dag_id: str,
    *,
    schedule: Any,
    select: Collection[str] = (),
    days: int | None = None,
    max_days: int | None = None,
    project: Project | None = None,
    **options: Any,
) -> DAG:
    """Look for gaps, show the plan, repair it: the newest days first, no more than `max_days`."""
    project = project or Project.of_environment()
    selected = [argument for name in select for argument in ("--select", name)]
    asked = [*selected, *(["--days", str(days)] if days else []), _AS_OF]
    planned = ["backfill", *asked, *(["--max-days", str(max_days)] if max_days else [])]
    with _dag(dag_id, schedule, _CLOCK, options) as dag:
        look = _call("look_for_gaps", ["gaps", *asked], project)
        look >> _call("plan", planned, project) >> _call("repair", [*planned, "--apply"], project)
    return dag


def _dag(dag_id: str, schedule: Any, params: Mapping[str, Any], options: Mapping[str, Any]) -> DAG:
    """One run at a time, none for the past: a late run does all that is open."""
    defaults = {"retries": 2, "retry_delay": timedelta(minutes=5)}
    given = {"start_date": _BEGAN, "catchup": False, "max_active_runs": 1, "tags": ["tidemark"]}
    given |= options
    given["default_args"] = {**defaults, **given.get("default_args", {})}
    given["params"] = {**params, **given.get("params", {})}
    return DAG(dag_id, schedule=schedule, **given)


def _call(task_id: str, arguments: Sequence[str], project: Project, **options: Any) -> BaseOperator:
    if project.pod is None:
        return TidemarkOperator(task_id=task_id, arguments=arguments, project=project, **options)
    from tidemark_airflow.in_pod import TidemarkPodOperator

    asked = {"arguments": arguments, "project": project, "pod": project.pod}
    return TidemarkPodOperator(task_id=task_id, **asked, **options)


def _end(called: Sequence[BaseOperator], fails_when_blocked: bool, blocked: BaseOperator) -> None:
    tasks = [task.task_id for task in called]
    outcome = OutcomeOperator(task_id="outcome", tasks=tasks, fails_when_blocked=fails_when_blocked)
    [*called, blocked] >> outcome
