"""What parses, and means something else on Snowflake than on DuckDB, or with other settings.

Each kind names the pages of Snowflake's documentation that it was written after. They say what the
emulator cannot show: it is DuckDB, and its session has one setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sqlglot import exp

Finder = Callable[[exp.Expr], Iterator[exp.Expr]]


class Kind(NamedTuple):
    """What is wrong, where the documentation says so, and what finds it in a statement."""

    words: str
    pages: tuple[str, ...]
    finds: Finder


_TIMES = (
    exp.DType.DATE,
    exp.DType.TIME,
    exp.DType.TIMESTAMP,
    exp.DType.TIMESTAMPNTZ,
    exp.DType.TIMESTAMPTZ,
    exp.DType.TIMESTAMPLTZ,
)
_WEEKS = re.compile(r"(iso)?_?(week|dayofweek|weekday|dow|dw|weekofyear|yearofweek)\w*", re.I)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?")
# How columns with times are called.
_TIME_NAME = re.compile(
    r"(.*_)?(at|date|day|timestamp|hour|bucket|start|end|since|as_of|until|from)", re.I
)
_CLOCKS = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Localtimestamp)


def _correlated_table_functions(tree: exp.Expr) -> Iterator[exp.Expr]:
    """A table function that is given columns of a query around the one that calls it."""
    for call in tree.find_all(exp.Explode, exp.TableFromRows, exp.Generator):
        query = call.find_ancestor(exp.Select)
        known = _tables_of(query) if query else set()
        if any(column.table.lower() not in known for column in call.find_all(exp.Column)):
            yield call


def _tables_of(query: exp.Select) -> set[str]:
    froms = [query.args["from_"].this] if query.args.get("from_") else []
    joined = [join.this for join in query.args.get("joins") or []]
    return {table.alias_or_name.lower() for table in [*froms, *joined]}


def _correlated_subqueries(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Subqueries that read the row around them, unless a `where` asks for them without an `or`.

    One that gives a value must give a single one by its form: an aggregate without groups.
    """
    for query in tree.find_all(exp.Subquery, exp.Exists):
        if isinstance(query.parent, _READS_TABLES) or not _is_correlated(query):
            continue
        around = query.parent
        while around and not isinstance(around, exp.Where | exp.Or | exp.Query | exp.DML):
            around = around.parent
        is_value = isinstance(query, exp.Subquery) and not isinstance(query.parent, exp.In)
        if not isinstance(around, exp.Where) or (is_value and not _is_one_row(query.unnest())):
            yield query


def _memberships_elsewhere(tree: exp.Expr) -> Iterator[exp.Expr]:
    """`in (select ...)` that is no condition of its own of a `where`."""
    for asked in tree.find_all(exp.In):
        if not asked.args.get("query"):
            continue
        around = asked.parent
        while isinstance(around, exp.And | exp.Not | exp.Paren):
            around = around.parent
        if not isinstance(around, exp.Where):
            yield asked


# Where a subquery stands for a table.
_READS_TABLES = (exp.From, exp.Join, exp.Lateral, exp.CTE, exp.Query, exp.Create, exp.Merge)


def _is_one_row(query: exp.Expr) -> bool:
    is_grouped = not isinstance(query, exp.Select) or bool(query.args.get("group"))
    return not is_grouped and any(column.find(exp.AggFunc) for column in query.expressions)


def _is_correlated(query: exp.Expr) -> bool:
    """Whether it names a table that it does not read."""
    read = query.find_all(exp.Table, exp.Subquery, exp.CTE, exp.Lateral, exp.TableFromRows)
    known = {table.alias_or_name.lower() for table in read}
    return any(c.table and c.table.lower() not in known for c in query.find_all(exp.Column))


def _timestamps_without_variant(tree: exp.Expr) -> Iterator[exp.Expr]:
    for kind in tree.find_all(exp.DataType):
        if kind.this in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPLTZ):
            yield kind.parent or kind


