"""The static gates on SQL for Snowflake catch what they are for: each kind is planted once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sqlglot", reason="it comes with fakesnow, which needs Python 3.11")

from . import gates

pytestmark = pytest.mark.snowflake

SOUND = """
create or replace temporary table tidemark.marts.daily__touched as
with events as (
    select * from tidemark.staging.stg_events
    where loaded_at >= cast('2025-10-15 11:30:00' as timestamp) and (
        (occurred_at >= '2025-10-14 00:00:00+00:00' and occurred_at < '2025-10-16 00:00:00+00:00')
    )
    qualify row_number() over (partition by event_id order by loaded_at desc nulls last) = 1
)

select
    team_id,
    cast(occurred_at as date) as day,
    count(distinct person_id) as persons,
    sum(case when is_view then 1 else 0 end) as views,
    max_by(host, occurred_at) as last_host,
    percentile_cont(0.5) within group (order by views) as half,
    cast(get(try_parse_json(data), 'score') as varchar) as score,
    dateadd('day', -1, cast('2025-10-15' as date)) as eve
from events
where (team_id, day) in (select team_id, touched_day from daily__touched)
group by team_id, day
"""

PLANTED = {
    # what is not in the grammar
    "a keyword for a name": (gates.grammar, "select rows.a from t as rows"),
    "a lambda of DuckDB's": (gates.vocabulary, "select list_filter(a, lambda x: x > 1) from t"),
    "a bare zoned type": (gates.grammar, "select cast(a as timestamptz) as b from t"),
    "a named window": (gates.vocabulary, "select sum(a) over w from t window w as (order by b)"),
    "a pragma": (gates.grammar, "pragma table_info('t')"),
    # what parses, and cannot be resolved
    "a table that is not there": (gates.grammar, "select gone.a from t"),
    "two columns of one name": (gates.grammar, "select a as b, c as b from t"),
    "sets of two widths": (gates.grammar, "select a, b from t union all select a from t"),
    "a query that nobody reads": (gates.grammar, "with a as (select 1 as b) select c from t"),
    # functions, types and statements of others
    "strftime": (gates.vocabulary, "select strftime(a, '%Y') from t"),
    "string_agg": (gates.vocabulary, "select string_agg(a, ',') from t"),
    "generate_series": (gates.vocabulary, "select * from generate_series(1, 2)"),
    "unnest": (gates.vocabulary, "select unnest(a) from t"),
    "arg_max": (gates.vocabulary, "select arg_max(a, b) from t"),
    "epoch_ms": (gates.vocabulary, "select epoch_ms(a) from t"),
    "make_timestamp": (gates.vocabulary, "select make_timestamp(a) from t"),
    "json_extract_string": (gates.vocabulary, "select json_extract_string(a, '$.b') from t"),
    "list": (gates.vocabulary, "select list(a) from t"),
    "now": (gates.vocabulary, "select now()"),
    "in a function that is known": (
        gates.vocabulary,
        "select coalesce(max(list_sort(a)), 1) from t",
    ),
    "hugeint": (gates.vocabulary, "select cast(a as hugeint) from t"),
    "json as a type": (gates.vocabulary, "select a::json from t"),
    "a list as a type": (gates.vocabulary, "create table t (a varchar[])"),
    "attach": (gates.vocabulary, "attach 'file.duckdb' as other"),
    # what is committed statement by statement
    "two changes at once": (gates.scripts, "insert into t select 1; update u set a = 2"),
    "half a transaction": (gates.scripts, "begin; delete from t; insert into t select 1"),
    "a transaction that is cut": (
        gates.scripts,
        "begin; delete from t; create table u (a integer); insert into t select 1; commit",
    ),
    # habits
    "a filter": (gates.habits, "select count(*) filter (where a) from t"),
    "a sum of comparisons": (gates.habits, "select sum(a > 1) from t"),
    "a sum of a boolean": (gates.habits, "select sum(is_deleted) from t"),
    "the greatest boolean": (gates.habits, "select max(a is null and b) from t"),
    "an interval without quotes": (gates.habits, "select a + interval 1 day from t"),
    "an arrow": (gates.habits, "select a->'b' from t"),
    "a long arrow": (gates.habits, "select a->>'b' from t"),
    "at time zone": (gates.habits, "select a at time zone 'UTC' from t"),
    "distinct on": (gates.habits, "select distinct on (a) a, b from t"),
    "a semi join": (gates.habits, "select a from t semi join u on t.a = u.a"),
    "an order within an aggregate": (gates.habits, "select array_agg(a order by b) from t"),
    "a count of nothing": (gates.habits, "select count() from t"),
    "from first": (gates.habits, "from t select a"),
    "an insert by name": (gates.habits, "insert into t by name select 1 as a"),
    "a double equals sign": (gates.habits, "select a from t where b == 1"),
    "a division by two slashes": (gates.habits, "select a // 2 from t"),
    "try_cast of a number": (gates.habits, "select try_cast(1.5 as integer)"),
    "a pattern of Postgres'": (gates.habits, "select a from t where a similar to 'b'"),
}


def test_sound_sql_passes() -> None:
    assert gates.violations([SOUND]) == {}


def test_sound_scripts_pass() -> None:
    together = "begin;\n delete from t where a = ';';\n insert into t select 1;\n commit;"
    apart = ["insert into t select 'a; delete'", "create table t (a date); create table u (a date)"]
    assert [gates.scripts(sql) for sql in (together, *apart)] == [[], [], []]


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_violation_is_caught(kind: str) -> None:
    gate, sql = PLANTED[kind]
    assert gate(sql), f"{gate.__name__} lets it through"


def test_it_is_caught_among_others() -> None:
    planted = [sql for gate, sql in PLANTED.values() if gate is not gates.scripts]
    found = gates.violations([SOUND, *planted])
    assert set(found.values()) == set(planted)


def test_sql_in_the_docs_is_snowflakes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "snowflake.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n((?:create|copy) .*?)```", page, re.DOTALL)
    statements = [sql for block in blocks for sql in block.split(";") if sql.strip()]
    assert len(statements) == 7
    assert gates.violations(statements) == {}


def test_the_sample_leaves_out_what_differs_in_names_and_values_alone() -> None:
    alike = [f"select a_{n} from t where b = {n} and c = '{n}'" for n in range(9)]
    other = "select a from t where b in (1, 2) order by c"
    assert len(gates.sample(alike)) == 1
    assert set(gates.sample([*alike, other])) >= {other}
