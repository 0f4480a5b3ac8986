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
DIALECT = PROJECT / "packages" / "tidemark" / "macros" / "dialect"

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
    return "{{ tidemark.timestamp_literal('" + text + "') }}"


def zoned(text: str) -> str:
    return f"cast('{text}' as timestamp with time zone)"


def utc(text: str) -> str:
    return '{{ tidemark.to_utc("' + zoned(text) + '") }}'


def local(value: str, zone: str) -> str:
    moved = f"{{{{ tidemark.local_time_to_utc('moment', '{zone}') }}}}"
    return f"(select {moved} from (select {value} as moment) as given)"


def millisecond(value: str) -> str:
    whole = "{{ tidemark.epoch_millisecond('moment') }}"
    return f"(select {whole} from (select {value} as moment) as given)"


def days(first: str, last: str, what: str) -> str:
    span = f"(select {first} as first_day, {last} as last_day) as span"
    calendar = "{{ tidemark.each_day('span.first_day', 'span.last_day') }} as calendar"
    date_day = "{{ tidemark.day_of('calendar', 'span.first_day') }} as date_day"
    each = f"(select {date_day} from {span} cross join {calendar}) as days"
    return f"(select {what} from {each})"


def ratio(numerator: str, denominator: str, decimals: int = 4, scale: int = 0) -> str:
    return f"{{{{ tidemark.ratio('{numerator}', '{denominator}', {decimals}, {scale}) }}}}"


def decimal(text: str, decimals: int = 4) -> str:
    return f"cast({text} as decimal(38, {decimals}))"


def last_known(rows: str) -> str:
    known = "{{ tidemark.last_known('a', 'b') }}"
    return f"(select {known} from (values {rows}) as ordered (a, b))"


def of_nulls(aggregate: str) -> str:
    rows = "(values (cast(null as integer), 3), (null, null)) as given (a, b)"
    return f"(select {aggregate} from {rows})"


def column_text(value: str, data_type: str) -> str:
    text = f"{{{{ tidemark.column_text('it', {data_type!r}) }}}}"
    return f"(select {text} from (select {value} as it) as given)"


def whole_quotient(numerator: str, denominator: str) -> str:
    return f"{{{{ tidemark.whole_quotient('{numerator}', '{denominator}') }}}}"


def is_json(text: str | None) -> str:
    return (
        "(select {{ tidemark.is_json('data') }} from (select "
        + literal(text)
        + " as data) as texts)"
    )


# What Unicode calls white space.
WHITE_SPACE = [
    *(*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)),
    *(0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
]


def is_blank(value: str) -> str:
    text = f"(select {value} as id) as texts"
    return "(select coalesce({{ tidemark.is_blank('id') }}, false) from " + text + ")"


def json_text(text: str | None, key: str) -> str:
    value = "{{ tidemark.json_text('data', '" + key + "') }}"
    return f"(select {value} from (select {literal(text)} as data) as texts)"


def of_object(key: str, **values: str) -> str:
    pairs = ", ".join(f"'{name}': \"{value}\"" for name, value in values.items())
    made = "(select cast({{ tidemark.json_object({" + pairs + "}) }} as varchar) as data)"
    return "(select {{ tidemark.json_text('data', '" + key + "') }} from " + made + " as made)"


def of_row(key: str, columns: str, **types: str) -> str:
    names = [part.split(" as ")[-1] for part in columns.split(", ") if " as " in part]
    told = {name: types.get(name, "") for name in names if len(name) == 1}
    row = f"{{{{ tidemark.row_as_json('one', {told}) }}}}"
    made = f"(select {row} as data from (select {columns}) as one)"
    return f"(select {{{{ tidemark.json_text('data', '{key}') }}}} from {made} as made)"


def of_rows(key: str, rows: str) -> str:
    made = "(select cast({{ tidemark.json_object_of('name', 'amount') }} as varchar) as data"
    values = f"(values {rows}) as rows_of_it (name, amount)"
    return (
        "(select {{ tidemark.json_text('data', '"
        + key
        + f"') }}}} from {made} from {values}) as made)"
    )


def hashes_agree(one: str, other: str) -> str:
    rows = f"(select {one} union all select {other}) as two (a, b)"
    return "(select count(distinct {{ tidemark.row_hash(['a', 'b']) }}) = 1 from " + rows + ")"