def _texts_as_times(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Text that is read as a time in whatever format the session has."""
    for literal in tree.find_all(exp.Literal):
        if not literal.is_string or not _MOMENT.fullmatch(literal.name):
            continue
        call = literal.parent
        if isinstance(call, exp.Expression) and call.args.get("format"):
            continue
        yield call or literal
    for cast in tree.find_all(exp.Cast):
        text = isinstance(cast.this, exp.Literal) and cast.this.is_string
        if text and cast.to.this in _TIMES and not _MOMENT.fullmatch(cast.this.name):
            yield cast


def _times_as_text(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Times that become text in whatever format the session has."""
    for call in tree.find_all(exp.ToChar):
        if not call.args.get("format"):
            yield call
    for cast in tree.find_all(exp.Cast):
        into_text = cast.to.this in (exp.DType.VARCHAR, exp.DType.TEXT)
        is_time = isinstance(cast.this, exp.Column) and _TIME_NAME.fullmatch(cast.this.name)
        # dbt's snapshots hash them: an id, which is compared with nothing that is made anew
        if into_text and is_time and not cast.find_ancestor(exp.MD5):
            yield cast


def _weeks(tree: exp.Expr) -> Iterator[exp.Expr]:
    for node in tree.walk():
        unit = node.args.get("unit") if isinstance(node, exp.Func) else None
        part = node.this if isinstance(node, exp.Extract) else unit
        named = isinstance(part, exp.Expr) and _WEEKS.fullmatch(part.name)
        # adding a week is adding seven days
        is_part = named and not isinstance(node, exp.DateAdd)
        if is_part or isinstance(node, exp.Week | exp.WeekOfYear | exp.DayOfWeek):
            yield node


def _clocks(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The session's time, unless it is told of which zone."""
    for clock in tree.find_all(*_CLOCKS):
        # `sysdate` is UTC's
        is_utc = clock.meta.get("called", "").lower() == "sysdate"
        if not is_utc and not isinstance(clock.parent, exp.ConvertTimezone):
            yield clock


def _quoted_names(tree: exp.Expr) -> Iterator[exp.Expr]:
    for name in tree.find_all(exp.Identifier):
        # dbt's own, of snapshots: made, read and dropped in quotes within one session
        is_dbts = name.name.endswith("__dbt_tmp")
        if name.quoted and not is_dbts and name.name != name.name.upper():
            yield name


def _divisions(tree: exp.Expr) -> Iterator[exp.Expr]:
    """All but those that leave no rest: (a - a % b) / b."""
    for division in tree.find_all(exp.Div):
        dividend, divisor = division.this.unnest(), division.expression.unnest()
        rest = dividend.expression.unnest() if isinstance(dividend, exp.Sub) else None
        is_whole = (
            isinstance(rest, exp.Mod)
            and rest.this.unnest() == dividend.this.unnest()
            and rest.expression.unnest() == divisor
        )
        if not is_whole:
            yield division


def _nulls_of_the_last(tree: exp.Expr) -> Iterator[exp.Expr]:
    """`max_by` and `min_by` whose order does not leave out the rows without a value."""
    for call in tree.find_all(exp.ArgMax, exp.ArgMin):
        order = call.expression
        first = order.args["ifs"][0].this if isinstance(order, exp.Case) else None
        if first != exp.Not(this=exp.Is(this=call.this.copy(), expression=exp.Null())):
            yield call


def _names_twice(tree: exp.Expr) -> Iterator[exp.Expr]:
    """A name without a table that may be a column of what is read, or what another column made."""
    for query in tree.find_all(exp.Select):
        made: dict[str, exp.Expr] = {}
        for column in query.expressions:
            passed_on = isinstance(column.unalias(), exp.Column) and column.unalias().name
            if isinstance(column, exp.Alias) and str(passed_on).lower() != column.alias.lower():
                made[column.alias.lower()] = column
        for name in _names_of(query) if made else ():
            column = made.get(name.name.lower())
            if column is not None and name.find_ancestor(exp.Alias) is not column:
                yield name.parent or name


def _names_of(query: exp.Select) -> Iterator[exp.Column]:
    """Columns without a table that a query names itself; an order at its end is of what it made."""
    waiting: list[exp.Expr] = [
        node for node in query.iter_expressions() if not isinstance(node, exp.Order)
    ]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Column) and not node.table:
            yield node
        if not isinstance(node, exp.Query | exp.With):
            waiting += node.iter_expressions()


KINDS = (
    Kind(
        "a table function that is given columns from around its query",
        ("user-guide/querying-subqueries", "sql-reference/constructs/join-lateral"),
        _correlated_table_functions,
    ),
    Kind(
        "a subquery that reads the row around it, where none is promised",
        ("user-guide/querying-subqueries", "sql-reference/operators-subquery"),
        _correlated_subqueries,
    ),
    Kind(
        "a membership in a query beside an or, or outside a where",
        ("sql-reference/operators-subquery",),
        _memberships_elsewhere,
    ),
    Kind(
        "a timestamp that means what the account says",
        ("sql-reference/data-types-datetime", "sql-reference/parameters"),
        _timestamps_without_variant,
    ),
    Kind(
        "text that is read as a time in the session's format",
        ("sql-reference/date-time-input-output", "sql-reference/functions/to_date"),
        _texts_as_times,
    ),
    Kind(
        "a time that is written in the session's format",
        ("sql-reference/date-time-input-output", "sql-reference/functions/to_char"),
        _times_as_text,
    ),
    Kind(
        "a week that begins with the day that the session says",
        ("sql-reference/functions-date-time", "sql-reference/parameters"),
        _weeks,
    ),
    Kind(
        "the time of the session's zone",
        ("sql-reference/functions/current_timestamp", "sql-reference/parameters"),
        _clocks,
    ),
    Kind(
        "a quoted name that a session may take for an upper-case one",
        ("sql-reference/identifiers-syntax",),
        _quoted_names,
    ),
    Kind(
        "a division with as many decimals as the engine likes",
        ("sql-reference/operators-arithmetic",),
        _divisions,
    ),
    Kind(
        "a last value that may be a null",
        ("sql-reference/functions/max_by", "sql-reference/functions/min_by"),
        _nulls_of_the_last,
    ),
    Kind(
        "a name that is a column's and an alias",
        ("sql-reference/sql/select", "sql-reference/constructs/group-by"),
        _names_twice,
    ),
)
