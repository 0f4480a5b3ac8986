"""Raw tables of other shapes: what is said of them, and that following it ends in a build."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import foreign
import pytest
from exact.mutants import ROOT, _not_dbt
from typer.testing import CliRunner

from tidemark import cli
from tidemark.build import failures_of
from tidemark.commands import session
from tidemark.contract import Column, Level, RawTable, judged, judged_missing, proposed, sample_of
from tidemark.contract_check import table_of, written
from tidemark.engine import Dbt
from tidemark.lineage import Lineage

CLOCK = datetime(2025, 10, 15, 12)
EPOCH = datetime(1970, 1, 1)


class Project:
    """A copy of the project on tables of somebody else; read again only when asked to."""

    def __init__(self, home: Path) -> None:
        self.path = home / "project"
        self.database = home / "tidemark.duckdb"
        shutil.copytree(ROOT, self.path, ignore=_not_dbt, symlinks=True)
        foreign.create(self.database)
        self.dbt = self.read()

    def read(self) -> Dbt:
        self.dbt = Dbt(self.path, "duckdb", foreign.VARIABLES, self.path.parent / "target")
        return self.dbt

    def type(self, *words: str) -> tuple[int, str]:
        """A command as somebody types it in the project's folder."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "dbt_of", lambda *_: self.dbt)
            patch.chdir(self.path)
            ran = CliRunner().invoke(cli.app, [*words, "--as-of", CLOCK.isoformat()])
        assert not ran.exception or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, ran.output

    def compared(self) -> dict[str, dict[str, Any]]:
        """What the check says of each raw table."""
        _, told = self.type("check", "--contract", "--json")
        return {each["source"]: each for each in json.loads(told)["tables"]}

    def sql(self, query: str) -> list[Any]:
        with duckdb.connect(str(self.database)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("contract")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(home / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(home / "logs"))
        yield Project(home)


@pytest.fixture(scope="module")
def told(project: Project) -> dict[str, dict[str, Any]]:
    return project.compared()


def of(table: dict[str, Any], *levels: str) -> dict[str, str]:
    """What is said of a table's columns."""
    return {
        finding["column"]: f"{finding['what']}: {finding['meaning']}"
        for finding in table["findings"]
        if finding["level"] in levels
    }


def test_the_gate_names_the_command_in_one_line(project: Project) -> None:
    code, output = project.type("check", "--json")
    reasons = {each["source"]: each["reason"] for each in json.loads(output)["sources"]}
    assert code == 3
    assert reasons["fact_events"] == (
        "fact_events could not be checked: it has no event_id, company_id, event_timestamp, events,"
        " is_deleted, loaded_at; `tidemark check --contract fact_events` says what to write where."
    )
    # text that reads as a time can be compared
    assert "could not be checked" not in reasons["usage_answers"]


# per source, the columns that are called otherwise, by what looks like them
NAMED = {
    "fact_events": {
        "event_id": "id",
        "company_id": "account_id",
        "event_timestamp": "timestamp",
        "events": "1",
        "is_deleted": "null",
        "loaded_at": "received_at",
    },
    "product_usage_daily": {
        "company_id": "account",
        "usage_date": "day",
        "active_users": "dau",
        "events": "event_count",
        "loaded_at": "make_timestamp(try_cast(try_cast(synced_at as double) * 1000 as bigint))",
    },
    "usage_answers": {},
    "crm_daily": {
        "company_id": "id",
        "name": "account_name",
        "country": "billing_country",
        "industry_tag": "null",
        "last_contact_at": "last_activity_at",
        "load_date": "cast(_fivetran_synced as date)",
        "loaded_at": "_fivetran_synced",
    },
    "engagement_events": {
        "event_id": '"eventId"',
        "user_id": '"userId"',
        "server_id": '"serverId"',
        "session_date": "make_timestamp(try_cast(try_cast(ts as double) * 1000000 as bigint))",
        "feature_used": "feature",
        "interaction_count": "1",
        "duration_minutes": "minutes",
        "is_deleted": "deleted_at is not null",
        "updated_at": "_airbyte_extracted_at",
    },
    "learner_events": {
        "learner_id": "user_id",
        "event_type": "type",
        "event_id": "id",
        "session_id": "null",
        "timestamp": "ts",
        "data": "properties",
        "metadata": "null",
        "version": "null",
        "partition_date": "null",
        "s3_path": "null",
        "processed_at": "received_at",
    },
}


@pytest.mark.parametrize("wrong", foreign.TABLES)
def test_what_is_wrong_is_told_with_what_to_write(told: Any, wrong: str) -> None:
    table = told[foreign.SOURCES[wrong]]
    assert table["columns"] == NAMED[table["source"]]
    assert table["fits"] == (table["columns"] == {})
    for name, made in table["columns"].items():
        assert of(table, "must")[name]
        assert made == "null" or f"{name}={made}" in shlex.split(table["command"])


def test_types_times_and_zones_are_told(told: Any) -> None:
    assert of(told["fact_events"], "note") == {
        "event_id": "id is UUID, not varchar: all of 120 values convert without loss",
        "company_id": "account_id is BIGINT, not varchar: all of 120 values convert without loss",
        "loaded_at": "received_at is TIMESTAMP WITH TIME ZONE, not timestamp: all of 120 values"
        " convert without loss",
    }
    assert of(told["product_usage_daily"], "must")["loaded_at"] == (
        "synced_at holds milliseconds since 1970: 2025-10-02 08:09 UTC to 2025-10-11 08:11 UTC: it"
        " has to be made a time"
    )
    assert of(told["usage_answers"], "must", "look") == {}
    assert of(told["learner_events"], "look") == {
        "timestamp": "no event is younger than 4 h when it is loaded: times of another zone than"
        " UTC look so. If they are: --map"
        " timestamp=\"timezone('UTC', timezone('YOUR/ZONE', ts))\""
    }


@pytest.fixture(scope="module")
def followed(project: Project, told: dict[str, dict[str, Any]]) -> Project:
    """The same after every command that was told has been typed, and the zone been said."""
    for source, table in told.items():
        if table["command"] is None:
            continue
        words = shlex.split(table["command"])[1:]
        if source == "learner_events":
            zone = "timestamp=timezone('UTC', timezone('America/New_York', ts))"
            words = [zone if word == "timestamp=ts" else word for word in words]
        code, output = project.type(*words)
        assert code == 0, output
    project.read()
    return project


def test_following_it_ends_in_a_build_that_passes(followed: Project) -> None:
    compared = followed.compared()
    assert {source for source, table in compared.items() if not table["fits"]} == set()
    # with TIDEMARK_EXAMPLES set all data tests are among it, which take most of the time
    short = () if "TIDEMARK_EXAMPLES" in os.environ else ("--exclude-resource-type", "test")
    outcome = followed.dbt.call("build", *short, as_of=CLOCK)
    problems = [(r.node.name, r.message) for r in outcome.results if r.status in ("error", "fail")]
    assert (problems, outcome.errors) == ([], [])
    # unit tests were among it: their rows are by the names of the contract
    units = [r for r in outcome.results if str(r.node.resource_type) == "unit_test"]
    assert "a_bad_event_says_why" in {result.node.name for result in units}
    assert followed.sql("select * from ops.quarantined_rows") == []
    events = foreign.EVENTS
    assert followed.sql(
        "select (select sum(events) from marts.fact_events_daily),"
        " (select sum(api_events) from marts.company_usage_reconciliation),"
        " (select count(*) from marts.dim_companies where company_name like 'Company %'),"
        " (select sum(total_interactions) from marts.fct_engagement_metrics),"
        " (select sum(page_views) from marts.minute_metrics),"
        " (select count(*) from marts.company_daily_activity where active_users = 2)"
    ) == [(events, events, foreign.COMPANIES, events - 1, events, 30)]
    # 08:00 in UTC, whatever the clock in New York showed
    first = "select min(minute_timestamp) from marts.minute_metrics"
    assert followed.sql(first) == [(datetime(2025, 10, 1, 8),)]


def test_the_gate_goes_by_the_load_times_as_they_are_called(followed: Project) -> None:
    _, output = followed.type("check", "--json")
    told = json.loads(output)
    states = {each["source"]: each["last_loaded_at"] for each in told["sources"]}
    assert states["product_usage_daily"] == "2025-10-11T08:11:00"
    assert states["crm_daily"] == "2025-10-12T01:00:00"
    assert states["usage_answers"] == "2025-10-11T23:00:00"


# ---- without a warehouse ----

EVENTS = RawTable(
    source="events",
    relation="lake.raw.events",
    exists=True,
    view="models/stg_events.sql",
    load_time="loaded_at",
    columns=[
        Column("event_id", "varchar", "text", True),
        Column("happened_at", "timestamp", "time", True),
        Column("amount", "integer", "number", True),
        Column("is_deleted", "boolean", "boolean"),
        Column("loaded_at", "timestamp", "time", True),
    ],
    stored={
        "event_id": ("VARCHAR", "text"),
        "happened_at": ("TIMESTAMP", "time"),
        "amount": ("INTEGER", "number"),
        "is_deleted": ("BOOLEAN", "boolean"),
        "loaded_at": ("TIMESTAMP", "time"),
    },
    identity=["event_id", "activity_date"],
    likely_names={"loaded_at": ["received_at", "updated_at"]},
)
NEWEST = (datetime(2025, 10, 15, 11) - EPOCH).total_seconds()
SOUND = {"rows": 100, "first_load": NEWEST - 900, "last_load": NEWEST, "least_lag": 60, "sql": {}}


def stored_as(**columns: str) -> RawTable:
    """The same table with other columns: what is none is not there."""
    kinds = {name: (kind.upper(), kind) for name, kind in columns.items()}
    return replace(EVENTS, stored={**EVENTS.stored, **kinds})


def findings(sample: dict[str, Any], as_of: datetime = CLOCK) -> list[tuple[str, str, str]]:
    verdict = judged(EVENTS, proposed(EVENTS), {**SOUND, **sample}, as_of)
    return [(each.level.value, each.column, each.what) for each in verdict.findings]


def test_a_table_as_it_should_be_has_nothing_to_be_said_of() -> None:
    assert findings({}) == []
    assert sample_of(EVENTS, proposed(EVENTS))["keys"] == ["event_id", "happened_at", "loaded_at"]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"nulls event_id": 3}, ("look", "event_id", "3 of 100 values are null")),
        ({"nulls event_id": 100}, ("must", "event_id", "100 of 100 values are null")),
        ({"nulls is_deleted": 100}, None),
        ({"unfit amount": 2}, ("look", "amount", "amount is INTEGER, not integer; 2 of 100")),
        ({"twice": 4}, ("look", "event_id, happened_at, loaded_at", "4 keys come more than once")),
        ({"future": 1}, ("look", "loaded_at", "1 of 100 load times lie in the future")),
        ({"future": 100}, ("must", "loaded_at", "100 of 100 load times lie in the future")),
        ({"least_lag": 4 * 3600 + 30}, ("look", "happened_at", "no event is younger than 4 h")),
        ({"least_lag": 4 * 3600 + 1800}, None),
        ({"least_lag": -7200, "ahead": 90}, ("look", "happened_at", "90 of 100 events lie after")),
        ({"least_lag": -7200, "ahead": 1}, None),
        ({"rows": 0}, ("note", "", "it has no rows")),
    ],
)
def test_what_a_sample_tells(sample: dict[str, Any], expected: tuple[str, str, str] | None) -> None:
    found = findings(sample)
    if expected is None:
        assert found == []
    else:
        ((level, column, what),) = found
        assert (level, column) == expected[:2]
        assert what.startswith(expected[2])