def literal(text: str | None) -> str:
    if not text:
        return "cast(null as varchar)" if text is None else "''"
    return "{{ tidemark.text_literal(" + json.dumps(text, ensure_ascii=False) + ") }}"


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
            '{{ tidemark.to_utc("cast(null as timestamp with time zone)") }}',
            "{{ tidemark.timestamp_literal(none) }}",
        ),
    },
    "epoch_millisecond": {
        "fractions are cut off": Case(
            millisecond(time("2025-10-15 12:00:00.123999")), "1760529600123"
        ),
        "before 1970": Case(millisecond(time("1969-12-31 23:59:59.999")), "-1"),
        "with a zone": Case(millisecond(zoned("1970-01-01 00:00:00+02:00")), "-7200000"),
        "a leap day": Case(millisecond(day("2024-02-29")), "1709164800000"),
        "null": Case(millisecond("{{ tidemark.timestamp_literal(none) }}"), "cast(null as bigint)"),
    },
    "time_of_epoch": {
        "seconds": Case("{{ tidemark.time_of_epoch('1760529600', 1) }}", time("2025-10-15 12:00")),
        "milliseconds": Case(
            "{{ tidemark.time_of_epoch('1760529600123', 1000) }}", time("2025-10-15 12:00:00.123")
        ),
        "null": Case(
            "{{ tidemark.time_of_epoch('cast(null as bigint)', 1) }}",
            "{{ tidemark.timestamp_literal(none) }}",
        ),
    },
    "local_time_to_utc": {
        "summer in New York": Case(
            local(time("2025-07-01 20:00:00"), "America/New_York"), time("2025-07-02 00:00:00")
        ),
        "winter in Berlin": Case(
            local(time("2025-01-01 00:30:00"), "Europe/Berlin"), time("2024-12-31 23:30:00")
        ),
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
        "a date": Case(of_row("a", f"{day('2024-02-29')} as a", a="date"), "'2024-02-29'"),
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
            "(select sum(sign * {{ tidemark.row_hash(['a']) }})"
            " from (values ('x', 1), ('y', 1), ('y', -1), ('x', -1)) as rows_of_it (a, sign))",
            "0",
        ),
    },
    "text_literal": {
        "a quote": Case(literal("it's"), "'it' || chr(39) || 's'"),
        "a backslash": Case(literal("a\\nb\\"), "'a' || chr(92) || 'nb' || chr(92)"),
        "a new line": Case(literal("a\nb"), "'a' || chr(10) || 'b'"),
        "what others replace": Case(literal("$pageview %s {} :a ?"), "'$pageview %s {} :a ?'"),
        "unicode": Case(f"length({literal('Zoë ☂ 😀')})", "7"),
        "long": Case(f"length({literal('é' * 3000)})", "3000"),
        "empty": Case("{{ tidemark.text_literal('') }}", "''"),
        "a number": Case("{{ tidemark.text_literal(0) }}", "'0'"),
        "none": Case("{{ tidemark.text_literal(none) }}", "cast(null as varchar)"),
    },
    "message_literal": {
        "long": Case("length({{ tidemark.message_literal('" + "é" * 3000 + "') }})", "2000"),
        "empty is null": Case("{{ tidemark.message_literal('') }}", "cast(null as varchar)"),
        "none": Case("{{ tidemark.message_literal(none) }}", "cast(null as varchar)"),
    },
    "is_blank": {
        "empty": Case(is_blank("''"), "true"),
        **{f"U+{code:04X}": Case(is_blank(f"chr({code})"), "true") for code in WHITE_SPACE},
        "all of them": Case(is_blank(" || ".join(f"chr({code})" for code in WHITE_SPACE)), "true"),
        "a zero": Case(is_blank("'0'"), "false"),
        "a tilde": Case(is_blank("'~'"), "false"),
        "an accent": Case(is_blank("'é'"), "false"),
        "between spaces": Case(is_blank("chr(160) || 'a' || chr(8232)"), "false"),
        "of no width": Case(is_blank("chr(8203) || chr(65279)"), "false"),
        "a separator of information": Case(is_blank("chr(28)"), "false"),
        "long": Case(is_blank(f"'{'x' * 3000}'"), "false"),
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
        "a key twice": Case(is_json('{"a": 1, "b": 2, "a": 1}'), "false"),
        "a key twice, escaped": Case(is_json('{"a": 1, "\\u0061": 1}'), "false"),
        "a key twice, deeper": Case(is_json('{"a": [1, {"b": {"c": 1, "c": 1}}]}'), "false"),
        "a key in two objects": Case(is_json('{"a": [{"a": 1}, {"a": 1}], "b": {}}'), "true"),
        "a key in two cases": Case(is_json('{"a": 1, "A": 1}'), "true"),
        "a brace in text": Case(is_json('{"a": "{", "b": "}"}'), "true"),
        "what no variant holds": Case(is_json(f'{{"a": {{"b": {WHOLE}}}}}'), "true"),
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
            "cast({{ tidemark.json_object({'a': 'cast(null as varchar)'}) }} as varchar)"
            " like '%a%'",
            "true",
        ),
    },
    "json_object_of": {
        "one": Case(of_rows("a", "('a', 1)"), "'1'"),
        "a null beside it": Case(of_rows("a", "('a', 1), ('b', null)"), "'1'"),
        "no key for a null": Case(
            "(select cast({{ tidemark.json_object_of('name', 'amount') }} as varchar) like '%b%'"
            " from (values ('a', 1), ('b', null)) as rows_of_it (name, amount))",
            "false",
        ),
        "the second": Case(of_rows("é.x", "('a', 1), ('é.x', 2)"), "'2'"),
        "a wide decimal": Case(
            of_rows("a", f"('a', cast({FIFTEEN} as {PRECISE}))"), f"'{FIFTEEN}'"
        ),
    },
    "timestamp_literal": {
        "with microseconds": Case(
            "{{ tidemark.timestamp_literal('2025-10-15 12:00:00.123456') }}",
            "{{ dbt.dateadd('microsecond', 123456,"
            " tidemark.timestamp_literal('2025-10-15 12:00:00')) }}",
        ),
        "a day": Case(
            "{{ tidemark.timestamp_literal('2024-02-29') }}", time("2024-02-29 00:00:00")
        ),
        "with a zone": Case(
            "{{ tidemark.timestamp_literal('2025-10-15T01:00:00+02:00') }}",
            time("2025-10-14 23:00:00"),
        ),
        "before 1970": Case(
            "{{ tidemark.unix_second(tidemark.timestamp_literal('1969-12-31 23:59:59')) }}",
            "cast(-1 as bigint)",
        ),
    },
    "date_literal": {
        "a leap day": Case("{{ tidemark.date_literal('2024-02-29') }}", day("2024-02-29")),
        "of a time": Case("{{ tidemark.date_literal('2025-10-15T23:59:59') }}", day("2025-10-15")),
        "the last": Case("{{ tidemark.date_literal('9999-12-31') }}", day("9999-12-31")),
    },
    "zoned_midnight": {
        "is UTC's": Case(
            "{{ tidemark.to_utc(tidemark.zoned_midnight('2025-10-15')) }}", time("2025-10-15")
        ),
        "is the zone's own": Case(
            "{{ tidemark.zoned_midnight('2025-10-15') }}", zoned("2025-10-15 02:00:00+02:00")
        ),
    },
    "column_text": {
        "a date": Case(column_text(day("2024-02-29"), "date"), "'2024-02-29'"),
        "text": Case(column_text("'Zoë'", ""), "'Zoë'"),
        "a number": Case(column_text("12", ""), "'12'"),
        "null": Case(column_text("cast(null as date)", "date"), "cast(null as varchar)"),
        "a time begins with its day": Case(
            f"substr({column_text(time('2025-10-15 01:02:03'), 'timestamp_ntz')}, 1, 19)",
            "'2025-10-15 01:02:03'",
        ),
    },
    "whole_quotient": {
        "a rest": Case(whole_quotient("7", "2"), "3"),
        "just below": Case(whole_quotient("-1", "1000"), "0"),
        "negative": Case(whole_quotient("-7", "2"), "-3"),
        "nearly the next": Case(whole_quotient("8639999999", "8640000000"), "0"),
    },
    "as_whole": {
        "decimals": Case("{{ tidemark.as_whole('cast(12.345 as decimal(38, 3))', 3) }}", "12345"),
        "none": Case("{{ tidemark.as_whole('-7', 0) }}", "-7"),
    },
    "ratio": {
        "half a unit more": Case(ratio("1", "8", 2), decimal("0.13", 2)),
        "half a unit less than none": Case(ratio("-1", "8", 2), decimal("-0.13", 2)),
        "just below half": Case(
            ratio("cast(124999999 as bigint)", "cast(1000000000 as bigint)", 2), decimal("0.12", 2)
        ),
        "fifty of a hundred and one": Case(ratio("50", "101"), decimal("0.4950")),
        "a mean of seconds": Case(ratio("86832", "86400", 2), decimal("1.01", 2)),
        "a third": Case(ratio("2", "3", 6), decimal("0.666667", 6)),
        "of decimals": Case(ratio("12.345678", "3.000000", 4, 6), decimal("4.1152")),
        "below nothing": Case(ratio("5", "-10"), decimal("-0.5")),
        "more than a double holds": Case(
            ratio("cast(9007199254740992.99 as decimal(30, 2))", "1.00", 2, scale=2),
            decimal("9007199254740992.99", 2),
            # the emulator divides as double
            emulated=decimal("9007199254740994.56", 2),
        ),
        "by nothing": Case(ratio("1", "0"), decimal("null")),
        "of a null": Case(ratio("cast(null as integer)", "2"), decimal("null")),
    },
    "last_known": {
        "the last": Case(last_known("('x', 1), ('y', 2)"), "'y'"),
        "what is null is not known": Case(last_known("('x', 1), (null, 2)"), "'x'"),
        "a null order is none": Case(last_known("('x', 1), ('y', null)"), "'x'"),
        "nothing known": Case(
            last_known("(cast(null as varchar), 1), (null, 2)"), "cast(null as varchar)"
        ),
    },
    "aggregates": {
        "a count of nulls": Case(of_nulls("count(a)"), "0"),
        "a distinct count of nulls": Case(of_nulls("count(distinct a)"), "0"),
        "a sum of nulls": Case(of_nulls("sum(a)"), "cast(null as integer)"),
        "the least of nulls": Case(of_nulls("min(a)"), "cast(null as integer)"),
        "nulls beside a sum": Case(of_nulls("sum(b)"), "3"),
        "nulls beside a median": Case(of_nulls("median(b)"), "3"),
        "nulls beside a percentile": Case(
            of_nulls("percentile_cont(0.5) within group (order by b)"), "3"
        ),
        "the first value, a null": Case(
            "(select max(first_b) from (select first_value(b) over (order by c) as first_b"
            " from (values (null, 1), (3, 2)) as given (b, c)) as firsts)",
            "cast(null as integer)",
        ),
    },
    "engine_clock": {
        "is UTC, whatever the session's zone": Case(
            "abs({{ dbt.datediff(tidemark.engine_clock(),"
            " tidemark.timestamp_literal(tidemark.wall_clock()), 'second') }}) < 60",
            "true",
        ),
    },
    "days_after": {
        "a month's end": Case(
            '{{ tidemark.days_after("' + day("2024-01-31") + '", 1) }}', day("2024-02-01")
        ),
        "a leap day": Case(
            '{{ tidemark.days_after("' + day("2024-03-01") + '", -1) }}', day("2024-02-29")
        ),
        "no leap day": Case(
            '{{ tidemark.days_after("' + day("2100-03-01") + '", -1) }}', day("2100-02-28")
        ),
        "an expression": Case(
            '{{ tidemark.days_after("' + day("2025-12-30") + '", "1 + 1") }}', day("2026-01-01")
        ),
        "null": Case('{{ tidemark.days_after("cast(null as date)", 1) }}', "cast(null as date)"),
    },
    "unix_second": {
        "fractions are cut off": Case(
            "{{ tidemark.unix_second(tidemark.timestamp_literal('2025-10-15 12:00:00.999')) }}",
            "1760529600",
        ),
        "null": Case(
            "{{ tidemark.unix_second(tidemark.timestamp_literal(none)) }}", "cast(null as bigint)"
        ),
    },
}

