"""The report: what is on the page is what the marts hold, and nobody's name becomes markup.

With a browser where there is one: `make browser` installs Chromium, `make test-browser` wants it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from conftest import PROJECT, BuiltOnce
from orders_project import FIRST, Orders
from typer.testing import CliRunner

from tidemark import cli, metrics, page
from tidemark.commands import session
from tidemark.engine import DatabaseLockedError, Dbt, DbtError
from tidemark.page import panels
from tidemark.page.html import as_script

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SEED_CLOCK = datetime(2025, 10, 15, 12)
HOSTILE = "</script><img src=x onerror=\"alert('x')\">{{ 7*7 }} `tick` ' \" & null\u202e"
NAMES = {"acme": HOSTILE, "borealis": "null", "cobalt": "0042", "dynamo": "=1+1"}

# A company for each five-thousandth of the load, each with a year of days; one outage.
MANY = 5_000
LOAD = f"""
    insert into intermediate.reported_days by name
    select cast(day as date) as usage_date, day as first_reported_at, day as record_loaded_at
    from range(date '2024-10-15', date '2025-09-03', interval 1 day) as days(day);

    insert into marts.dim_companies by name
    select
        'load-' || company as company_id,
        'Company ' || company as company_name,
        'NO' as country,
        date '2024-10-15' as first_day,
        0 as crm_files,
        365 as usage_days,
        now() as record_loaded_at
    from range({MANY}) as companies(company);

    insert into intermediate.company_daily_usage by name
    select
        'load-' || company as company_id,
        cast(day as date) as activity_date,
        day <> date '2025-10-10' as is_reported,
        if(is_reported, if(company % 10 = 0 and day >= date '2025-10-01', 0, 3), null)
            as active_users,
        if(is_reported, if(company % 10 = 0 and day >= date '2025-10-01', 0, company % 90), null)
            as events,
        7 as active_users_7d,
        7 as events_7d,
        7 as days_reported_7d,
        7 as churn_window_days,
        7 as churn_window_days_reported,
        if(
            company % 10 = 0 and day >= date '2025-10-01',
            cast(day as date) - date '2025-09-30',
            0
        ) as days_since_last_active,
        company % 10 = 0 and day >= date '2025-10-07' as is_churn_risk,
        now() as record_loaded_at
    from range({MANY}) as companies(company)
    cross join range(date '2024-10-15', date '2025-10-15', interval 1 day) as days(day)