def test_a_load_time_that_is_always_now_is_told_by_name() -> None:
    now = (CLOCK + timedelta(seconds=1) - EPOCH).total_seconds()
    sample = {"first_load": now, "last_load": now, "future": 100}
    assert findings(sample) == [("must", "loaded_at", "the load time of all rows is now")]
    # one load that has just ended is none
    assert findings({"first_load": NEWEST, "last_load": NEWEST}, datetime(2025, 10, 15, 11)) == []


def test_without_a_load_time_nothing_is_invented() -> None:
    stored = {name: kind for name, kind in EVENTS.stored.items() if name != "loaded_at"}
    table = replace(EVENTS, stored=stored)
    verdict = judged(table, proposed(table), None, CLOCK)
    assert verdict.open == ["loaded_at"]
    ((level, what, meaning),) = [(f.level, f.what, f.meaning) for f in verdict.findings]
    assert (level, what) == (Level.MUST, "nothing says when a row was loaded")
    assert "now() is none" in meaning


def test_where_nothing_could_be_compared_the_command_is_named_as_well() -> None:
    """As on Snowflake, whose catalog the gate does not ask."""
    lineage = Lineage({"source.events": "events"}, {}, frozenset({"source.events"}))
    view = SimpleNamespace(
        name="stg_events",
        resource_type="model",
        config=SimpleNamespace(materialized="view"),
        depends_on=SimpleNamespace(nodes=["source.events"]),
    )
    result = SimpleNamespace(node=view, status="error", message="invalid identifier 'ID'")
    (failure,) = failures_of([result], lineage)
    assert failure.message.splitlines()[1:] == [
        "`tidemark check --contract events` says what differs."
    ]