# What is no expression, and the text that each engine gets.
TEXTS = {
    "in_one_transaction": {
        "macro": "tidemark.in_one_transaction(['delete from a', 'insert into a select 1'])",
        "duckdb": "delete from a; insert into a select 1",
        "snowflake": "begin; delete from a; insert into a select 1; commit;",
    },
    "in_one_transaction, alone": {
        "macro": "tidemark.in_one_transaction(['delete from a'])",
        "duckdb": "delete from a",
        "snowflake": "delete from a",
    },
    "timestamp_type": {
        "macro": "tidemark.timestamp_type()",
        "duckdb": "timestamp",
        "snowflake": "timestamp_ntz",
    },
    # A year has four digits, whatever the machine's `strftime` makes of the first.
    "timestamp_literal, the first": {
        "macro": "tidemark.timestamp_literal('0001-01-01')",
        "duckdb": "cast('0001-01-01 00:00:00' as timestamp)",
        "snowflake": "to_timestamp_ntz('0001-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.FF6')",
    },
    "day_of": {
        "macro": "tidemark.day_of('calendar', 'span.first_day')",
        "duckdb": "cast(calendar.value as date)",
        "snowflake": "cast( dateadd( day, cast(calendar.value as integer), span.first_day )"
        " as date)",
    },
    # Temporary tables lie outside any schema on DuckDB, in the session's own elsewhere.
    "touched_table": {
        "macro": "tidemark.touched_table('found')",
        "duckdb": '"inline_query__found"',
        "snowflake": "TIDEMARK.marts.inline_query__found",
    },
}

