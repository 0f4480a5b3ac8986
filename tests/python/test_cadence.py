"""How often to look: pure functions on made-up loads, and the command on the demo's seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tidemark import cli
from tidemark.cadence import (
    Load,
    advise,
    at,
    duration,
    join,
    judge,
    judge_checks,
    lands,
    percentile,
    regular,
    rhythm,
)
from tidemark.commands import session
from tidemark.engine import Dbt

PROJECT = Path(__file__).parents[2]
UNTIL = datetime(2025, 10, 15, 12)  # a Wednesday
SINCE = UNTIL - timedelta(days=14)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def refreshed(cron: str, seconds: int = 0) -> list[Load]:
    """A load at each time of a schedule, so many seconds after it."""
    moments = [moment + timedelta(seconds=seconds) for moment in at(cron, SINCE, UNTIL)]
    return [Load(moment, moment) for moment in moments]


def told(loads: list[Load], **others: Any) -> Any:
    """What the macro reports of one source."""
    seconds = [
        [int((m - datetime(1970, 1, 1)).total_seconds()) for m in (x.first, x.last)] for x in loads
    ]
    source = {"loads": seconds, "lateness": [60, 120, 3600]}
    facts = {"as_of": f"{UNTIL}", "since": f"{SINCE}", "sources": {"events": source}}
    return {**facts, "checks": [], "jobs": {}, **others}


def test_an_hourly_source_checked_every_quarter_of_an_hour() -> None:
    seen = judge(told(refreshed("5 * * * *")), every=15 * MINUTE)
    (source,) = seen.sources
    assert source.checks is not None
    assert source.advised_checks is not None
    a_day = (source.checks.number / seen.days, source.checks.useful / seen.days)
    assert a_day == (96, 24)
    assert source.checks.saved == 0.75
    assert source.checks.wait == 10 * MINUTE
    assert source.advised == "5 * * * *" == seen.advised
    assert source.lands == ":05"
    assert source.advised_checks.number == source.advised_checks.useful == 24 * 14
    assert source.advised_checks.wait == timedelta(0)


@pytest.mark.parametrize(
    ("loaded", "seconds", "advised"),
    [
        ("0 * * * *", 0, "0 * * * *"),
        ("0 * * * *", 1, "1 * * * *"),
        ("59 * * * *", 30, "0 * * * *"),
        ("*/15 * * * *", 120, "2-59/15 * * * *"),
        ("*/30 * * * *", 0, "*/30 * * * *"),
        # finer than what is advised, and in the steps that an hour has
        ("*/12 * * * *", 0, "*/10 * * * *"),
        ("20 2 * * *", 0, "20 2 * * *"),
        ("20 2,14 * * *", 0, "20 2,14 * * *"),
        ("15 8-18 * * 1-5", 0, "15 8-18 * * 1-5"),
        ("0 6 * * 0,6", 0, "0 6 * * 0,6"),
        # from 18 hours a day on, the quiet ones are chance
        ("40 */6 * * *", 0, "40 0,6,12,18 * * *"),
        ("40 0-16 * * *", 0, "40 0-16 * * *"),
        ("40 0-17 * * *", 0, "40 * * * *"),
    ],
)
def test_the_schedule_follows_the_loads(loaded: str, seconds: int, advised: str) -> None:
    assert advise(refreshed(loaded, seconds), SINCE, UNTIL) == advised


def test_a_load_by_hand_makes_no_schedule() -> None:
    by_hand = Load(SINCE + DAY, SINCE + DAY)
    loads = join([*refreshed("0 2 * * *"), by_hand])
    assert advise(loads, SINCE, UNTIL) == "0 2 * * *"


def test_loads_that_drift_are_awaited() -> None:
    hours = refreshed("0 * * * *")
    drifting = [
        Load(load.first, load.first + (3 + number % 5) * MINUTE)
        for number, load in enumerate(hours)
    ]
    assert advise(drifting, SINCE, UNTIL) == "7 * * * *"
    assert lands(drifting, "7 * * * *") == ":03 to :07"
    # three that came late do not move the rest
    late = [Load(load.first, load.last + 40 * MINUTE) for load in drifting[:3]]
    assert advise([*late, *drifting[3:]], SINCE, UNTIL) == "7 * * * *"


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_few_loads_are_no_rhythm(number: int) -> None:
    assert advise(refreshed("0 2 * * *")[:number], SINCE, UNTIL) == ""


def test_a_stream_has_no_schedule() -> None:
    loads = join(refreshed("*/1 * * * *"))
    assert len(loads) == 1
    assert rhythm(loads).is_stream
    assert advise(loads, SINCE, UNTIL) == ""
    # though every check of it finds something
    checks = judge_checks(refreshed("*/1 * * * *"), list(regular(15 * MINUTE, SINCE, UNTIL)))
    assert checks.useful == checks.number


@pytest.mark.parametrize(
    ("minutes", "refreshes"), [([0, 4, 8], 1), ([0, 5], 2), ([0, 4, 9, 60], 3), ([9, 0, 4], 2)]
)
def test_pieces_of_a_batch_are_one_refresh(minutes: list[int], refreshes: int) -> None:
    loads = [Load(SINCE + minute * MINUTE, SINCE + minute * MINUTE) for minute in minutes]
    assert len(join(loads)) == refreshes


def test_rhythm() -> None:
    days = refreshed("0 2 * * *")
    found = rhythm([*days[:5], *days[6:]])
    assert found.refreshes == 13
    assert (found.median, found.p95) == (DAY, 2 * DAY)
    assert found.last == datetime(2025, 10, 15, 2)


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.01, 1), (1, 10)])
def test_percentile(share: float, value: int) -> None:
    assert percentile([number * MINUTE for number in range(1, 11)], share) == value * MINUTE


def test_recorded_checks_and_what_the_gate_spared() -> None:
    looked = [UNTIL - hours * HOUR for hours in (4, 3, 2, 1)]
    loads = [Load(moment, moment) for moment in (UNTIL - 9 * HOUR, UNTIL - 2.5 * HOUR)]
    jobs = {
        "small": {"builds": 2, "skips": 2, "seconds": 0.5},
        "large": {"builds": 1, "skips": 3, "seconds": 3.0},
    }
    seen = judge(told(loads, checks=[f"{moment}" for moment in looked], jobs=jobs))
    assert seen.schedule == "recorded"
    (source,) = seen.sources
    assert source.checks is not None
    assert (source.checks.number, source.checks.useful, source.checks.saved) == (4, 2, 0.5)
    assert (seen.saved.builds, seen.saved.skips) == (3, 5)
    assert (seen.saved.spent, seen.saved.saved) == (4, 10)
    assert seen.saved.share_of_runs == 5 / 8
    assert seen.saved.share_of_seconds == 10 / 14


def test_nothing_is_known_of_an_empty_warehouse() -> None:
    seen = judge({**told([]), "sources": {"events": {"loads": [], "lateness": None}}})
    (source,) = seen.sources
    assert (source.rhythm.refreshes, source.checks, source.advised) == (0, None, "")
    assert seen.saved.share_of_runs is None
    assert (seen.advised, seen.all_together) == ("", {})


moments = st.lists(st.integers(0, 14 * 24 * 60 - 1), min_size=1, max_size=40, unique=True)
steps = st.sampled_from([5, 10, 15, 60, 90, 1440])


def as_loads(minutes: list[int]) -> Iterator[Load]:
    for minute in sorted(minutes):
        yield Load(SINCE + minute * MINUTE, SINCE + minute * MINUTE)


@given(moments, steps)
def test_useful_checks_are_those_with_a_load_since_the_one_before(
    minutes: list[int], step: int
) -> None:
    loads, times = list(as_loads(minutes)), list(regular(step * MINUTE, SINCE, UNTIL))
    before = [SINCE - MINUTE, *times]
    expected = sum(
        any(earlier < load.first <= time for load in loads)
        for earlier, time in zip(before, times, strict=False)
    )
    assert judge_checks(loads, times).useful == expected


@given(moments)
def test_refreshes_hold_every_load_and_lie_apart(minutes: list[int]) -> None:
    loads = list(as_loads(minutes))
    refreshes = join(loads)
    assert all(any(r.first <= load.first <= r.last for r in refreshes) for load in loads)
    assert all(b.first - a.last >= 5 * MINUTE for a, b in pairwise(refreshes))
    assert join(refreshes) == refreshes


@given(moments)
def test_an_advised_schedule_can_be_read(minutes: list[int]) -> None:
    advised = advise(join(as_loads(minutes)), SINCE, UNTIL)
    assert not advised or list(at(advised, SINCE, UNTIL))


@pytest.mark.parametrize(
    ("text", "minutes"), [("15m", 15), ("15 min", 15), ("6h", 360), ("1d", 1440), ("2 hours", 120)]
)
def test_durations(text: str, minutes: int) -> None:
    assert duration(text) == minutes * MINUTE


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--every", "0m"], "15m, 6h or 1d"),
        (["--every", "often"], "15m, 6h or 1d"),
        (["--schedule", "61 * * * *"], "Bad minute"),
        (["--schedule", "hourly"], "cron expression"),
        (["--every", "1h", "--schedule", "5 * * * *"], "--every or --schedule"),
        (["--days", "0"], "--days"),
    ],
)
def test_usage_errors(args: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dbt, "_invoke", None)
    ran = CliRunner().invoke(cli.app, ["cadence", *args])
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.replace("│", " ").split())


# ---- on the seeds ----


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """The raw tables of two domains, and the views that know event times."""
    home = tmp_path_factory.mktemp("cadence")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        dbt = Dbt(PROJECT, "demo", {"domains": ["company", "engagement"]}, home / "target")
        assert dbt.call("seed").success
        assert dbt.call("run", "--select", "path:models/staging").success
    return dbt


def run(seeds: Dbt, *args: str) -> Any:
    home = Path(str(seeds.target_path)).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(home / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        patch.setattr(session, "dbt_of", lambda *_: seeds)
        ran = CliRunner().invoke(cli.app, ["cadence", *args], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_seeds_every_quarter_of_an_hour(seeds: Dbt) -> None:
    answer = json.loads(run(seeds, "--every", "15m", "--json"))
    sources = {source["source"]: source for source in answer["sources"]}
    engagement = sources["engagement_events"]
    assert (engagement["checks"]["number"], engagement["checks"]["useful"]) == (96 * 14, 24 * 14)
    assert engagement["checks"]["saved"] == 0.75
    assert engagement["advised"] == "5 * * * *"
    assert engagement["rhythm"]["median"] == 3600
    assert engagement["rhythm"]["last"] == "2025-10-15T11:05:00"
    assert sources["crm_daily"]["advised"] == "0 1 * * *"
    # the usage API answers for a day in the night after it
    assert sources["product_usage_daily"]["lateness"] == dict.fromkeys(
        ("p50", "p99", "max"), 26 * 3600
    )
    # in the machine's zone, event times with a zone would be hours off
    assert sources["fact_events"]["lateness"]["p50"] < 3600
    assert sources["fact_events"]["lateness"]["max"] > 14 * 24 * 3600


def test_the_seeds_for_people(seeds: Dbt) -> None:
    words = " ".join(run(seeds, "--schedule", "*/15 * * * *").split())
    assert "engagement_events 96 24 75% 10 min 5 * * * * 24 0 min" in words
    assert "One schedule for all: " in words


def test_without_a_schedule_and_without_checks(seeds: Dbt) -> None:
    assert "No check is on record. Judge a schedule with --every 15m" in run(seeds)


def test_a_window_without_loads(seeds: Dbt) -> None:
    answer = json.loads(run(seeds, "--days", "1", "--as-of", "2024-01-01", "--json"))
    assert {source["advised"] for source in answer["sources"]} == {""}
