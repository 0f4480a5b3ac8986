"""Whether SQL is Snowflake's own. The emulator cannot tell: DuckDB answers it.

Four gates, each of which lets through what another one stops: sqlfluff's grammar of Snowflake,
sqlglot's parser with the functions, types and statements that Snowflake is known to have, a list of
habits from DuckDB that both take for Snowflake's, and what its documentation says of things that
DuckDB knows, too (documented.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.errors import SqlglotError
from sqlglot.parsers.snowflake import SnowflakeParser
from sqlglot.tokens import Token, TokenType

from .documented import KINDS

# Every function that may be called, casts included. All of them are in Snowflake's reference; a
# name that the project starts to use is looked up there first.
FUNCTIONS = frozenset(
    {
        "abs",
        "array_generate_range",
        "cast",
        "chr",
        "coalesce",
        "concat",
        "concat_ws",
        "convert_timezone",
        "copy_history",
        "count",
        "current_timestamp",
        "date_part",
        "date_trunc",
        "dateadd",
        "datediff",
        "dense_rank",
        "first_value",
        "flatten",
        "get",
        "greatest",
        "hash",
        "infer_schema",
        "is_timestamp_ltz",
        "is_timestamp_ntz",
        "is_timestamp_tz",
        "lag",
        "lead",
        "least",
        "listagg",
        "lower",
        "max",
        "max_by",
        "md5",
        "median",
        "min",
        "nullif",
        "object_agg",
        "object_construct",
        "object_construct_keep_null",
        "percentile_cont",
        "power",
        "rank",
        "row_number",
        "substr",
        "sum",
        "sysdate",
        "to_date",
        "to_json",
        "to_timestamp_ntz",
        "to_timestamp_tz",
        "to_varchar",
        "trim",
        "try_cast",
        "try_parse_json",
        "upper",
    }
)

TYPES = frozenset(
    {
        exp.DType.BIGINT,
        exp.DType.BOOLEAN,
        exp.DType.DATE,
        exp.DType.DECIMAL,
        exp.DType.DOUBLE,
        exp.DType.INT,
        exp.DType.OBJECT,
        exp.DType.TEXT,
        exp.DType.TIMESTAMPNTZ,
        exp.DType.TIMESTAMPTZ,
        exp.DType.VARCHAR,
        exp.DType.VARIANT,
    }
)

# Statements that sqlglot only knows by their first word. sqlfluff reads all of them.
STATEMENTS = frozenset({"create", "show", "alter", "call", "grant"})

# Besides what does not parse: columns of one name, set operations of different widths, references
# to no table, queries that nobody reads. Taste and layout are for `make lint` to judge.
RULES = "AL08, AM07, RF01, ST03"


class _Snowflake(Snowflake):
    """sqlglot's, less kind."""

    # How a function was called: the parser knows those of every engine.
    ORIGINAL_NAME_META_KEY = "called"

    class Tokenizer(Snowflake.Tokenizer):
        # Two slashes begin a comment too; where they stand, somebody wanted to divide.
        COMMENTS = ("--", ("/*", "*/"))


def grammar(sql: str) -> list[str]:
    """What sqlfluff finds wrong, in its words."""
    violations = _linter().lint_string(sql).get_violations()
    return [f"{found.rule_code()}: {found.desc()}" for found in violations]


@lru_cache
def _linter() -> Linter:
    settings = {
        "dialect": "snowflake",
        "templater": "raw",
        "rules": RULES,
        # A statement is not skipped for being long.
        "large_file_skip_byte_limit": 0,
    }
    return Linter(config=FluffConfig(overrides=settings))


def vocabulary(sql: str) -> list[str]:
    """Statements, functions and types that Snowflake is not known to have."""
    try:
        found = [unknown for tree in _trees(sql) for unknown in _unknown(tree)]
    except SqlglotError as error:
        return [f"does not parse: {error}"]
    return [*found, *_unknown_forms(sql)]


# Two gates read the same statement one after the other.
@lru_cache(maxsize=1)
def _trees(sql: str) -> list[exp.Expr]:
    return [tree for tree in sqlglot.parse(sql, dialect=_Snowflake) if tree is not None]