# How landed files are read: tried by the tests of loading, and on the emulator by its first one.
PATHS = [f"crm_daily/2025-10-{day}/202510{day}T010000000000Z-crm.parquet" for day in (15, 16)]
FILES = f"'s3://bucket', {PATHS}"
LANDED = {
    "landed_columns": f"tidemark.landed_columns({FILES})",
    "landed_rows": f"tidemark.landed_rows({FILES}, 'loaded_at')",
    "copy_files": f"tidemark.copy_files({FILES}, 'TIDEMARK.raw.crm_daily')",
    "copy_history": "'select 1 as one from '"
    " ~ tidemark.copy_history(tidemark.ops_table('landed_files'))",
}

# What does things, and the test that lets it, on both engines.
SCENARIOS = {
    # every build makes fingerprints
    "literal_pattern": "test_end_to_end.py::test_a_first_build",
    "stored_bytes": "test_operations.py::test_the_plan_knows_how_large_tables_are",
    "landing_ddl": "test_dialect.py::test_the_landing_can_be_made_twice",
    "stored_columns": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "take_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    "renew_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    "release_run_lock": "test_end_to_end.py::test_one_run_at_a_time",
    "control_transaction": "test_operations.py"
    "::test_a_load_that_dies_after_the_copy_is_repeated_whole",
    # a model's session, and its tables
    "open_session": "test_end_to_end.py::test_sessions_are_tagged_with_project_model_and_run",
    "count_new_rows": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "drop_relation_if_exists": "test_end_to_end.py::test_the_command_line_an_hour_later",
    "forget_before_rebuild": "test_end_to_end.py"
    "::test_a_rebuild_that_dies_before_the_ledger_knows_is_taken_up",
    "create_audited": "test_audit.py::test_a_wrong_build_is_refused_and_nobody_sees_it",
    "audit_rebuilt": "test_audit.py::test_a_wrong_build_is_refused_and_nobody_sees_it",
    "leave_what_was_written": "test_audit.py::test_of_a_wrong_first_build_nothing_is_there",
}