def test_what_a_view_says_already_stands() -> None:
    stored = {name: kind for name, kind in EVENTS.stored.items() if name != "amount"}
    table = replace(EVENTS, stored=stored, mapped={"amount": "0", "event_id": "gone"})
    assert (proposed(table)["amount"], proposed(table)["event_id"]) == ("0", "event_id")
    assert judged(table, proposed(table), None, CLOCK).changed == {"amount": "0"}


def test_the_likeliest_name_is_taken_once() -> None:
    stored = {name: kind for name, kind in EVENTS.stored.items() if name not in ("loaded_at",)}
    both = {"updated_at": ("TIMESTAMP", "time"), "received_at": ("TIMESTAMP", "time")}
    table = replace(EVENTS, stored={**stored, **both})
    assert proposed(table)["loaded_at"] == "received_at"
    assert proposed(table, {"loaded_at": "updated_at"})["loaded_at"] == "updated_at"
    # a number is no flag, and no name is likely that means nothing
    assert "loaded_at" not in proposed(
        replace(table, stored={**stored, "loaded": ("INT", "number")})
    )


def test_a_table_by_another_name_is_found_and_one_that_is_not_there_is_not() -> None:
    columns = [{"name": name, "type": t, "kind": k} for name, (t, k) in EVENTS.stored.items()]
    missing = replace(EVENTS, exists=False, stored={}, domain="shop")
    other = {"name": "events_v2", "columns": columns}
    assert judged_missing(missing, [other], []).settings == "raw_identifiers: {events: events_v2}"
    unlike = {"name": "people", "columns": columns[:1]}
    assert judged_missing(missing, [unlike], ["shop", "web"]).settings == "domains: [web]"


