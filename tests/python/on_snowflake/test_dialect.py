"""Every dispatched macro on both engines, with inputs that engines like to differ on.

A case states what is right; DuckDB and the emulated Snowflake must both answer it. Where the
emulator, being DuckDB, answers otherwise than Snowflake, the case says what Snowflake's reference
has (`expected`) and what the emulator makes of it (`emulated`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tidemark.engine import Dbt

pytest.importorskip("fakesnow", reason="it needs the DuckDB of Python 3.11")

from . import gates
from .shim import Emulator, emulated_snowflake

pytestmark = pytest.mark.snowflake

PROJECT = Path(__file__).parents[3]
DIALECT = PROJECT / "macros" / "dialect.sql"

# Numbers of 38 digits. Without a fraction they are `bigint` to the emulator's columns, and out of
# its range; with one, JSON in DuckDB makes them doubles, where Snowflake keeps every digit: nothing
# in JSON is told from its neighbour beyond the 15th digit.
WHOLE = "12345678901234567890123456789012345678"
MOST, NEXT = (f"1234567890123456789012345678.012345678{digit}" for digit in "98")
FIFTEEN = "12345.0123456789"
PRECISE = "decimal(38, 10)"


class Case(NamedTuple):
    """An expression of a macro, and what it is worth."""

    given: str
    expected: str
    emulated: str | None = None


def day(text: str) -> str:
    return f"cast('{text}' as date)"


def time(text: str) -> str:
    return f"cast('{text}' as timestamp)"


def zoned(text: str) -> str:
    return f"cast('{text}' as timestamp with time zone)"


def utc(text: str) -> str:
    return '{{ to_utc("' + zoned(text) + '") }}'


def millisecond(value: str) -> str:
    return '{{ epoch_millisecond("' + value + '") }}'


def days(first: str, last: str, what: str) -> str:
    span = f"(select {first} as first_day, {last} as last_day) as span"
    calendar = "{{ each_day('span.first_day', 'span.last_day') }} as calendar"
    return f"(select {what} from {span} cross join {calendar})"


def is_json(text: str | None) -> str:
    return "(select {{ is_json('data') }} from (select " + literal(text) + " as data) as texts)"


def json_text(text: str | None, key: str) -> str:
    value = "{{ json_text('data', '" + key + "') }}"
    return f"(select {value} from (select {literal(text)} as data) as texts)"


def of_object(key: str, **values: str) -> str:
    pairs = ", ".join(f"'{name}': \"{value}\"" for name, value in values.items())
    made = "(select cast({{ json_object({" + pairs + "}) }} as varchar) as data)"
    return "(select {{ json_text('data', '" + key + "') }} from " + made + " as made)"


def of_row(key: str, columns: str) -> str:
    # The keys are the names of columns as the engine has them, on Snowflake in upper case.
    made = "(select {{ row_as_json('one') }} as data from (select " + columns + ") as one)"
    either = "coalesce({{ json_text('data', '" + key + "') }}, {{ json_text('data', '"
    return f"(select {either}{key.upper()}') }}}}) from {made} as made)"


def of_rows(key: str, rows: str) -> str:
    made = "(select cast({{ json_object_of('name', 'amount') }} as varchar) as data"
    values = f"(values {rows}) as rows_of_it (name, amount)"
    return "(select {{ json_text('data', '" + key + f"') }}}} from {made} from {values}) as made)"


def hashes_agree(one: str, other: str) -> str:
    rows = f"(select {one} union all select {other}) as two (a, b)"
    return "(select count(distinct {{ row_hash(['a', 'b']) }}) = 1 from " + rows + ")"


def literal(text: str | None) -> str:
    if not text:
        return "cast(null as varchar)" if text is None else "''"
    return "{{ text_literal(" + json.dumps(text, ensure_ascii=False) + ") }}"


CASES: dict[str, dict[str, Case]] = {
    "to_utc": {
        "east of Greenwich": Case(utc("2025-07-01 00:30:00+02:00"), time("2025-06-30 22:30:00")),
        "over a leap day": Case(utc("2024-02-29 23:30:00-05:00"), time("2024-03-01 04:30:00")),
        "over a year's end, half an hour off": Case(
            utc("2025-12-31 23:59:59.999999-00:30"), time("2026-01-01 00:29:59.999999")
        ),
        "in an hour that New York repeats": Case(
            utc("2025-11-02 01:30:00-05:00"), time("2025-11-02 06:30:00")
        ),
        "null": Case(
            '{{ to_utc("cast(null as timestamp with time zone)") }}', "cast(null as timestamp)"
        ),
    },
    "epoch_millisecond": {
        "fractions are cut off": Case(
            millisecond(time("2025-10-15 12:00:00.123999")), "1760529600123"
        ),
        "before 1970": Case(millisecond(time("1969-12-31 23:59:59.999")), "-1"),
        "with a zone": Case(millisecond(zoned("1970-01-01 00:00:00+02:00")), "-7200000"),
        "a leap day": Case(millisecond(day("2024-02-29")), "1709164800000"),
        "null": Case(millisecond("cast(null as timestamp)"), "cast(null as bigint)"),
    },
    "each_day": {
        "a leap February": Case(days(day("2024-02-01"), day("2024-03-01"), "count(*)"), "30"),
        "its end": Case(
            days(day("2023-02-27"), day("2023-03-01"), "min(date_day) + 1"), day("2023-02-28")
        ),
        "from a Sunday to a Monday": Case(
            days(day("2025-10-12"), day("2025-10-13"), "max(date_day)"), day("2025-10-13")
        ),
        "one day": Case(days(day("2025-12-31"), day("2025-12-31"), "count(*)"), "1"),
        "backwards": Case(days(day("2025-10-02"), day("2025-10-01"), "count(*)"), "0"),
        "from nowhere": Case(days("cast(null as date)", day("2025-10-01"), "count(*)"), "0"),
        "to nowhere": Case(days(day("2025-10-01"), "cast(null as date)", "count(*)"), "0"),
    },
    "row_as_json": {
        "text": Case(of_row("a", "'Zoë ☂ \"q\"' as a, 1 as b"), "'Zoë ☂ \"q\"'"),
        "null": Case(of_row("a", "cast(null as varchar) as a"), "cast(null as varchar)"),
        "null among others": Case(of_row("b", "cast(null as varchar) as a, 'b' as b"), "'b'"),
        "a wide decimal": Case(of_row("a", f"cast({FIFTEEN} as {PRECISE}) as a"), f"'{FIFTEEN}'"),
        "a date": Case(of_row("a", f"{day('2024-02-29')} as a"), "'2024-02-29'"),
        "a boolean": Case(of_row("a", "true as a"), "'true'"),
    },
    "row_hash": {
        "of equal rows": Case(hashes_agree("'a' as a, 1 as b", "'a', 1"), "true"),
        "null is not empty": Case(hashes_agree("null as a, '' as b", "'', null"), "false"),
        "two nulls": Case(hashes_agree("null as a, null as b", "null, null"), "true"),
        "an accent": Case(hashes_agree("'é' as a, 1 as b", "'e', 1"), "false"),
        "the last of 38 digits": Case(
            hashes_agree(
                f"cast({MOST} as {PRECISE}) as a, 1 as b",
                f"cast({NEXT} as {PRECISE}), 1",
            ),
            "false",
        ),
        "sums of both signs": Case(
            "(select sum(sign * {{ row_hash(['a']) }}) from (values ('x', 1), ('y', 1), ('y', -1),"
            " ('x', -1)) as rows_of_it (a, sign))",
            "0",
        ),
    },
    "text_literal": {
        "a quote": Case(literal("it's"), "'it' || chr(39) || 's'"),
        "a backslash": Case(literal("a\\nb\\"), "'a' || chr(92) || 'nb' || chr(92)"),
        "a new line": Case(literal("a\nb"), "'a' || chr(10) || 'b'"),
        "what others replace": Case(literal("$pageview %s {} :a ?"), "'$pageview %s {} :a ?'"),
        "unicode": Case(f"length({literal('Zoë ☂ 😀')})", "7"),
        "long": Case(f"length({literal('é' * 3000)})", "2000"),
        "empty is null": Case("{{ text_literal('') }}", "cast(null as varchar)"),
        "none": Case("{{ text_literal(none) }}", "cast(null as varchar)"),
    },
    "is_json": {
        "an object": Case(is_json('{"a": {"é": [1, null]}}'), "true"),
        "the JSON null": Case(is_json("null"), "true"),
        "a bare number": Case(is_json(WHOLE), "true"),
        "null": Case(is_json(None), "true"),
        "empty": Case(is_json(""), "false"),
        "blanks": Case(is_json("  "), "false"),
        "cut off": Case(is_json('{"a": 1'), "false"),
        "two": Case(is_json("{} {}"), "false"),
        "bare words": Case(is_json("score"), "false"),
    },
    "json_text": {
        "text": Case(json_text('{"a": "Zoë ☂"}', "a"), "'Zoë ☂'"),
        "an escape": Case(json_text('{"a": "x\\u00e9"}', "a"), "'xé'"),
        "a number": Case(json_text('{"a": 8.5}', "a"), "'8.5'"),
        "38 digits": Case(json_text(f'{{"a": {WHOLE}}}', "a"), f"'{WHOLE}'"),
        "false": Case(json_text('{"a": false}', "a"), "'false'"),
        "null": Case(json_text('{"a": null}', "a"), "cast(null as varchar)"),
        "empty": Case(json_text('{"a": ""}', "a"), "''"),
        "absent": Case(json_text('{"b": 1}', "a"), "cast(null as varchar)"),
        "deeper": Case(json_text('{"b": {"a": 1}}', "a"), "cast(null as varchar)"),
        "another case": Case(json_text('{"A": 1}', "a"), "cast(null as varchar)"),
        "a dotted key": Case(json_text('{"a.b": 1, "a": {"b": 2}}', "a.b"), "'1'"),
        "an array": Case(json_text('["a"]', "a"), "cast(null as varchar)"),
        "the JSON null": Case(json_text("null", "a"), "cast(null as varchar)"),
        "what does not parse": Case(json_text('{"a": 1', "a"), "cast(null as varchar)"),
        "nothing": Case(json_text(None, "a"), "cast(null as varchar)"),
    },
    "json_object": {
        "a number": Case(of_object("a", a="1", b="2"), "'1'"),
        "text": Case(of_object("a", a="'Zoë ☂'"), "'Zoë ☂'"),
        "a wide decimal": Case(of_object("a", a=f"cast({FIFTEEN} as {PRECISE})"), f"'{FIFTEEN}'"),
        "a null beside it": Case(of_object("b", a="cast(null as varchar)", b="'b'"), "'b'"),
        "a null stays": Case(
            "cast({{ json_object({'a': 'cast(null as varchar)'}) }} as varchar) like '%a%'",
            "true",
        ),
    },
    "json_object_of": {
        "one": Case(of_rows("a", "('a', 1)"), "'1'"),
        "the second": Case(of_rows("é.x", "('a', 1), ('é.x', 2)"), "'2'"),
        "a wide decimal": Case(
            of_rows("a", f"('a', cast({FIFTEEN} as {PRECISE}))"), f"'{FIFTEEN}'"
        ),
    },
    "engine_clock": {
        "is UTC, whatever the session's zone": Case(
            "abs({{ dbt.datediff(engine_clock(), timestamp_literal(wall_clock()), 'second') }})"
            " < 60",
            "true",
        ),
    },
    "days_after": {
        "a month's end": Case(
            '{{ days_after("' + day("2024-01-31") + '", 1) }}', day("2024-02-01")
        ),
        "a leap day": Case('{{ days_after("' + day("2024-03-01") + '", -1) }}', day("2024-02-29")),
        "no leap day": Case('{{ days_after("' + day("2100-03-01") + '", -1) }}', day("2100-02-28")),
        "an expression": Case(
            '{{ days_after("' + day("2025-12-30") + '", "1 + 1") }}', day("2026-01-01")
        ),
        "null": Case('{{ days_after("cast(null as date)", 1) }}', "cast(null as date)"),
    },
    "unix_second": {
        "fractions are cut off": Case(
            '{{ unix_second("' + time("2025-10-15 12:00:00.999") + '") }}', "1760529600"
        ),
        "null": Case('{{ unix_second("cast(null as timestamp)") }}', "cast(null as bigint)"),
    },
}

# What is no expression, and the text that each engine gets.
TEXTS = {
    "in_one_transaction": {
        "macro": "in_one_transaction('delete from a; insert into a select 1')",
        "duckdb": "delete from a; insert into a select 1",
        "snowflake": "begin; delete from a; insert into a select 1; commit;",
    },
    # Temporary tables lie outside any schema on DuckDB, in the session's own elsewhere.
    "touched_table": {
        "macro": "touched_table('found')",
        "duckdb": '"inline_query__found"',
        "snowflake": "TIDEMARK.marts.inline_query__found",
    },
}

# How landed files are read: DuckDB's are tried by the tests of loading; of Snowflake's stages the
# emulator knows too little, so its texts are judged alone.
PATHS = [f"crm_daily/2025-10-{day}/202510{day}T010000000000Z-crm.parquet" for day in (15, 16)]
FILES = f"'s3://bucket', {PATHS}"
LANDED = {
    "landed_columns": f"landed_columns({FILES})",
    "landed_rows": f"landed_rows({FILES}, 'loaded_at')",
    "copy_files": f"copy_files({FILES}, 'TIDEMARK.raw.crm_daily')",
}

# What does things, and the test that lets it, on both engines.
SCENARIOS = {
    "landing_ddl": "test_dialect.py::test_the_landing_can_be_made_twice",
    "stored_columns": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "take_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    "renew_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    "release_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    # a model's session, and its tables
    "open_session": "test_end_to_end.py::test_sessions_are_tagged_with_project_model_and_run",
    "count_new_rows": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "drop_relation_if_exists": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "forget_before_rebuild": "test_end_to_end.py"
    "::test_a_rebuild_that_dies_before_the_ledger_knows_is_taken_up",
}


def dispatched_macros() -> set[str]:
    text = DIALECT.read_text(encoding="utf-8")
    return set(re.findall(r"adapter\.dispatch\('(\w+)'\)", text))


def test_every_dispatched_macro_is_tried() -> None:
    assert dispatched_macros() <= {*CASES, *TEXTS, *LANDED, *SCENARIOS}
    # what the table tells of besides is not dispatched by us, but by dbt
    assert set(CASES) - dispatched_macros() == {"unix_second"}
    for scenario in SCENARIOS.values():
        name, _, test = scenario.partition("::")
        assert f"def {test}(" in (Path(__file__).parent / name).read_text(encoding="utf-8")


# dbt's own macro, which dispatches however we override it.
OF_DBT = "adapter.dispatch('create_table_as', 'dbt')"
# YAML is read before there are macros.
OF_YAML = "{{ 'object' if target.type == 'snowflake' else 'json' }}"


def test_engines_differ_in_one_file() -> None:
    """Who asks for the engine elsewhere, or writes a body for one, is told where that belongs."""
    strays = []
    folders = ("macros", "models", "snapshots", "tests", "analyses", "seeds")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*")]
    for path in [*files, *PROJECT.glob("*.yml")]:
        if path.suffix in (".sql", ".yml") and path != DIALECT:
            text = path.read_text(encoding="utf-8").replace(OF_DBT, "").replace(OF_YAML, "")
            asks = r"adapter\.dispatch|target\.type|adapter\.type|macro (?:duckdb|snowflake)__"
            strays += [f"{path.relative_to(PROJECT)}: {found}" for found in re.findall(asks, text)]
    assert strays == []


# Whose raw tables have every type, and columns that are named like one.
DOMAINS = ["company", "engagement", "learning"]


class Engine(NamedTuple):
    """dbt on one of the two, with the sources and models of two domains."""

    name: str
    dbt: Dbt
    emulator: Emulator

    def answers(self) -> dict[str, str]:
        """Every case that is not answered as it should be, with the answer."""
        wrong = []
        for macro, cases in CASES.items():
            for title, case in cases.items():
                expected = case.expected
                if self.name == "snowflake" and case.emulated is not None:
                    expected = case.emulated
                wrong.append(
                    f"select {literal(f'{macro}: {title}')} as title, "
                    f"cast({case.given} as varchar) as answer "
                    f"where ({case.given}) is distinct from ({expected})"
                )
        rows = self.show(" union all ".join(wrong))
        return {row[0]: row[1] for row in rows}

    def show(self, sql: str) -> list[tuple[str, ...]]:
        return [tuple(row.values()) for row in self.table(sql).rows]

    def table(self, sql: str) -> Any:
        outcome = self.dbt.call("show", "--inline", sql, "--limit", "-1", "--no-write-json")
        outcome.raise_if_failed()
        (result,) = outcome.results
        return result.agate_table


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    folder = tmp_path_factory.mktemp("dialect")
    with pytest.MonkeyPatch.context() as patch, emulated_snowflake() as emulator:
        patch.setenv("TIDEMARK_DUCKDB_PATH", str(folder / "tidemark.duckdb"))
        patch.setenv("DBT_LOG_PATH", str(folder / "logs"))
        for name in ("ACCOUNT", "USER", "PASSWORD"):
            patch.setenv(f"SNOWFLAKE_{name}", "emulated")
        yield {
            name: Engine(name, Dbt(PROJECT, name, {"domains": DOMAINS}, folder / name), emulator)
            for name in ("duckdb", "snowflake")
        }


@pytest.mark.parametrize("name", ["duckdb", "snowflake"])
def test_every_case_has_the_stated_answer(engines: dict[str, Engine], name: str) -> None:
    assert engines[name].answers() == {}


@pytest.mark.parametrize("name", ["duckdb", "snowflake"])
def test_what_is_no_expression(engines: dict[str, Engine], name: str) -> None:
    texts = [f"{{{{ text_literal({text['macro']} | string) }}}}" for text in TEXTS.values()]
    ((*answers,),) = engines[name].show("select " + ", ".join(texts))
    assert [" ".join(answer.split()) for answer in answers] == [
        text[name] for text in TEXTS.values()
    ]


def test_landed_files_are_read_in_snowflakes_words(engines: dict[str, Engine]) -> None:
    texts = [f"{{{{ text_literal({call} | string) }}}}" for call in LANDED.values()]
    (answers,) = engines["snowflake"].show("select " + ", ".join(texts))
    assert gates.violations(answers) == {}


def test_what_a_load_writes_down_is_the_same(engines: dict[str, Engine]) -> None:
    report = "jobs/20251015T120000000000Z-usage.json"
    job = {"job_name": "ingest usage", "status": "failed", "error_message": "it's away"}
    job |= {"completed_at": "2025-10-15T12:00:00", "records_processed": 3, "figures": {"lag": 4}}
    lost = {"path": "crm_daily/2025-10-15/20251015T010000000000Z-a.parquet", "error_message": "cut"}
    for engine in engines.values():
        landing = engine.dbt.operate("load_landing", {"root": "s3://bucket", "reports": report})
        assert landing.event("landing")["new_reports"] == [report]
        ended = {"jobs": [{**job, "path": report}], "failed_files": [lost]}
        engine.dbt.operate("close_load", ended)
        again = engine.dbt.operate("load_landing", {"root": "s3://bucket", "reports": report})
        assert again.event("landing")["new_reports"] == []
        engine.dbt.operate("release_run_lock")
        told = engine.show(
            "select job_type, status, error_message, records_processed, metadata_json"
            " from {{ ops_table('etl_job_runs') }} where job_name = 'ingest usage'"
        )
        assert [(*map(str, row),) for row in told] == [
            ("ingest", "failed", "it's away", "3", '{"lag": 4}')
        ]
        files = engine.show(
            "select table_name, status from {{ ops_table('landed_files') }} order by 1"
        )
        assert [tuple(row) for row in files] == [("crm_daily", "failed"), ("jobs", "loaded")]


def test_the_landing_can_be_made_twice(engines: dict[str, Engine]) -> None:
    for engine in engines.values():
        for _ in range(2):
            engine.dbt.operate("create_landing")
        for source in engine.dbt.manifest.sources.values():
            if source.source_name == "raw":
                made = engine.table(f"select * from {source.relation_name}")
                assert [name.lower() for name in made.column_names] == list(source.columns)
                assert len(made.rows) == 0


@pytest.mark.parametrize("url", [None, "s3://bucket/prefix"])
def test_the_landing_is_made_in_snowflakes_words(
    engines: dict[str, Engine], url: str | None
) -> None:
    snowflake = engines["snowflake"]
    mark = len(snowflake.emulator.statements)
    names = {"loader": "tide_in", "transformer": "tide_mark", "reporter": "tide_out"}
    landing = {"url": url, "storage_integration": "lake" if url else None, "roles": names}
    outcome = snowflake.dbt.call("run-operation", "create_landing", variables={"landing": landing})
    outcome.raise_if_failed()
    sent = [statement.sql for statement in snowflake.emulator.since(mark)]
    assert gates.violations(sent) == {}
    granted = {
        role: [sql for sql in sent if sql.endswith(f"to role {role}")] for role in names.values()
    }
    assert all(granted.values())
    # the least that each needs: raw tables are written by loaders alone, reporters see marts alone
    writes = re.compile(r"grant .*\b(insert|update|delete|truncate|write|create|ownership)\b")
    assert all(".marts" in sql or ".raw" not in sql for sql in granted["tide_out"])
    assert not [sql for sql in granted["tide_out"] if writes.match(sql)]
    assert not [sql for sql in granted["tide_mark"] if writes.match(sql) and ".raw" in sql]
    assert not [sql for sql in granted["tide_in"] if ".marts" in sql]
