"""Which phenomena mattered in a history: those that changed a mart row that was already built.

A test that draws dull data passes whatever the project does. So every row says what would have been
without its phenomenon, and a phenomenon counts when the marts then differ in a row that the build
before had made. Only the definitions in plain SQL are asked: what the project makes of the history
is the other half of the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import duckdb

from . import raw
from .history import History, Row
from .marts import (
    FOLLOW_THE_CLOCK,
    MARTS,
    MARTS_OF,
    connect,
    create_reference,
    raw_tables_of,
    references,
)

_DELETABLE = ("fact_events", "engagement_events")
# what happened to a customer, a learner or a visitor stays
_LASTING = ("customer_events", "learner_events", "web_events")
_EVENTS = _DELETABLE + _LASTING
_DAILY = ("crm_daily", "product_usage_daily")
_ACTUAL = "what happened"
_ERASED = "raw rows erased"

# Seen in the marts themselves, before and after.
_CUSTOMERS = """
    select 1 from {{built}}.customers_by_day as built
    full outer join {{actual}}.customers_by_day as actual
        using (consumer_id, customer_id, activity_date)
    where {} and activity_date <= (select max(activity_date) from {{built}}.customers_by_day)
"""
_SESSIONS = """
    select 1 from {{built}}.{0} as built
    left join {{actual}}.{0} as actual using ({1})
    where {2}
"""
_TEAMS = """
    select 1 from {{actual}}.dim_web_teams as actual
    left join {{built}}.dim_web_teams as built using (team_id)
    where actual.is_enabled is distinct from built.is_enabled and {}
        and actual.team_id in (select team_id from {{built}}.web_hourly_stats)
        and {}.is_enabled