def dispatched_macros() -> set[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(DIALECT.glob("*.sql")))
    return set(re.findall(r"adapter\.dispatch\('(\w+)', 'tidemark'\)", text))


def test_every_dispatched_macro_is_tried() -> None:
    assert dispatched_macros() <= {*CASES, *TEXTS, *LANDED, *SCENARIOS}
    # what the table tells of besides is not dispatched by us, but by dbt
    plain = {"unix_second", "ratio", "last_known", "aggregates", "message_literal"}
    assert set(CASES) - dispatched_macros() == plain
    for scenario in SCENARIOS.values():
        name, _, test = scenario.partition("::")
        assert f"def {test}(" in (Path(__file__).parent / name).read_text(encoding="utf-8")


# dbt's own macro, which dispatches however we override it.
OF_DBT = "adapter.dispatch('create_table_as', 'dbt')"
# YAML is read before there are macros: types of columns.
OF_YAML = [
    f"{{{{ '{snowflake}' if target.type == 'snowflake' else '{duckdb}' }}}}"
    for snowflake, duckdb in {
        "object": "json",
        "timestamp_ntz": "timestamp",
        "timestamp_tz": "timestamp with time zone",
    }.items()
]


def test_engines_differ_in_one_folder() -> None:
    """Who asks for the engine elsewhere, or writes a body for one, is told where that belongs."""
    strays = []
    folders = ("packages/tidemark", "macros", "models", "snapshots", "tests", "analyses", "seeds")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*")]
    for path in [*files, *PROJECT.glob("*.yml")]:
        if path.suffix in (".sql", ".yml") and path.parent != DIALECT:
            text = path.read_text(encoding="utf-8")
            for known in (OF_DBT, *OF_YAML):
                text = text.replace(known, "")
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


