"""Gaps of the web's tables: found, planned and repaired; and windows that are restated."""

from collections import Counter
from datetime import timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    Config,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Failure,
    MaterializeResult,
    OpExecutionContext,
    Output,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    SensorEvaluationContext,
    SkipReason,
    asset,
    define_asset_job,
    job,
    op,
    sensor,
)

from tidemark_dagster.command import Clock, looked, tidemark, whole

SELECTED = ("--select", "web")
SIX_HOURS = timedelta(hours=6)
_AT_WORK = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.QUEUED]


def _limits() -> list[str]:
    days = whole("WEB_ANALYTICS_BACKFILL_LOOKBACK_DAYS", 30)
    most = whole("WEB_ANALYTICS_BACKFILL_MAX_PARTITIONS_PER_RUN", 7)
    return ["--days", str(days), "--max-days", str(most)]


def _decided(plan: list[dict[str, Any]]) -> tuple[str, str]:
    """What is done about a plan, and why."""
    counted = Counter(each["decision"] for each in plan)
    if not plan:
        return "nothing", "No gaps."
    if counted["planned"]:
        left = sum(counted.values()) - counted["planned"]
        return "repair", f"{counted['planned']} planned, {left} left for later."
    words = Counter(f"{each['decision']}: {each['reason']}" for each in plan)
    return "wait", "; ".join(f"{number} {word}" for word, number in words.items())


@asset(name="web_analytics_backfill_detector", group_name="web_analytics", pool="tidemark")
def detector(context: AssetExecutionContext, config: Clock) -> MaterializeResult:
    """What the web's tables lack, and what is to be done about it. Repairs nothing."""
    told = looked(tidemark("backfill", *SELECTED, *_limits(), as_of=config.as_of, log=context.log))
    decision, reason = _decided(told["plan"])
    days = sorted({each["day"] for each in told["plan"] if each["day"]})
    metadata = {
        "missing_partitions": len(told["plan"]),
        "tables": sorted({each["model"] for each in told["plan"]}),
        "entities": sorted({each["entity"] for each in told["plan"]}),
        "days": days,
        "planned_days": sorted(
            {each["plan_day"] for each in told["plan"] if each["decision"] == "planned"}
        ),
        "decision": decision,
        "reason": reason,
        "clock": told["as_of"],
    }
    return MaterializeResult(metadata=metadata)


@asset(
    name="web_analytics_backfill",
    group_name="web_analytics",
    deps=[detector],
    pool="tidemark",
    output_required=False,
)
def repair(context: AssetExecutionContext, config: Clock) -> Any:
    """What is planned is repaired, the newest days first, and nothing while another run does so."""
    if others := _at_work(context.instance, context.run.run_id):
        context.log.info(f"Run {others[0]} repairs; this one leaves it to that.")
        return
    told = tidemark(
        *("backfill", *SELECTED, *_limits(), "--apply"), as_of=config.as_of, log=context.log
    )
    if told["exit_code"]:
        failures = [*told["failures"], *(f for each in told["repairs"] for f in each["failures"])]
        words = " ".join(f"{each['node']}: {each['message']}" for each in failures)
        raise Failure(f"Not all could be repaired. {words}")
    days = [each["day"] for each in told["repairs"]]
    if days:
        repaired = sum(each["repaired"] for each in told["repairs"])
        metadata = {"days": days, "repaired": repaired, "left": len(told["left"])}
        yield Output(None, metadata=metadata)


def _at_work(instance: Any, run_id: str = "") -> list[str]:
    """Earlier runs of the repair that have not ended."""
    wanted = RunsFilter(job_name=repair_job.name, statuses=_AT_WORK)
    records = instance.get_run_records(wanted, ascending=True)
    runs = [record.dagster_run.run_id for record in records]
    return runs[: runs.index(run_id)] if run_id in runs else runs


# Today is not over: coverage judges ended days.
web_days = DailyPartitionsDefinition(start_date="2025-09-01")


@asset(
    name="web_analytics_restated",
    group_name="web_analytics",
    partitions_def=web_days,
    backfill_policy=BackfillPolicy.single_run(),
    pool="tidemark",
)
def restated(context: AssetExecutionContext, config: Clock) -> MaterializeResult:
    """A window of days, recomputed whole: all partitions of a backfill in one run."""
    window = context.partition_time_window
    asked = [f"--start={window.start:%Y-%m-%d}", f"--end={window.end:%Y-%m-%d}", "--yes"]
    told = tidemark("backfill", *SELECTED, *asked, as_of=config.as_of, log=context.log)
    if told["exit_code"]:
        raise Failure("Not all could be restated; what was is complete. The log above says more.")
    return MaterializeResult(metadata={"rows": sum(step["rows"] for step in told["steps"])})


class DaysBack(Config):
    """How many ended days are looked at."""

    days_back: int = 7
    as_of: str | None = None


def _gaps(context: OpExecutionContext, config: DaysBack) -> list[dict[str, Any]]:
    asked = ("gaps", *SELECTED, "--days", str(config.days_back))
    told = looked(tidemark(*asked, as_of=config.as_of, log=context.log))
    gaps: list[dict[str, Any]] = told["gaps"]
    return gaps


@op
def check_missing_data(context: OpExecutionContext, config: DaysBack) -> int:
    """How many days of tables and entities are not what they should be."""
    gaps = _gaps(context, config)
    missing = sum(max(each["days"], 1) for each in gaps)
    context.add_output_metadata({"missing_partitions": missing, "gaps": gaps})
    return missing


@op
def show_data_gaps(context: OpExecutionContext, config: DaysBack) -> None:
    """The same as sentences in the log."""
    gaps = _gaps(context, config)
    for each in gaps:
        days = f"{each['first']} to {each['last']}" if each["first"] else "whole"
        context.log.info(
            f"{each['model']} {each['entity']}: {days}: {each['state']}, {each['decision']}"
        )
    if not gaps:
        context.log.info("No gaps.")


@job
def check_missing_data_job() -> None:
    """Count what is missing: {"days_back": 7}."""
    check_missing_data()


@job
def show_data_gaps_job() -> None:
    """List what is missing: {"days_back": 7}."""
    show_data_gaps()


repair_job = define_asset_job("web_analytics_backfill_job", selection=[detector, repair])
window_job = define_asset_job("web_analytics_window_job", selection=[restated])


@sensor(job=repair_job, minimum_interval_seconds=int(SIX_HOURS.total_seconds()))
def web_analytics_backfill_sensor(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    """Every six hours, unless a repair is at work."""
    if others := _at_work(context.instance):
        return SkipReason(f"Run {others[0]} repairs.")
    return RunRequest()


web_analytics_backfill_schedule = ScheduleDefinition(
    name="web_analytics_backfill_schedule", job=repair_job, cron_schedule="0 2 * * *"
)
