"""What run-operations are given: nonsense is refused in words that say what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemark.engine import Dbt, DbtError

PROJECT = Path(__file__).parents[2]

QUOTE, LIST = "it's \\ \" ); --", ["a"]
A_DAY, A_TIME, A_FLAG = "a day such as 2025-10-15", "a time such as 2025-10-15", "true or false"
DAYS = [f'2025-10-01") {QUOTE}', "2025-02-29", "yesterday", "", 20251001, "10/01/2025", LIST]
TIMES = [*DAYS, "2025-10-01T24:00:00", "2025-10-01T10:60:00Z"]
PARTITION = {"model": "fact_events_daily", "entity": "acme", "day": "2025-10-01", "reason": "x"}
WATERMARK = {"job": "fact_events_daily", "reason": "x", "to": "2025-10-01T00:00:00"}
NO_TEXT = [None, True, LIST, {}]
NO_FLAG = ["false", 1, None]
NO_LIST = ["fact_events", 1, {"a": 1}, [1], [None]]

# By operation: what is right, and by argument what is wrong and what is said of it.
WRONG: dict[str, tuple[dict[str, Any], dict[str, tuple[list[Any], str]]]] = {
    "request_partition": (
        PARTITION,
        {
            "model": ([*NO_TEXT, QUOTE, "company_daily_activity"], "must be text|These have: "),
            "entity": (NO_TEXT, "must be text"),
            "day": ([*DAYS, None], A_DAY),
            "reason": (NO_TEXT, "must be text"),
        },
    ),
    "set_watermark": (
        WATERMARK,
        {
            "job": ([*NO_TEXT, QUOTE], "must be text|These are: "),
            "reason": (NO_TEXT, "must be text"),
            "to": (TIMES, A_TIME),
            "dry_run": (NO_FLAG, A_FLAG),
        },
    ),
    "close_interrupted_run": ({"reason": "x"}, {"reason": (NO_TEXT, "must be text")}),
    "load_landing": (
        {"root": "/nowhere"},
        {
            "root": (NO_TEXT, "must be text"),
            "files": ([QUOTE, "{}", 1, '"a"'], "a list of paths in JSON"),
            "reports": ([QUOTE, "{}"], "a list of paths in JSON"),
            "at_once": ([0, "1", True, 1.5], "a whole number"),
        },
    ),
    "close_load": (
        {"jobs": [], "failed_files": []},
        {
            "jobs": ([*NO_LIST, [{}]], "mappings with job_name"),
            "failed_files": ([*NO_LIST, [{}]], "mappings with path"),
        },
    ),
    "create_landing": ({}, {"dry_run": (NO_FLAG, A_FLAG)}),
    "prune": (
        {},
        {
            "dry_run": (NO_FLAG, A_FLAG),
            "sources": ([*NO_LIST, [QUOTE]], "must be a list|These may be: "),
            "kept_from": (DAYS, A_DAY),
            "reason": ([True, LIST], "must be text"),
        },
    ),
    "gate_facts": (
        {},
        {
            "unreadable": ([*NO_LIST, [QUOTE]], "a list of consumers, crm_daily"),
            "count_quarantined": (NO_FLAG, A_FLAG),
            "is_recorded_later": (NO_FLAG, A_FLAG),
        },
    ),
    "plan_facts": (
        {},
        {
            "compare": (NO_FLAG, A_FLAG),
            "days": ([0, "7", 10**9, True, 1.5], "a whole number"),
        },
    ),
    "record_checks": (
        {"checks": [], "figures": []},
        {
            "checks": ([*NO_LIST, [{}], None], "mappings with subject"),
            "figures": ([*NO_LIST, [{}], None], "mappings with metric"),
        },
    ),
    "contract_catalog": ({}, {"tables": ([*NO_LIST, [QUOTE]], "a list of consumers, crm_daily")}),
    "contract_samples": (
        {"samples": []},
        {
            "samples": ([*NO_LIST, [{}], None], "mappings with source"),
            "rows": ([0, "7", 10**9, True, None], "a whole number"),
        },
    ),
    "publish": (
        {},
        {"path": ([True, LIST], "must be text"), "folder": ([True, LIST], "must be text")},
    ),
    "cadence_facts": ({"days": 1}, {"days": ([0, "7", 10**9, True, None], "a whole number")}),
    "alert_facts": ({}, {"jobs": (NO_LIST, "a list of names")}),
    "record_alerts": (
        {"alerts": []},
        {"alerts": ([*NO_LIST, [{}], None], "mappings with channel")},
    ),
    "start_backfill": (
        {},
        {
            "models": ([*NO_LIST, [QUOTE]], "a list of company_contact_periods"),
            "entity": ([True, LIST], "must be text"),
            "day": (DAYS, A_DAY),
            "below_minimum": (NO_FLAG, A_FLAG),
        },
    ),
    "finish_backfill": ({}, {"error": ([True, LIST], "must be text")}),
    "release_run_lock": ({}, {"holder": ([True, LIST], "must be text")}),
    "tell_clock": ({}, {}),
    "audit_plan": ({}, {}),
    "delete_three_days": ({}, {}),
}


def operations() -> set[str]:
    """Those that say so."""
    found = set()
    for path in [*PROJECT.glob("macros/*.sql"), *PROJECT.glob("packages/tidemark/macros/**/*.sql")]:
        said = r"\{#-?\s+run-operation(?:(?!-#\}).)*-#\}\s*\{%- macro (\w+)"
        found |= set(re.findall(said, path.read_text(encoding="utf-8"), re.DOTALL))
    return found


def test_every_operation_is_given_nonsense() -> None:
    # the run lock's is dispatched, and says so where it is written
    lock = {"default__release_run_lock"}
    assert operations() - lock == set(WRONG) - {"release_run_lock"}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    home = tmp_path_factory.mktemp("arguments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        # nothing of it needs a table of ours
        yield Dbt(PROJECT, "demo", target_path=home / "target")


@pytest.mark.parametrize("operation", [name for name in WRONG if WRONG[name][1]])
def test_nonsense_is_refused_in_words(dbt: Dbt, operation: str) -> None:
    right, arguments = WRONG[operation]
    for name, (values, said) in arguments.items():
        for value in values:
            with pytest.raises(DbtError) as refused:
                dbt.operate(operation, {**right, name: value})
            words = str(refused.value)
            assert re.search(said, words), (name, value, words)
            assert "Nothing was" in words or "was left as it is" in words
            assert "Traceback" not in words


@pytest.mark.parametrize("clock", ["", "2025-02-30", QUOTE, "now"])
def test_a_clock_that_is_none_is_refused(dbt: Dbt, clock: str) -> None:
    with pytest.raises(DbtError, match=A_TIME):
        dbt.call("run-operation", "tell_clock", variables={"as_of": clock}).raise_if_failed()