def _unknown(tree: exp.Expr) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Command) and node.name.lower() not in STATEMENTS:
            yield f"statement {node.name}"
        elif isinstance(node, exp.DataType) and node.this not in TYPES:
            yield f"type {node.this.name}"
        elif isinstance(node, exp.Func):
            name = node.name if type(node) is exp.Anonymous else node.meta.get("called")
            if name and name.lower() not in FUNCTIONS:
                yield f"function {name.lower()}"


def _unknown_forms(sql: str) -> Iterator[str]:
    """The functions that the parser reads by rules of their own, and gives no name afterwards."""
    for token, following in pairwise(_Snowflake().tokenize(sql)):
        name = token.text.lower()
        is_form = following.text == "(" and name.upper() in SnowflakeParser.FUNCTION_PARSERS
        if is_form and name not in FUNCTIONS:
            yield f"function {name}"


def habits(sql: str) -> list[str]:
    """What people write for DuckDB, and what a parser that wants to be kind accepts."""
    tokens = _Snowflake().tokenize(sql)
    found = [f"{habit} in {_around(tokens, at)}" for at, habit in _habits_in_tokens(tokens)]
    try:
        trees = _trees(sql)
    except SqlglotError:
        # Which the gate above says.
        return found
    habits = [each for tree in trees for each in _habits_in_tree(tree)]
    return found + [f"{habit}: {node.sql()}" for node, habit in habits]


