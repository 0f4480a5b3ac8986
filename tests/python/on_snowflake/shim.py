"""Snowflake's connector answered by DuckDB: fakesnow, and what dbt-snowflake needs beyond it.

dbt, its adapter, our macros and materializations run as they are; what they send is recorded before
anything is rewritten. What the emulator cannot show, and no test that runs on it has tested:

    HIDDEN      says so, one line each.

It accepts functions that Snowflake lacks: the static gates on what was recorded find those.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from inspect import getsource
from types import CodeType
from typing import Any
from unittest import mock

import duckdb

from .stage import LoadHistory, read_files

HIDDEN: Mapping[str, str] = {
    "temporary tables": "they are plain tables, dropped when their session ends: other sessions "
    "see them, and nothing takes them back when a session dies",
    "query tags": "the statement that sets one is recorded, and does nothing",
    "warehouses": "the statement that makes or changes one is recorded, and does nothing",
    "roles and grants": "they are recorded, and do nothing: every role may do everything",
    "pipes": "the statement that makes one is recorded, and does nothing; a test runs what stands "
    "in one, and what COPY_HISTORY says was written by hand",
    "comments": "they are recorded, and do nothing",
    "clustering": "it is recorded, and does nothing",
    "constraints": "a contract's not null is recorded, and holds nothing back",
    "transience": "every table is as durable as any other",
    "clones": "they are copies of the rows",
    "the catalog": "its information schema has no views: `dbt docs` knows no columns of theirs",
    "session variables": "a $name in a literal is text here; Snowflake replaces it nowhere else",
    "authentication": "any user gets in with anything",
}

# All that the target `snowflake` of profiles.yml needs.
DATABASE = "TIDEMARK"
ENVIRONMENT = {
    "SNOWFLAKE_ACCOUNT": "emulated",
    "SNOWFLAKE_USER": "tidemark",
    "SNOWFLAKE_PASSWORD": "let me in",
    "SNOWFLAKE_DATABASE": DATABASE,
}

# What a failed statement leaves behind on Snowflake: the transaction stays open, and the next
# statement that creates something commits the half of it. Here it is rolled back, and a session
# that goes on regardless is stopped.
_GOES_ON = (
    "A session went on after an error inside its transaction. Snowflake would commit what was done "
    "before the error with the next statement that creates anything. The session must be closed."
)

# dbt says at the end of every statement what it is for.
_QUERY_COMMENT = re.compile(r"\s*/\* (?P<comment>\{[^{}]*\}) \*/;?")
_TEMPORARY = re.compile(r"^create or replace temporary (table|view)\s+(\S+)", re.IGNORECASE)
_TRANSIENT = re.compile(r"^create or replace transient table", re.IGNORECASE)
_MADE_OF_ROWS = re.compile(r"^create or replace table\s+(\S+).*\bselect\b", re.I | re.DOTALL)
_CLONES = re.compile(
    r"^create or replace (?:transient )?table (\S+) clone (\S+?)( copy grants)?;?$", re.IGNORECASE
)
_DROPS_DATABASE = re.compile(r"^drop database if exists (\w+)$", re.IGNORECASE)
_DONE = "select 'Statement executed successfully.' as status"
_DOES_NOTHING = re.compile(
    r"^(alter session (set|unset) query_tag|use warehouse|use role|grant|revoke|comment on"
    r"|create (warehouse|role|pipe) if not exists"
    r"|alter (table|view) \S+ (alter|cluster by|resume recluster|set comment))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Statement:
    """One statement as dbt-snowflake sent it, without dbt's comment; `node` is what it was for."""

    sql: str
    node: str
    session: int


class Emulator:
    """One emulated account; every database in it lives in memory."""

    def __init__(self) -> None:
        from fakesnow.instance import FakeSnow

        self.account = FakeSnow()
        self.statements: list[Statement] = []
        # what dbt was told to send at once, and split at its semicolons
        self.scripts: list[str] = []
        self.load_history = LoadHistory()
        # what the last session was opened with
        self.parameters: dict[str, Any] = {}
        # statements that it matches fail, as if the network had
        self.fails_on: re.Pattern[str] | None = None
        # what somebody else does in the moment after a statement that it matches
        self.afterwards: tuple[re.Pattern[str], str] | None = None
        # fakesnow creates what is missing when it connects, and looks first
        self._connecting = threading.Lock()
        self._sessions = 0

    def connect(self, **parameters: Any) -> Any:
        """What takes the place of `snowflake.connector.connect`."""
        self.parameters = parameters
        with self._connecting:
            connection = self.account.connect(**parameters)
            self._sessions += 1
            connection.tidemark_session = self._sessions
        connection.tidemark = self
        connection.tidemark_temporary = []
        connection.tidemark_in_transaction = False
        connection.tidemark_failed = False
        return connection

    def underneath(self, database: str = DATABASE) -> duckdb.DuckDBPyConnection:
        """DuckDB as it holds one of the databases; what is asked here is not recorded."""
        self.connect(database=database, schema="MARTS").close()
        connection = self.account.duck_conn.cursor()
        connection.execute(f"use {database}")
        return connection

    def since(self, mark: int) -> list[Statement]:
        """What was sent after `len(statements)` was this."""
        return self.statements[mark:]