"""

_PRODUCT_MOVES = {
    "a company's first day moves earlier": """
        select 1 from {built}.dim_companies as built
        inner join {actual}.dim_companies as actual using (company_id)
        where actual.first_day < built.first_day
    """,
    "a company's first day moves later": """
        select 1 from {built}.dim_companies as built
        inner join {actual}.dim_companies as actual using (company_id)
        where actual.first_day > built.first_day
    """,
    "a server's first day moves earlier": """
        select server_id, min(activity_date) from {actual}.engagement_daily
        where server_id in (select server_id from {built}.engagement_daily)
        group by server_id
        except select server_id, activity_date from {built}.engagement_daily
    """,
    "a server's first day moves later": """
        select server_id, min(activity_date) from {built}.engagement_daily
        where server_id in (select server_id from {actual}.engagement_daily)
        group by server_id
        except select server_id, activity_date from {actual}.engagement_daily
    """,
    "the last day of engagement recedes": """
        select max(activity_date) as last_day from {actual}.engagement_daily
        having last_day < (select max(activity_date) from {built}.engagement_daily)
    """,
    "a company-day of events disappears": """
        select company_id, activity_date from {built}.fact_events_daily
        except select company_id, activity_date from {actual}.fact_events_daily
    """,
    "a feature disappears from a day": """
        select server_id, feature_used, activity_date from {built}.feature_engagement_daily
        except
        select server_id, feature_used, activity_date from {actual}.feature_engagement_daily
    """,
}
_PEOPLE_MOVES = {
    "a customer ceases to exist on a known day": _CUSTOMERS.format(
        "built.is_existing and not coalesce(actual.is_existing, false)"
    ),
    "a customer comes to exist on a known day": _CUSTOMERS.format(
        "actual.is_existing and not coalesce(built.is_existing, false)"
    ),
    "a customer's status flips on a known day": _CUSTOMERS.format(
        "built.is_active <> actual.is_active"
    ),
    "a customer is created anew before a known day": _CUSTOMERS.format(
        "built.existing_since < actual.existing_since"
    ),
    "a team is enabled": _TEAMS.format("not coalesce(built.is_enabled, false)", "actual"),
    "a team is disabled": _TEAMS.format("not actual.is_enabled", "built"),
    "an attempt follows upon another one": """
        select 1 from {built}.mastery_deltas as built
        inner join {actual}.mastery_deltas as actual
            using (learner_id, content_id, trigger_event_id, activity_date)
        where built.previous_mastery is distinct from actual.previous_mastery
    """,
    "an attempt changes nothing any more": """
        select learner_id, content_id, trigger_event_id, activity_date from {built}.mastery_deltas
        except
        select learner_id, content_id, trigger_event_id, activity_date from {actual}.mastery_deltas
    """,
    **{
        f"{mart}: {label}": _SESSIONS.format(mart, ", ".join(MARTS[mart]), condition)
        for mart in ("session_metrics", "web_sessions")
        for label, condition in {
            "a start moves earlier": "actual.session_start < built.session_start",
            "a start moves later": "actual.session_start > built.session_start",
            "a start moves to another day": "cast(actual.session_start as date) "
            "<> cast(built.session_start as date)",
            "an end moves": "actual.session_end <> built.session_end",
            "an event leaves": "actual.total_events < built.total_events",
            "all events leave": "actual.session_id is null",
            "changes over midnight": "cast(built.session_start as date) "
            "< cast(built.session_end as date) and actual.total_events <> built.total_events",
        }.items()
    },
}

_CODE, _CODE_BACK = "code changes", "code changes, and back to what is written"

# Steps that left the marts something to catch up with.
_BETWEEN = tuple(f"after a step: {action}" for action in ("subset", "restate", "fail", "request"))

PHENOMENA = (
    *(f"{table}: more than three days late" for table in _EVENTS + _DAILY),
    *(f"{table}: more than thirty days late" for table in _EVENTS + _DAILY),
    *(f"{table}: redelivered with other values" for table in _DAILY),
    *(f"{table}: redelivered with other values in the same hour" for table in _EVENTS),
    *(f"{table}: redelivered with other values in another hour" for table in _EVENTS),
    *(f"{table}: deleted" for table in _DELETABLE),
    *(f"{table}: deleted, then restored" for table in _DELETABLE),
    *(f"{table}: moved to another day" for table in _EVENTS),
    *(f"{table}: equal load time" for table in _EVENTS + _DAILY),
    *(
        f"{table}: malformed correction"
        for table in (*_DELETABLE, *_DAILY, "customer_events", "learner_events")
    ),
    "customer_events: equal time and load time",
    "customer_events: equal time, other load time",
    "learner_events: equal time",
    "learner_events: moved to another session",
    "learner_events: content changed",
    "web_events: equal time",
    "web_events: moved to another session",
    "web_events: moved to another time",
    "web_teams: redelivered with other values",
    "web_teams: equal load time",
    "exact duplicate",
    "null key",
    "zero time",
    "null load time",
    "load time in the future",
    "arrives from the future",
    "commits after a run that passed its load time",
    "found by a watermark set back",
    "outage answered late",
    "outage answered partly",
    "outage never answered",
    "asked before the day ended",
    "missing in a file",
    "missing in a repeated answer",
    "renamed",
    "renamed back",
    "in the CRM after usage",
    "usage after the CRM",
    _ERASED,
    *_PRODUCT_MOVES,
    *_PEOPLE_MOVES,
    *_BETWEEN,
    "built again at the same clock",
    _CODE,
    _CODE_BACK,
)

# Marts with a definition; those over few tables first, because they are quickest to ask.
_TESTED = {
    domain: [
        name
        for name in sorted(marts, key=lambda n: len(raw_tables_of(n)))
        if name in references() and name not in FOLLOW_THE_CLOCK
    ]
    for domain, marts in MARTS_OF.items()
}


def mattered(history: History) -> set[str]:
    """The phenomena that changed a row of a built mart somewhere in this history."""
    builds = [number for number, step in enumerate(history.steps) if step.builds_everything]
    tested = [mart for domain in history.domains for mart in _TESTED[domain]]
    moves = _PRODUCT_MOVES if "company" in history.domains else _PEOPLE_MOVES
    found: set[str] = set()
    with connect(":memory:") as connection:
        # quicker than two, for tables of this size
        connection.execute("set threads = 1")
        drawn = _write(connection, history, builds)
        for epoch, build in enumerate(builds):
            clock = history.steps[build].clock
            connection.execute(f"set variable step = {build}")
            connection.execute(f"set variable as_of = timestamp '{clock}'")
            built, actual = f"build_{epoch - 1}", f"build_{epoch}"
            _evaluate(connection, actual, _ACTUAL, tested)
            if epoch == 0:
                continue
            for label, table in sorted(drawn[epoch]):
                fed = [mart for mart in tested if table in raw_tables_of(mart)]
                world = f"{label} @ {epoch}"
                if label not in found and _changes(connection, world, fed, epoch):
                    found.add(label)
            for label, query in moves.items():
                if connection.execute(query.format(built=built, actual=actual)).fetchone():
                    found.add(label)
            if any(_differs(connection, mart, built, actual, built) for mart in tested):
                before = builds[epoch - 1]
                between = history.steps[before + 1 : build]
                found.update(f"after a step: {step.action}" for step in between)
                if history.steps[before].clock == clock:
                    found.add("built again at the same clock")
    if history.changes_code:
        found.add(_CODE if history.steps[-1].code else _CODE_BACK)
    return found & set(PHENOMENA)


def _write(
    connection: duckdb.DuckDBPyConnection, history: History, builds: list[int]
) -> dict[int, set[tuple[str, str]]]:
    """Write what came, and what would have come instead, under views that show one or the other.

    Returns which phenomena of which raw tables took effect before each build.
    """

    def epoch_of(step: int) -> int:
        return next(epoch for epoch, build in enumerate(builds) if build >= step)

    drawn: dict[int, set[tuple[str, str]]] = defaultdict(set)
    written: dict[str, list[list[object]]] = defaultdict(list)
    for row in history.rows:
        columns = raw.TABLES[row.table].columns
        replaced_by: list[str] = []
        for label, instead in row.otherwise.items():
            # A row that is taken away is missed when it would be seen.
            step = row.step if instead else _seen_from(row, history)
            alternative = f"{label} @ {epoch_of(step)}"
            drawn[epoch_of(step)].add((label, row.table))
            replaced_by.append(alternative)
            if instead:
                written[row.table].append(
                    [*(instead[column] for column in columns), row.step, None, alternative, ""]
                )
        if row.values is None:
            continue
        values = [row.values[column] for column in columns]
        if row.erased:
            alternative = f"{_ERASED} @ {epoch_of(row.erased)}"
            drawn[epoch_of(row.erased)].add((_ERASED, row.table))
            written[row.table].append([*values, row.erased, None, alternative, ""])
        written[row.table].append([*values, row.step, row.erased, None, "|".join(replaced_by)])

    raw.create(connection, "history")
    connection.execute("create schema raw")
    for name, table in raw.TABLES.items():
        for column in ("since integer", "until integer", "only_in varchar", "not_in varchar"):
            connection.execute(f"alter table history.{name} add column {column}")
        raw.insert(connection, f"history.{name}", written[name])
        connection.execute(f"""
            create view raw.{name} as
            select {", ".join(table.columns)} from history.{name}
            where since <= getvariable('step')
                and coalesce(until > getvariable('step'), true)
                and coalesce(only_in = getvariable('world'), true)
                and not list_contains(split(not_in, '|'), getvariable('world'))
        """)
    return drawn


def _seen_from(row: Row, history: History) -> int:
    """The first step at which a row is both committed and visible."""
    loaded_at = row.content.get(raw.TABLES[row.table].load_time)
    for number, step in enumerate(history.steps):
        if number >= row.step and loaded_at and loaded_at <= step.clock:
            return number
    return row.step


def _evaluate(
    connection: duckdb.DuckDBPyConnection, schema: str, world: str, marts: Iterable[str]
) -> None:
    """Make marts as they are, or as they would be, in a schema."""
    connection.execute(f"set variable world = '{world}'")
    connection.execute(f"create schema {schema}")
    connection.execute(f"set schema = '{schema}'")
    made: set[str] = set()
    for mart in marts:
        create_reference(connection, mart, made)


def _changes(
    connection: duckdb.DuckDBPyConnection, world: str, marts: Iterable[str], epoch: int
) -> bool:
    """Whether any built row of these marts would differ in another world."""
    try:
        connection.execute(f"set variable world = '{world}'")
        connection.execute("create schema alternative")
        connection.execute("set schema = 'alternative'")
        made: set[str] = set()
        for mart in marts:
            create_reference(connection, mart, made)
            if _differs(connection, mart, f"build_{epoch}", "alternative", f"build_{epoch - 1}"):
                return True
        return False
    finally:
        connection.execute("set schema = 'main'")
        connection.execute("drop schema alternative cascade")


def _differs(
    connection: duckdb.DuckDBPyConnection, mart: str, one: str, other: str, built: str
) -> bool:
    """Whether two versions of a mart differ in a row whose key was built."""
    keys = ", ".join(MARTS[mart])
    query = f"""
        select {keys} from (
            (from {one}.{mart} except from {other}.{mart})
            union all
            (from {other}.{mart} except from {one}.{mart})
        )
        intersect
        select {keys} from {built}.{mart}
    """
    return connection.execute(query).fetchone() is not None