def _habits_in_tokens(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    for at, token in enumerate(tokens):
        text = token.text.lower()
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        if text == "interval" and following and following.token_type != TokenType.STRING:
            yield at, "an interval without quotes"
        elif text in ("->", "->>"):
            yield at, "an arrow"
        elif text == "==":
            yield at, "a double equals sign"
        elif text == "by" and following and following.text.lower() == "name":
            yield at, "an insert by name"
        elif text == "from" and (at == 0 or tokens[at - 1].text in ("(", ";")):
            yield at, "a query that begins with from"
        elif text == "/" and following and following.text == "/":
            yield at, "a division by two slashes"
        elif text == "listagg" and _orders_inside(tokens[at + 1 :]):
            yield at, "an order within an aggregate"


def _orders_inside(tokens: list[Token]) -> bool:
    """Whether the parentheses that come first hold an order; `within group` stands behind them."""
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            return False
        # "order by" may be one token
        if depth == 1 and token.text.lower().startswith("order"):
            return True
    return False


def _habits_in_tree(tree: exp.Expr) -> Iterator[tuple[exp.Expr, str]]:
    for node in tree.walk():
        if isinstance(node, exp.Filter):
            yield node, "an aggregate with a filter"
        elif isinstance(node, exp.AtTimeZone):
            yield node, "at time zone"
        elif isinstance(node, exp.SimilarTo | exp.Glob):
            yield node, "a pattern that Snowflake does not know"
        elif isinstance(node, exp.Distinct) and node.args.get("on"):
            yield node, "distinct on"
        elif isinstance(node, exp.Join) and node.kind in ("SEMI", "ANTI", "POSITIONAL"):
            yield node, "a join that Snowflake does not know"
        elif isinstance(node, exp.Count) and node.this is None:
            yield node, "a count of nothing"
        elif isinstance(node, exp.GroupConcat):
            # `within group` is read like an order inside, which the tokens tell
            continue
        elif isinstance(node, exp.AggFunc) and isinstance(node.this, exp.Order):
            yield node, "an order within an aggregate"
        elif isinstance(node, exp.Sum | exp.Avg | exp.Min | exp.Max) and _is_boolean(node.this):
            yield node, "arithmetic on a boolean"
        elif isinstance(node, exp.TryCast) and _is_no_text(node.this):
            yield node, "try_cast of what is no text"


def _is_boolean(node: exp.Expr) -> bool:
    # Columns that hold one are named so.
    named = isinstance(node, exp.Column) and node.name.lower().startswith(("is_", "has_"))
    cast = isinstance(node, exp.Cast) and node.to.this == exp.DType.BOOLEAN
    bare = node.unnest()
    return named or cast or isinstance(bare, exp.Predicate | exp.Connector | exp.Not | exp.Boolean)


def _is_no_text(node: exp.Expr) -> bool:
    number = isinstance(node, exp.Literal) and not node.is_string
    texts = (exp.DType.VARCHAR, exp.DType.TEXT)
    return number or (isinstance(node, exp.Cast) and node.to.this not in texts)


def documented(sql: str) -> list[str]:
    """What its documentation says to mean something else there, or to depend on settings."""
    try:
        parsed = sqlglot.parse(sql, dialect=_Snowflake)
    except SqlglotError:
        # Which the gate of the vocabulary says.
        return []
    return [
        f"{kind.words} ({kind.pages[0]}): {node.sql(dialect='snowflake')[:120]}"
        for tree in parsed
        if tree is not None
        for kind in KINDS
        for node in kind.finds(tree)
    ]


def _around(tokens: list[Token], at: int) -> str:
    return " ".join(token.text for token in tokens[max(at - 3, 0) : at + 4])


_CHANGES = ("insert", "update", "delete", "merge", "copy")


def scripts(sql: str) -> list[str]:
    """What dbt is told at once, and Snowflake commits one by one unless it is in a transaction."""
    words = [statement.split(None, 1) for statement in _statements(sql)]
    firsts = [first.lower() for first, *_ in words]
    changes = [first for first in firsts if first in _CHANGES]
    if len(changes) > 1 and (firsts[0], firsts[-1]) != ("begin", "commit"):
        return [f"no transaction around {', '.join(firsts)}"]
    makes = [first for first in firsts if first in ("create", "alter", "drop", "truncate")]
    if makes and "begin" in firsts:
        return [f"a {makes[0]} that commits the transaction around it"]
    return []


def _statements(sql: str) -> list[str]:
    """A script's statements: no semicolon in a text ends one."""
    statements, tokens, start = [], _Snowflake().tokenize(sql), 0
    for token in [*tokens, None]:
        end = len(sql) if token is None else token.start
        if token is None or token.token_type == TokenType.SEMICOLON:
            statements.append(sql[start:end].strip())
            start = end + 1
    return [statement for statement in statements if statement]


def shape(sql: str, with_names: bool = False) -> tuple[str, ...]:
    """A statement without its values, and without its names where these do not matter, either."""
    kinds = {TokenType.STRING: "text", TokenType.NUMBER: "number"}
    if not with_names:
        kinds |= {TokenType.VAR: "name", TokenType.IDENTIFIER: "name"}
    tokens = _Snowflake().tokenize(sql)
    return tuple(kinds.get(token.token_type, token.text.lower()) for token in tokens)


def sample(statements: Iterable[str], width: int = 3) -> list[str]:
    """Statements that together show every sequence of `width` words that any of them has.

    sqlfluff reads about 10 kB a second (measured), and a run sends megabytes that differ in names
    and values alone, or repeat each other's parts: a quarter of the distinct statements of a build
    and its increments is left.
    """
    rest: dict[str, set[tuple[str, ...]]] = {}
    for words, statement in {shape(statement): statement for statement in statements}.items():
        rest[statement] = {words[at : at + width] for at in range(max(len(words) - width, 0) + 1)}
    chosen = []
    while rest:
        # What says most that is new for what it takes to read.
        best = max(rest, key=lambda statement: len(rest[statement]) / len(statement))
        chosen.append(best)
        seen = rest.pop(best)
        rest = {statement: new for statement, all_ in rest.items() if (new := all_ - seen)}
    return chosen


def violations(statements: Iterable[str]) -> dict[str, str]:
    """What the gates find in any of the statements, each with the first one that it stands in."""
    distinct = list(
        {shape(sql, with_names=True): sql for sql in dict.fromkeys(statements)}.values()
    )
    found: dict[str, str] = {}
    for statement in sample(distinct):
        for words in grammar(statement):
            found.setdefault(words, statement)
    for statement in distinct:
        for words in (*vocabulary(statement), *habits(statement), *documented(statement)):
            found.setdefault(words, statement)
    return found