# Every pair of whole numbers up to this; whoever divides first and rounds then is wrong in some.
UP_TO = 700
RATIOS = f"""
with digits as (
    select digit from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as given (digit)
),

numbers as (
    select ones.digit + 10 * tens.digit + 100 * hundreds.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    where ones.digit + 10 * tens.digit + 100 * hundreds.digit between 1 and {UP_TO}
),

ratios as (
    select
        parts.number as part,
        wholes.number as whole,
        {{{{ tidemark.ratio('parts.number', 'wholes.number', 4) }}}} as upward,
        {{{{ tidemark.ratio('-parts.number', 'wholes.number', 4) }}}} as downward
    from numbers as parts
    cross join numbers as wholes
)

select
    count(*) as pairs,
    count(case when upward = -downward then 1 end) as mirrored,
    cast(sum(upward * 10000 * (part + {UP_TO + 1} * whole)) as decimal(38, 0)) as checked
from ratios
"""


@pytest.mark.parametrize("name", ["duckdb", "snowflake"])
def test_ratios_of_all_pairs_are_rounded_once(engines: dict[str, Engine], name: str) -> None:
    numbers = range(1, UP_TO + 1)
    expected = sum(
        (20000 * part + whole) // (2 * whole) * (part + (UP_TO + 1) * whole)
        for part in numbers
        for whole in numbers
    )
    (row,) = engines[name].show(RATIOS)
    assert [int(figure) for figure in row] == [UP_TO**2, UP_TO**2, expected]


@pytest.mark.parametrize("name", ["duckdb", "snowflake"])
def test_what_is_no_expression(engines: dict[str, Engine], name: str) -> None:
    texts = [
        f"{{{{ tidemark.text_literal({text['macro']} | string) }}}}" for text in TEXTS.values()
    ]
    ((*answers,),) = engines[name].show("select " + ", ".join(texts))
    assert [" ".join(answer.split()) for answer in answers] == [
        text[name] for text in TEXTS.values()
    ]


def test_landed_files_are_read_in_snowflakes_words(engines: dict[str, Engine]) -> None:
    texts = [f"{{{{ tidemark.text_literal({call} | string) }}}}" for call in LANDED.values()]
    (answers,) = engines["snowflake"].show("select " + ", ".join(texts))
    assert gates.violations(answers) == {}


def test_what_a_load_writes_down_is_the_same(engines: dict[str, Engine]) -> None:
    report = "jobs/20251015T120000000000Z-usage.json"
    job = {"job_name": "ingest usage", "status": "failed", "error_message": "it's away"}
    job |= {"completed_at": "2025-10-15T12:00:00", "records_processed": 3, "figures": {"lag": 4}}
    lost = {"path": "crm_daily/2025-10-15/20251015T010000000000Z-a.parquet", "error_message": "cut"}
    asked = {"root": "s3://bucket", "reports": json.dumps([report])}
    for engine in engines.values():
        landing = engine.dbt.operate("load_landing", asked)
        assert landing.event("landing")["new_reports"] == [report]
        ended = {"jobs": [{**job, "path": report}], "failed_files": [lost]}
        engine.dbt.operate("close_load", ended)
        again = engine.dbt.operate("load_landing", asked)
        assert again.event("landing")["new_reports"] == []
        engine.dbt.operate("release_run_lock")
        told = engine.show(
            "select job_type, status, error_message, records_processed, metadata_json"
            " from {{ tidemark.ops_table('etl_job_runs') }} where job_name = 'ingest usage'"
        )
        assert [(*map(str, row),) for row in told] == [
            ("ingest", "failed", "it's away", "3", '{"lag": 4}')
        ]
        files = engine.show(
            "select table_name, status from {{ tidemark.ops_table('landed_files') }} order by 1"
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
    variables = {"landing": {**landing, "pipes": True}, "warehouses": {"web": "TRANSFORMING_L"}}
    outcome = snowflake.dbt.call("run-operation", "create_landing", variables=variables)
    outcome.raise_if_failed()
    sent = [statement.sql for statement in snowflake.emulator.since(mark)]
    assert gates.violations(sent) == {}
    # Snowflake puts nothing between the address and the name of a file
    addresses = [sql for sql in sent if "url = " in sql]
    assert all("url = 's3://bucket/prefix/'" in sql for sql in addresses)
    assert len(addresses) == (url is not None)
    # what folders of marts are built with must be there for whoever builds them
    assert "grant usage on warehouse TRANSFORMING_L to role tide_mark" in sent
    assert [sql for sql in sent if sql.startswith("create warehouse if not exists TRANSFORMING_L")]
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