"""


@dataclass
class Made:
    """A page in a file, and the database that it was made of."""

    path: Path
    database: Path
    page: page.Page
    seconds: float = 0
    dbt: Dbt | None = None

    def data(self, name: str) -> list[dict[str, Any]]:
        """The rows of a panel, as the page holds them."""
        text = re.search(
            r'<script type="application/json" id="data">(.*?)</script>', self.html, re.S
        )
        assert text
        (panel,) = [each for each in json.loads(text[1])["panels"] if each["name"] == name]
        columns = [column["name"] for column in panel["columns"]]
        return [dict(zip(columns, row, strict=True)) for row in panel["rows"]]

    @property
    def html(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def sql(self, query: str) -> list[Any]:
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def made(built_once: BuiltOnce, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The demo at the seed clock, with hostile names, and a year of thousands of companies."""
    home = tmp_path_factory.mktemp("report")
    database = built_once(home, ["seed", "run"], SEED_CLOCK)
    with duckdb.connect(str(database)) as connection:
        connection.execute(LOAD)
        for company, name in NAMES.items():
            connection.execute(
                "update marts.dim_companies set company_name = ? where company_id = ?",
                [name, company],
            )
        connection.execute("update marts.feature_engagement_daily set feature_used = ?", [HOSTILE])
        connection.execute("update intermediate.web_hourly_stats set pathname = ?", [HOSTILE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DEMO_PATH", str(database))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        patch.setenv("A_SECRET", "hunter2hunter2")
        dbt = Dbt(PROJECT, "demo", target_path=home / "target", only_looks=True)
        written = page.make(dbt)
        page.write(written.html, home / "report.html")
        yield Made(home / "report.html", database, written, dbt=dbt)


# ---- what it says ----


def test_every_panel_was_read_and_the_page_is_small(made: Made) -> None:
    assert made.page.report.problems == []
    assert len(made.html.encode()) < 2_000_000
    assert made.page.report.as_of == SEED_CLOCK
    assert "<title>tidemark_marts, 2025-10-15 12:00 UTC" in made.html


def test_figures_are_those_of_the_marts(made: Made) -> None:
    days = {row["shown_day"]: row for row in made.data("report_companies_by_day")}
    expected = made.sql("""
        select
            strftime(activity_date, '%Y-%m-%d'),
            count(*) filter (active_users > 0 or events > 0),
            sum(events)
        from marts.company_daily_activity
        where activity_date > date '2025-10-15' - 90 and events is not null
        group by all
    """)
    assert len(expected) > 30
    for day, active, events in expected:
        assert (days[day]["active_companies"], days[day]["events"]) == (active, events)

    churn = made.data("report_churn")
    assert len(churn) == MANY
    counted = made.sql("""
        select
            count(*) filter (is_churn_risk),
            count(*) filter (is_churn_risk is null)
        from marts.company_daily_activity where activity_date = date '2025-10-14'
    """)
    states = [row["churn_state"] for row in churn]
    assert [(states.count("at risk"), states.count("unknown"))] == counted
    tiles = {row["figure"]: row["amount"] for row in made.page.report.panels[0].rows}
    assert [(tiles["At risk"], tiles["Unknown"])] == counted

    pages = made.data("report_web_by_day")
    ((views,),) = made.sql("select sum(pageviews) from marts.web_pre_aggregated_stats")
    assert sum(row["pageviews"] or 0 for row in pages) == views
    customers = made.data("report_consumers_by_day")
    ((active,),) = made.sql("""
        select active_customers from marts.consumer_analytics
        where consumer_id is null order by snapshot_timestamp desc limit 1
    """)
    assert [row["customers"] for row in customers if row["status"] == "active"][-1] == active


def test_what_nobody_knows_is_no_zero(made: Made) -> None:
    """The API never answered for the tenth, and the fifteenth is not over."""
    days = {row["shown_day"]: row for row in made.data("report_companies_by_day")}
    assert days["2025-10-10"] == {
        "shown_day": "2025-10-10",
        "day_state": "not reported",
        "active_companies": None,
        "events": None,
    }
    assert days["2025-10-15"]["day_state"] == "not known yet"
    assert made.data("report_engagement_by_day")[-1]["day_state"] == "so far"
    weeks = {row["week_start"]: row for row in made.data("report_companies_by_week")}
    assert (weeks["2025-10-06"]["days_reported"], weeks["2025-10-06"]["lost_companies"]) == (
        6,
        None,
    )
    (quiet,) = [row for row in made.data("report_churn") if row["company_id"] == "quiet-in-outage"]
    assert quiet["churn_state"] == "unknown"
    assert quiet["why"] == "silent on the days that were reported, but 1 of 7 was not"
    assert quiet["last_30_days"][-5] == "-"


def test_names_stay_text(made: Made) -> None:
    """What turns a line around is taken out; the rest is there as it was, and nowhere as markup."""
    names = {row["company_id"]: row["company"] for row in made.data("report_churn")}
    shown = {company: names[company] for company in NAMES}
    assert shown == {**NAMES, "acme": HOSTILE.replace("\u202e", "")}
    (feature,) = {row["feature"] for row in made.data("report_features")}
    assert feature == HOSTILE.replace("\u202e", "")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', made.html, re.S)
    assert data
    assert not set("<>&") & set(data[1])
    # Vega itself knows how to make an image
    assert "<img" not in re.sub(r"<script>.*?</script>", "", made.html, flags=re.S)
    assert as_script("</script><!--&") == '"\\u003c/script\\u003e\\u003c!--\\u0026"'


# ---- the command ----


def typed(dbt: Dbt, *args: str) -> Any:
    """The command, on a project that was read before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "dbt_of", lambda *_: dbt)
        return CliRunner().invoke(cli.app, ["report", *args])


def test_without_the_extra_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    ran = CliRunner().invoke(cli.app, ["report", "--output", str(tmp_path / "r.html")])
    assert (ran.exit_code, ran.output) == (2, page.MISSING + "\n")
    assert not list(tmp_path.iterdir())


def test_a_project_without_pictures_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's part needs nothing of the reference project."""
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    orders = Orders.copied(tmp_path)
    told = typed(orders.dbt, "--output", str(tmp_path / "never.html"))
    assert told.exit_code == 1
    assert "`tidemark run` has to, once." in told.output
    orders.succeed(FIRST, "seed")
    orders.ask(FIRST, "run")
    path = tmp_path / "report.html"
    told = typed(orders.dbt, "--output", str(path), "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["as_of"] == FIRST.isoformat()
    html = path.read_text(encoding="utf-8")
    assert "The pipeline" in html
    assert "The business" not in html
    lateness = Made(path, path, page.Page(None, "")).data("report_lateness")  # type: ignore[arg-type]
    assert {row["source_name"] for row in lateness} >= {"movements"}


def test_serve_shows_it_and_makes_it_when_something_happened(
    monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    assert made.dbt
    first, second = object(), object()
    healths = [first, first, first, DatabaseLockedError("busy"), second]
    pages = iter("ab")

    def look(_: Dbt) -> Any:
        found = healths.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(metrics, "known", look)
    monkeypatch.setattr(page, "make", lambda _: page.Page(None, f"<!doctype html>{next(pages)}"))  # type: ignore[arg-type]
    monitor = metrics.Monitor(made.dbt, 60)

    def get() -> tuple[str, bytes]:
        codes: list[str] = []
        told = metrics.page_of(monitor, lambda code, _: codes.append(code))  # type: ignore[arg-type,return-value]
        return codes[0], b"".join(told)

    # nobody asked: no page is made
    monitor.refresh()
    assert monitor.page == ""
    code, told = get()
    assert (code, b"refresh" in told) == ("503 Service Unavailable", True)
    seen = []
    for _ in range(4):
        monitor.refresh()
        seen.append(get()[1])
    assert seen == [b"<!doctype html>a"] * 3 + [b"<!doctype html>b"]
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    assert get() == ("503 Service Unavailable", f"{page.MISSING}\n".encode())


@dataclass
class Failing:
    """dbt, where the pictures of some names cannot be read."""

    broken: set[str]
    asked: list[list[str]] = field(default_factory=list)

    def show_all(self, names: list[str], *_: Any) -> dict[str, list[dict[str, Any]]]:
        self.asked.append(names)
        if self.broken & {*names}:
            raise DbtError("Catalog Error: Table with name x does not exist!\nDid you mean y?")
        return {name: [{"day": "2025-10-15", "amount": 1}] for name in names}


def a_panel(name: str) -> panels.Panel:
    meta = {"part": "P", "title": "T", "order": 1, "draw": "table"}
    return panels.Panel(name, False, "P", 1, "T", "", meta)


def test_what_cannot_be_read_leaves_the_others() -> None:
    dbt = Failing({"b"})
    read = panels._with_rows(dbt, [a_panel(each) for each in "abc"], SEED_CLOCK, {})  # type: ignore[arg-type]
    assert [len(panel.rows) for panel in read] == [1, 0, 1]
    assert [bool(panel.problem) for panel in read] == [False, True, False]
    assert "\n" not in read[1].problem
    assert dbt.asked == [["a", "b", "c"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("meta", "complaint"),
    [
        ("bars", "no mapping"),
        ({"part": "P", "title": "T", "order": 1}, "draw missing"),
        (
            {"part": "P", "title": "T", "order": 1, "draw": "pie"},
            "draw is 'pie'; it is one of tiles",
        ),
        ({"part": "P", "title": "T", "order": 1, "draw": "bars", "x": "day"}, "y missing"),
        ({"part": "P", "title": "T", "order": "x", "draw": "table"}, "not a whole number"),
    ],
)
def test_a_meta_that_says_too_little_is_told(meta: Any, complaint: str) -> None:
    with pytest.raises(DbtError, match=re.escape(complaint)):
        panels.refuse_unknown("sales", meta)


# ---- in a browser ----

NAMES_OF_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own; where one is wanted, it must be there."""
    path = next(filter(None, map(shutil.which, NAMES_OF_CHROMIUM)), None)
    if path is None and not os.environ.get("TIDEMARK_BROWSER"):
        pytest.skip("there is no Chromium on this machine: `make browser` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Opened:
    """The page in a browser without a network, and what it complained of or asked for."""

    page: Page
    complaints: list[str]
    requests: list[str]

    def table(self, panel: str) -> list[list[str]]:
        rows = self.page.locator(f"#{panel} tbody tr")
        return [row.locator("td").all_inner_texts() for row in rows.all()]


@pytest.fixture(scope="module")
def open_page(browser: Browser, made: Made) -> Callable[..., Opened]:
    def opened(**options: Any) -> Opened:
        context = browser.new_context(offline=True, **options)
        found = Opened(context.new_page(), [], [])
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(made.path.as_uri())
        return found

    return opened


@pytest.fixture(scope="module")
def opened(open_page: Callable[..., Opened]) -> Opened:
    """Opened once, on a desk."""
    return open_page(viewport={"width": 1280, "height": 900})


@pytest.mark.browser
def test_nothing_is_asked_for_and_nothing_complained_of(opened: Opened, made: Made) -> None:
    opened.page.evaluate("tidemarkDrawAll()")
    drawn = opened.page.locator(".chart svg.marks")
    assert drawn.count() == opened.page.locator(".chart").count() > 10
    assert opened.requests == [made.path.as_uri()]
    assert opened.complaints == []


@pytest.mark.browser
def test_thousands_of_companies_open_at_once(opened: Opened) -> None:
    """No stopwatch here: what is drawn at first is the same few rows, however many there are."""
    assert len(opened.table("report_churn")) == 12
    assert "of 5,000" in opened.page.locator("#report_churn [role=status]").inner_text()
    timing = opened.page.evaluate("performance.getEntriesByType('navigation')[0].duration")
    assert timing > 0
    assert opened.page.evaluate("document.querySelectorAll('*').length") < 6_000


@pytest.mark.browser
def test_sorting_searching_and_states(opened: Opened, made: Made) -> None:
    churn, at = opened.page.locator("#report_churn"), made.data("report_churn")
    churn.get_by_role("searchbox").fill("quiet in")
    assert [row[:2] for row in opened.table("report_churn")] == [["Quiet in Outage", "unknown"]]
    churn.get_by_role("searchbox").fill("nobody is called so")
    assert opened.table("report_churn") == []
    churn.get_by_role("searchbox").fill("")
    count = sum(row["churn_state"] == "at risk" for row in at)
    churn.get_by_role("button", name=f"at risk {count:,}").click()
    assert {row[1] for row in opened.table("report_churn")} == {"at risk"}
    churn.get_by_role("button", name="all 5,000").click()
    head = churn.get_by_role("button", name="events in 7 days")
    head.focus()
    opened.page.keyboard.press("Enter")
    assert churn.locator("th[aria-sort=descending]").inner_text() == "events in 7 days"
    greatest = max(row["events_7d"] for row in at)
    assert opened.table("report_churn")[0][4] == f"{greatest:,}"
    opened.page.keyboard.press("Enter")
    least = min(row["events_7d"] for row in at)
    assert opened.table("report_churn")[0][4] == f"{least:,}"
    churn.get_by_role("button", name="Next").click()
    assert churn.locator("[role=status]").inner_text().startswith("13 to 24")


@pytest.mark.browser
def test_the_numbers_stand_beside_the_pictures(opened: Opened, made: Made) -> None:
    panel = opened.page.locator("#report_companies_by_day")
    panel.locator("summary").click()
    first = made.data("report_companies_by_day")[0]
    assert opened.table("report_companies_by_day")[0] == [
        first["shown_day"],
        first["day_state"],
        f"{first['active_companies']:,}",
        f"{first['events']:,}",
    ]


@pytest.mark.browser
def test_days_that_nobody_knows_are_hatched(opened: Opened) -> None:
    opened.page.evaluate("tidemarkDrawAll()")
    panel = opened.page.locator("#report_companies_by_day")
    # the tenth and the fifteenth, in each of two charts
    assert panel.locator('.chart [fill="url(#hatched)"]').count() == 4
    assert "not reported" in panel.inner_text()


@pytest.mark.browser
def test_hostile_names_are_shown_and_do_nothing(opened: Opened) -> None:
    opened.page.evaluate("tidemarkDrawAll()")
    shown = HOSTILE.replace("\u202e", "")
    opened.page.locator("#report_features summary").click()
    assert opened.table("report_features")[0][0] == shown
    bar = opened.page.locator("#report_features .chart path[aria-roledescription=bar]").first
    tooltip = opened.page.locator("#vg-tooltip-element.visible")
    # The page may still move under the pointer, which then is no longer on the bar.
    for _ in range(20):
        opened.page.mouse.move(0, 0)
        bar.hover()
        if tooltip.count():
            break
        opened.page.wait_for_timeout(500)
    assert shown in tooltip.inner_text()
    assert opened.page.locator("img").count() == 0
    assert opened.complaints == []


@pytest.mark.browser
def test_an_old_page_looks_old(open_page: Callable[..., Opened]) -> None:
    found = open_page()
    assert found.page.locator("#old").is_hidden()
    later = open_page()
    later.page.clock.set_fixed_time(datetime(2031, 1, 1))
    later.page.reload()
    assert "days ago" in later.page.locator("#old").inner_text()
    assert later.page.locator("body.is-old").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(open_page: Callable[..., Opened], scheme: str) -> None:
    found = open_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    found.page.evaluate("tidemarkDrawAll()")
    assert found.page.evaluate("document.documentElement.scrollWidth") == 390
    ground = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", ground)[0])
    assert (red < 60) == (scheme == "dark")
