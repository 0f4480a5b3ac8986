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
    where
        loaded_at >= to_timestamp_ntz('2025-10-15 11:30:00.000000', 'YYYY-MM-DD HH24:MI:SS.FF6')
        and occurred_at
            >= to_timestamp_tz('2025-10-14 00:00:00 +00:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')
    qualify row_number() over (partition by event_id order by loaded_at desc nulls last) = 1
)

select
    team_id,
    cast(occurred_at as date) as day,
    count(distinct person_id) as persons,
    sum(case when is_view then 1 else 0 end) as views,
    max_by(host, case when host is not null then occurred_at end) as last_host,
    (2 * sum(clicks) - 2 * sum(clicks) % 3) / 3 as third,
    to_varchar(max(occurred_at), 'YYYY-MM-DD') as last_day,
    percentile_cont(0.5) within group (order by clicks) as half,
    cast(get(try_parse_json(data), 'score') as varchar) as score,
    dateadd('day', -1, to_date('2025-10-15', 'YYYY-MM-DD')) as eve
from events
cross join lateral flatten(
    input => array_generate_range(0, datediff(day, events.first_day, events.last_day) + 1)
) as calendar
where
    (team_id, cast(occurred_at as date)) in (select team_id, touched_day from daily__touched)
    and exists (select 1 from daily__touched as touched where touched.team_id = events.team_id)
group by team_id, cast(occurred_at as date)
order by views desc
"""

PLANTED = {
    # what is not in the grammar
    "a keyword for a name": (gates.grammar, "select rows.a from t as rows"),
    "a lambda of DuckDB's": (gates.vocabulary, "select list_filter(a, lambda x: x > 1) from t"),
    "a bare zoned type": (gates.grammar, "select cast(a as timestamptz) as b from t"),
    "a named window": (gates.vocabulary, "select sum(a) over w from t window w as (order by b)"),
    "a pragma": (gates.grammar, "pragma table_info('t')"),
    # what parses, and cannot be resolved
    "a table that is not there": (gates.grammar, "select gone.a from t natural join u"),
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
    # what means something else there, or depends on settings
    "a correlated flatten": (
        gates.documented,
        "select b.value as c from t cross join lateral"
        " (select value from table(flatten(input => array_generate_range(0, t.a)))) as b",
    ),
    "a correlated table function": (
        gates.documented,
        "select a, (select max(b.value) from table(split_to_table(t.a, ',')) as b) as c from t",
    ),
    "a flatten of who knows whose column": (
        gates.documented,
        "select b.value as c from t cross join lateral flatten(input => a) as b",
    ),
    "a correlated value": (
        gates.documented,
        "select a, (select max(u.b) from u where u.a = t.a) as b from t",
    ),
    "a correlated value of many rows": (
        gates.documented,
        "select a from t where b = (select u.b from u where u.a = t.a)",
    ),
    "a correlated condition beside an or": (
        gates.documented,
        "select a from t where b > 1 or exists (select 1 from u where u.a = t.a)",
    ),
    "a membership beside an or": (
        gates.documented,
        "select a from t where b > 1 or (a, b) in (select a, b from u)",
    ),
    "a membership in a case": (
        gates.documented,
        "select case when a in (select a from u) then 1 end as b from t",
    ),
    "a correlated condition of a join": (
        gates.documented,
        "select t.a from t inner join u on t.b in (select v.b from v where v.a = u.a)",
    ),
    "a bare timestamp": (gates.documented, "select cast(a as timestamp) as b from t"),
    "a bare timestamp's column": (gates.documented, "create table t (a timestamp)"),
    "a local timestamp": (gates.documented, "select a::timestamp_ltz as b from t"),
    "a cast of a date's text": (gates.documented, "select cast('2025-10-15' as date) as a"),
    "a typed literal": (gates.documented, "select date '2025-10-17' as a"),
    "a date compared with text": (gates.documented, "select a from t where a >= '2025-10-15'"),
    "a time within text": (
        gates.documented,
        "select a from t where a between '2025-10-15 00:00:00+00:00' and b",
    ),
    "a date without its format": (gates.documented, "select to_date('2025-10-16') as a"),
    "text of a time": (gates.documented, "select cast(t.loaded_at as varchar) as b from t"),
    "text without its format": (gates.documented, "select to_varchar(a) as b from t"),
    "a week": (gates.documented, "select date_trunc('week', a) as b from t"),
    "weeks between": (gates.documented, "select datediff(week, a, b) as c from t"),
    "the day of a week": (gates.documented, "select date_part(dayofweek, a) as b from t"),
    "a session's clock": (gates.documented, "select current_timestamp() as a"),
    "a lower-case name in quotes": (gates.documented, 'select "a" as b from t'),
    "a division": (gates.documented, "select a / b as c from t"),
    "a division that leaves a rest": (gates.documented, "select (a - a % 3) / 2 as c from t"),
    "a last value": (gates.documented, "select max_by(c, d) as e from t"),
    "a first value of others": (
        gates.documented,
        "select min_by(a, case when c is not null then b end) as c from t",
    ),
    "a mean": (gates.vocabulary, "select avg(a) as b from t"),
    "an alias that is a column": (
        gates.documented,
        "select sum(a) as a, sum(a - b) as c from t",
    ),
    "a group that is a column": (
        gates.documented,
        "select cast(a as date) as a, count(*) as b from t group by a",
    ),
    "a condition on a column": (
        gates.documented,
        "select coalesce(a, 0) as a from t where a > 1",
    ),
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
    assert len(statements) == 6
    assert gates.violations(statements) == {}


def test_the_sample_leaves_out_what_differs_in_names_and_values_alone() -> None:
    alike = [f"select a_{n} from t where b = {n} and c = '{n}'" for n in range(9)]
    other = "select a from t where b in (1, 2) order by c"
    assert len(gates.sample(alike)) == 1
    assert set(gates.sample([*alike, other])) >= {other}