def test_a_view_is_named_by_its_file_or_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    view = SimpleNamespace(
        name="stg_events",
        resource_type="model",
        original_file_path="models/stg_events.sql",
        config=SimpleNamespace(materialized="view"),
        depends_on=SimpleNamespace(nodes=["source.events"]),
    )
    lineage = Lineage({"source.events": "events"}, {}, frozenset({"source.events"}))
    manifest = SimpleNamespace(nodes={"model.stg_events": view})
    dbt: Any = SimpleNamespace(manifest=manifest, lineage=lineage, project_dir=tmp_path)
    monkeypatch.chdir(tmp_path)
    for named in ("stg_events", "models/stg_events.sql", tmp_path / "models/stg_events.sql"):
        assert table_of(dbt, Path(named)) == "events"
    with pytest.raises(ValueError, match=r"stg_event is no staging view .*: models/stg_events.sql"):
        table_of(dbt, Path("stg_event"))


def test_a_view_says_its_columns_once_and_the_rest_stays() -> None:
    view = (ROOT / "models/staging/stg_fact_events.sql").read_text()
    first = written(view, {"event_id": "id", "events": "1"})
    assert first.endswith(view)
    other = {"loaded_at": "timezone('UTC', \"At\")"}
    again = written(first, other)
    assert again == written(view, other)
    assert written(again, {}) == view
    with pytest.raises(ValueError, match="a config of its own"):
        written("{{ config(alias='x') }}\n" + view, other)
