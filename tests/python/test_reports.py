"""What tables look like where there is little room, and what sentences count."""

from __future__ import annotations

import io
import re
from datetime import date, datetime, timedelta

import pytest
from rich.console import Console

from tidemark.gaps import Finding, Look, TableDay
from tidemark.gate import SourceCheck, SourceState
from tidemark.health import Figure, Health, Level
from tidemark.ingest.crm import Delivered
from tidemark.ingest.crm import Status as CrmStatus
from tidemark.judgement import Judgement
from tidemark.report.gaps import show_gaps
from tidemark.report.health import show_health
from tidemark.report.ingest import show_crm
from tidemark.report.judgement import show_sources
from tidemark.report.repair import show_plan

CLOCK = datetime(2025, 10, 15, 12)
DAY = date(2025, 10, 1)
ONE_DAY = timedelta(days=1)
WINDOW = (DAY - 29 * ONE_DAY, DAY + ONE_DAY)
MODEL = "company_usage_reconciliation"


def finding(entity: str, decision: str = "planned", day: date = DAY, reason: str = "") -> Finding:
    return Finding(MODEL, entity, day, "different", 3, None, decision, reason, day, 1)


def console(width: int = 110) -> Console:
    return Console(width=width, file=io.StringIO(), highlight=False)


def text(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    told = out.file.getvalue()
    assert max(map(len, told.splitlines())) <= out.width
    assert "…" not in told
    return told


LONG = ["c" * 2100, "one two " * 200, "acme-" + "7" * 61]


@pytest.mark.parametrize("width", [80, 110])
@pytest.mark.parametrize("entity", LONG)
def test_a_long_entity_leaves_room_for_the_others(entity: str, width: int) -> None:
    out = console(width)
    why = "fewer than 3 partitions are damaged"
    show_gaps(
        out, Look(CLOCK, WINDOW, [MODEL], [finding(entity, "below minimum", reason=why)]), True
    )
    told = text(out)
    (first,) = [line for line in told.splitlines() if str(DAY) in line and "different" in line]
    assert first.count(str(DAY)) == 2
    assert entity[:4] in first
    # of what is shortened both ends are there, on few lines
    shown = re.sub(r"\s", "", told.split("plan")[1])
    assert "..." in shown
    assert len(told.splitlines()) < 30


def test_an_entity_of_usual_length_is_not_cut() -> None:
    entity = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    out = console()
    show_gaps(out, Look(CLOCK, WINDOW, [MODEL], [finding(entity)]), False)
    lines = text(out).split("\n\n")[-1].splitlines()
    header = next(line for line in lines if "entity" in line)
    start, end = header.index("entity"), header.index("from")
    cell = "".join(line[start:end].strip() for line in lines[lines.index(header) + 2 :])
    assert cell.startswith(entity)


@pytest.mark.parametrize("days", [30, 400, 36525])
def test_the_strip_fits(days: int) -> None:
    window = (DAY - days * ONE_DAY, DAY)
    compared = [TableDay(MODEL, DAY - ONE_DAY, 1_234_567, 1_234_567)]
    out = console()
    show_gaps(out, Look(CLOCK, window, [MODEL], days=compared), False)
    assert re.search(r"█ +1,234,567 +1,234,567", text(out))


@pytest.mark.parametrize("width", [80, 110])
def test_times_keep_their_lines(width: int) -> None:
    def figure(metric: str, subject: str, amount: float) -> Figure:
        return Figure(metric, subject, amount, "seconds", Level.NORMAL, 1, 2, "fresh", CLOCK, CLOCK)

    # a lag of years, so that there is no room
    figures = [
        figure("watermark_lag", MODEL, 123456789.0),
        figure("job_time", MODEL, 1.25),
        *(figure(metric, MODEL, 4321.0) for metric in ("pending_rows", "job_rows")),
        *(figure(metric, MODEL, 1.0) for metric in ("job_failures", "code_drift")),
        figure("job_partitions", MODEL, 135.0),
        figure("source_age", "product_usage_daily", 123456789.0),
        figure("waiting_rows", "product_usage_daily", 9.0),
    ]
    out = console(width)
    show_health(out, Health(CLOCK, figures, {MODEL: CLOCK}))
    at_the_clock = f"{CLOCK:%m-%d %H:%M}"
    # the clock, the source's last load, the job's watermark and last run
    assert text(out).count(at_the_clock) == 4

    out = console(width)
    ages = [timedelta(days=4000, hours=23, minutes=59)] * 3
    check = SourceCheck("product_usage_daily", SourceState.FRESH, CLOCK, *ages, problem="")
    show_sources(out, Judgement(CLOCK, [check], []))
    assert text(out).count("2025-10-15 12:00 UTC") == 2

    out = console(width)
    file = "crm_companies_" + "x" * 200 + ".csv"
    show_crm(out, [Delivered(file, CrmStatus.LANDED, DAY, 123_456_789, 123_456_789)])
    assert str(DAY) in text(out)


FEW = "below minimum"


@pytest.mark.parametrize(
    ("decisions", "even_few", "says"),
    [
        (["planned"] * 3, False, "Planned: 3 partitions, in 3 parts.\n"),
        ([FEW], True, "Planned: 1 partition, in 1 part.\n"),
        (
            [FEW],
            False,
            "Planned: 0 partitions, in 0 parts.\n"
            "1 partition below the minimum of var backfill: --below-minimum repairs that, too.\n",
        ),
        (["later", "stuck"], True, "Planned: 0 partitions, in 0 parts.\n"),
    ],
)
def test_the_plan_counts_what_will_be_repaired(
    decisions: list[str], even_few: bool, says: str
) -> None:
    plan = [finding("acme", each, DAY + n * ONE_DAY) for n, each in enumerate(decisions)]
    out = console()
    show_plan(out, Look(CLOCK, WINDOW, [MODEL], plan), even_few)
    assert text(out).endswith(says)