@contextmanager
def emulated_snowflake() -> Iterator[Emulator]:
    """Let everything in this process that connects to Snowflake talk to the emulator."""
    from dbt.adapters.snowflake.connections import SnowflakeConnectionManager
    from fakesnow import transforms
    from fakesnow.conn import FakeSnowflakeConnection
    from fakesnow.cursor import FakeSnowflakeCursor
    from sqlglot import Expr

    # it says of every SHOW that it does not know it; what it cannot read is an error anyway
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    emulator = Emulator()
    execute, close = FakeSnowflakeCursor.execute, FakeSnowflakeConnection.close
    split = SnowflakeConnectionManager._split_queries

    def split_recorded(sql: Any) -> list[str]:
        emulator.scripts.append(str(sql))
        queries: list[str] = split(sql)
        return queries

    def execute_recorded(cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
        connection = cursor._conn
        if not hasattr(connection, "tidemark"):
            return execute(cursor, command, *args, **kwargs)
        return _execute(execute, cursor, command, *args, **kwargs)

    def close_tidily(connection: Any, *args: Any, **kwargs: Any) -> None:
        if not connection._is_closed:
            for relation in getattr(connection, "tidemark_temporary", ()):
                kind, name = relation
                connection._duck_conn.execute(f"drop {kind} if exists {name}")
        close(connection, *args, **kwargs)

    with (
        # fakesnow copies results through Arrow, and DuckDB would have it otherwise
        warnings.catch_warnings(),
        mock.patch("snowflake.connector.connect", emulator.connect),
        mock.patch.object(
            SnowflakeConnectionManager, "_split_queries", staticmethod(split_recorded)
        ),
        mock.patch.object(FakeSnowflakeCursor, "execute", execute_recorded),
        mock.patch.object(FakeSnowflakeCursor, "_inline_variables", lambda _, sql: sql),
        # half of the time: of fakesnow's eighty transformations of a statement few concern it
        mock.patch.object(Expr, "transform", _transform_what_it_concerns(Expr.transform)),
        # a tenth: fakesnow translates every statement a second time for its columns
        mock.patch.object(FakeSnowflakeCursor, "_describe_last_sql", _describe_last_sql),
        mock.patch.object(FakeSnowflakeCursor, "stats", property(_stats), create=True),
        mock.patch.object(FakeSnowflakeConnection, "close", close_tidily),
        # DuckDB knows MERGE itself
        mock.patch.object(transforms, "merge", lambda expression: [expression]),
        mock.patch.object(transforms, "create_table_as", _name_columns(transforms.create_table_as)),
        # JSON with a key twice does not parse on Snowflake (sql-reference/functions/parse_json)
        mock.patch.object(transforms, "try_parse_json", _strict_json),
        # fakesnow adds up doubles, so that text may be added up; Snowflake's sums are exact
        mock.patch.object(transforms, "numeric_agg_implicit_cast", lambda expression: expression),
    ):
        warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
        yield emulator
    emulator.account.duck_conn.close()


def _transform_what_it_concerns(transform: Any) -> Any:
    """Leave out transformations that look only at kinds of expressions which are not there."""
    seen = threading.local()

    def transform_if(root: Any, function: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        concerned = None if copy else _concerned(function.__code__)
        if concerned is not None:
            if getattr(seen, "root", None) is not root:
                seen.root, seen.kinds = root, {type(node) for node in root.walk()}
            if not any(issubclass(kind, concerned) for kind in seen.kinds):
                return root
        seen.root = None
        return transform(root, function, *args, copy=copy, **kwargs)

    return transform_if


@cache
def _concerned(code: CodeType) -> tuple[type, ...] | None:
    """What a transformation asks of the expression that it is given, as its own code says."""
    from fakesnow import transforms
    from sqlglot import exp

    # some stand in a lambda, for the arguments that they need besides
    names = code.co_names if code.co_name == "<lambda>" else (code.co_name,)
    called = next(getattr(transforms, name) for name in names if hasattr(transforms, name))
    asked = re.findall(r"isinstance\(\s*expression,\s*(\([^)]*\)|[\w.]+)", getsource(called))
    kinds = re.findall(r"exp\.(\w+)", " ".join(asked))
    return tuple(getattr(exp, kind) for kind in kinds) or None


def _name_columns(create_table_as: Any) -> Any:
    """Name the columns of `select *`, as fakesnow does, but in DuckDB's SQL."""
    from sqlglot import exp

    def create(expression: Any, duck_conn: Any) -> Any:
        query = expression.args.get("expression")
        if isinstance(query, exp.Subquery):
            query = query.unnest()
        named = isinstance(expression, exp.Create) and isinstance(expression.this, exp.Schema)
        if named and isinstance(query, exp.Select) and query.is_star:
            described = duck_conn.execute(f"describe {query.sql(dialect='duckdb')}").fetchall()
            query.set("expressions", [exp.column(name, quoted=True) for name, *_ in described])
        return create_table_as(expression, duck_conn)

    return create


def _strict_json(expression: Any) -> Any:
    """Null for JSON with a key twice in an object: a variant keeps one of them, fewer values."""
    from sqlglot import exp

    if not isinstance(expression, exp.ParseJSON) or not expression.args.get("safe"):
        return expression

    def values_of(json_: Any) -> Any:
        found = exp.Anonymous(this="json_extract", expressions=[json_, exp.Literal.string("$..*")])
        return exp.Anonymous(
            this="len", expressions=[exp.Anonymous(this="try", expressions=[found])]
        )

    # of a type that no further transformation knows
    variant = exp.DataType(this=exp.DType.USERDEFINED, kind="variant")
    once = exp.cast(exp.Cast(this=expression.copy(), to=variant), exp.DType.JSON)
    same = exp.EQ(this=values_of(expression.copy()), expression=values_of(once))
    # what no variant holds has no key twice
    return exp.case().when(exp.func("coalesce", same, exp.true()), expression)


def _describe_last_sql(cursor: Any) -> list[Any]:
    described = cursor._duck_conn.execute(f"describe {cursor._last_sql}", cursor._last_params)
    return list(described.fetchall())


def _execute(execute: Any, cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    from snowflake.connector.errors import ProgrammingError

    connection = cursor._conn
    comments = _QUERY_COMMENT.findall(command)
    node = json.loads(comments[-1]).get("node_id", "") if comments else ""
    sql = _QUERY_COMMENT.sub("", command).strip()
    sent = Statement(sql, node, connection.tidemark_session)
    connection.tidemark.statements.append(sent)
    begins = sql.lower().rstrip(";") == "begin"
    ends = sql.lower().rstrip(";") in ("commit", "rollback")
    if connection.tidemark_failed:
        raise AssertionError(_GOES_ON)
    if _DOES_NOTHING.match(sql):
        sql = _DONE
    elif dropped := _DROPS_DATABASE.match(sql):
        connection._duck_conn.execute("use memory")
        connection.tidemark.account.duck_conn.execute(f"detach database if exists {dropped[1]}")
        sql = _DONE
    elif temporary := _TEMPORARY.match(sql):
        connection.tidemark_temporary.append((temporary[1], temporary[2]))
        sql = _TEMPORARY.sub(r"create or replace \1 \2", sql)
    else:
        # fakesnow would not replace what stands there
        sql = _CLONES.sub(r"create or replace table \1 as select * from \2", sql)
        sql = _TRANSIENT.sub("create or replace table", sql)
        sql = read_files(sql, connection._duck_conn)
        sql = connection.tidemark.load_history.asked(sql)
    try:
        fails_on = connection.tidemark.fails_on
        if fails_on and fails_on.search(sql):
            raise ProgrammingError("told to fail")
        sql = connection.tidemark.load_history.without_the_known(sql)
        answer = execute(cursor, sql, *args, **kwargs)
    except Exception:
        if connection.tidemark_in_transaction:
            connection._duck_conn.rollback()
            connection.tidemark_failed = True
        raise
    if begins or ends:
        connection.tidemark_in_transaction = begins
    _interfere(connection.tidemark, sql)
    made = _MADE_OF_ROWS.match(sql)
    cursor.tidemark_made = made[1] if made else None
    return answer


def _interfere(emulator: Emulator, sql: str) -> None:
    if emulator.afterwards and emulator.afterwards[0].search(sql):
        (_, theirs), emulator.afterwards = emulator.afterwards, None
        connection = emulator.underneath()
        connection.execute(theirs)
        connection.close()


def _stats(cursor: Any) -> Any:
    """What the connector says of a table made of rows, and dbt asks: how many there were."""
    from snowflake.connector.cursor import QueryResultStats

    if not getattr(cursor, "tidemark_made", None):
        return None
    counted = cursor._duck_conn.execute(f"select count(*) from {cursor.tidemark_made}").fetchone()
    # like the connector's, which knows no zero
    return QueryResultStats(num_rows_inserted=counted[0] or None)
