"""Plays a history against the project, and compares every mart with its references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import raw
from .history import DAY, History, Row, Step
from .marts import (
    all_differences,
    connect,
    create_reference,
    day_column_of,
    differences,
    entity_of,
    fetch,
    place,
    references,
)
from .project import FILE_NAME, Project


class DifferenceError(AssertionError):
    """A mart that is not what it should be."""


def replay(history: History, project: Project, folder: Path, full_refresh: bool = True) -> None:
    """Play every step in one file, then refresh another one at the last clock; all must agree."""
    database = folder / "steps" / FILE_NAME
    database.parent.mkdir(parents=True)
    with project.stepping():
        project.create_raw_tables(database)
        for number, step in enumerate(history.steps):
            _commit(history.rows, number, project, database)
            with project.running(step.code):
                _take(step, project, database)
            # the definitions are of the code as it is written
            if step.builds_everything and not step.code:
                _compare_with_references(project, database, history, number)
        if full_refresh:
            _compare_with_full_refresh(project, database, history)


def _commit(rows: tuple[Row, ...], number: int, project: Project, database: Path) -> None:
    with project.connect(database) as connection:
        for name, table in raw.TABLES.items():
            committed = (row.values for row in rows if (row.table, row.step) == (name, number))
            ordered = ([values[c] for c in table.columns] for values in committed if values)
            raw.insert(connection, f"raw.{name}", ordered)


def _take(step: Step, project: Project, database: Path) -> None:
    if step.action == "build":
        project.succeed(database, step.clock, "run")
    elif step.action == "build tables":
        # Views are as they were: what a run compiles into them must not matter.
        project.succeed(database, step.clock, "run", "--exclude", "config.materialized:view")
    elif step.action == "build and test":
        project.succeed(database, step.clock, "build", "--exclude-resource-type", "unit_test")
    elif step.action == "subset":
        project.succeed(database, step.clock, "run", "--select", *_picked(project.tables, step))
    elif step.action == "restate":
        _restate(step, project, database)
    elif step.action == "fail":
        if project.audits and step.picks[2] % 2:
            _go_wrong(step, project, database)
        else:
            _fail(step, project, database)
    elif step.action == "request":
        _repair(step, project, database)
    elif step.action == "erase":
        _erase(step, project, database)
    elif step.action == "reset":
        _set_watermarks_back(step, project, database)
    else:
        raise ValueError(step.action)


def _picked(names: list[str], step: Step) -> list[str]:
    return sorted({names[pick % len(names)] for pick in step.picks})


def _restate(step: Step, project: Project, database: Path) -> None:
    """Spoil a window of one table, and let a restatement of that window put it right."""
    assert step.window is not None
    first, end = step.window
    model = project.incremental[step.picks[0] % len(project.incremental)]
    day = day_column_of(model)
    window = f"{day} >= $first and {day} < $end"
    _spoil(project, database, model, window, ghost=True, first=first, end=end)
    selection = ("--select", model) if step.picks[1] % 2 else ()
    days = ("--event-time-start", str(first), "--event-time-end", str(end))
    project.succeed(database, step.clock, "run", *selection, *days)


def _fail(step: Step, project: Project, database: Path) -> None:
    """Build while one model or one test fails, which holds up what is below it."""
    unique_id = project.breakable[step.picks[0] % len(project.breakable)]
    node = project.dbt.manifest.nodes[unique_id]
    selection = ["resource_type:model", *([node.name] if node.resource_type == "test" else [])]
    with project.broken(unique_id):
        outcome = project.call(
            database, step.clock, "build", "--indirect-selection", "empty", "--select", *selection
        )
    assert not outcome.success, f"{node.name} was broken, and dbt did not mind"


def _go_wrong(step: Step, project: Project, database: Path) -> None:
    """Build one table with code that makes every row twice: nobody ever sees one of them."""
    model = project.incremental[step.picks[0] % len(project.incremental)]
    rows = f"select * from {place(model)} order by all"
    with project.connect(database) as connection:
        before = connection.execute(rows).fetchall()
    refresh = ("--full-refresh",) if step.picks[1] % 3 == 0 else ()
    with project.wrong(model):
        outcome = project.call(database, step.clock, "run", "--select", model, *refresh)
    with project.connect(database) as connection:
        after = connection.execute(rows).fetchall()
    if outcome.success:
        # it had no rows to write
        assert len(set(after)) == len(after), f"{model} shows rows of wrong code"
        return
    (result,) = [each for each in outcome.results if each.node.name == model]
    assert "Nothing was published" in result.message, result.message
    assert after == before, f"{model} was refused, and is not as it was"


def _repair(step: Step, project: Project, database: Path) -> None:
    """Spoil one stored partition and ask for it."""
    model = project.incremental[step.picks[0] % len(project.incremental)]
    entity, day = entity_of(model), f"cast({day_column_of(model)} as date)"
    with project.connect(database) as connection:
        stored = connection.execute(
            f"select distinct {entity}, {day} from {place(model)} order by all"
        ).fetchall()
    if stored:
        wanted, on_day = stored[step.picks[1] % len(stored)]
        partition = f"{entity} = $entity and {day} = $day"
        _spoil(project, database, model, partition, entity=wanted, day=on_day)
        project.request(database, step.clock, model, str(wanted), str(on_day))


def _erase(step: Step, project: Project, database: Path) -> None:
    """Take one partition's rows out of a raw table, and have what was made of them recomputed."""
    assert step.partition is not None
    name, entity, day = step.partition
    table = raw.TABLES[name]
    with project.connect(database) as connection:
        partition = f"{table.entity} = ? and cast({table.event_time} as date) = ?"
        connection.execute(f"delete from raw.{name} where {partition}", [entity, day])
    if step.picks[1] % 4 == 0:
        days = ("--event-time-start", str(day), "--event-time-end", str(day + DAY))
        project.succeed(database, step.clock, "run", *days)
        return
    for model in project.fed_by(name):
        project.request(database, step.clock, model, str(entity), str(day))


def _set_watermarks_back(step: Step, project: Project, database: Path) -> None:
    """Say in the ledger, as a reset does, that the incremental models have to look further back."""
    with project.connect(database) as connection:
        for model in project.incremental:
            connection.execute(
                """
                insert into ops.etl_job_runs
                    (ledger_entry, job_name, job_type, status, as_of, last_processed_timestamp)
                select max(ledger_entry) + 1, ?, 'reset', 'success', ?, ? from ops.etl_job_runs
                """,
                [model, step.clock, step.watermark],
            )


def _spoil(
    project: Project,
    database: Path,
    model: str,
    condition: str,
    ghost: bool = False,
    **values: object,
) -> None:
    """Make stored rows wrong; a ghost is a row of somebody who does not exist."""
    entity = entity_of(model)
    with project.connect(database) as connection:
        if ghost:
            connection.execute(
                f"insert into {place(model)} select * replace ('0' as {entity}) "
                f"from {place(model)} where {condition} limit 1",
                values,
            )
        columns = connection.execute(
            "select column_name, data_type from duckdb_columns() "
            "where database_name = current_database() "
            "and lower(schema_name) in ('marts', 'intermediate') "
            "and table_name ilike ? and column_name not ilike ?",
            [model, entity],
        ).fetchall()
        wrong = ", ".join(
            f"{column} = {column} + 7" if "INT" in kind else f"{column} = 7 - {column}"
            for column, kind in columns
            if kind in ("BIGINT", "INTEGER") or kind.startswith("DECIMAL")
        )
        connection.execute(f"update {place(model)} set {wrong} where {condition}", values)


def _compare_with_references(
    project: Project, database: Path, history: History, number: int
) -> None:
    in_order = project.keys_in_order
    with project.connect(database) as connection:
        connection.execute(f"set variable as_of = timestamp '{history.steps[number].clock}'")
        made: set[str] = set()
        found: list[str] = []
        for name in project.marts:
            if name in references():
                create_reference(connection, name, made, "temporary table")
                actual = fetch(connection, place(name), in_order)
                expected = fetch(connection, name, in_order)
                found.extend(differences(name, actual, expected, "the definition"))
    _fail_with(found, history, number)


def _compare_with_full_refresh(project: Project, database: Path, history: History) -> None:
    clock = history.steps[-1].clock
    other = database.parent.parent / "full" / FILE_NAME
    other.parent.mkdir()
    with connect(other) as refreshed, project.connect(database) as stepped:
        raw.create(refreshed)
        for name in raw.TABLES:
            # in another order: results must not depend on it
            rows = stepped.execute(f"select * from raw.{name} order by all desc").fetchall()
            raw.insert(refreshed, f"raw.{name}", rows)
    with project.running(history.steps[-1].code):
        project.refresh(other, clock)
    with project.connect(database) as stepped, connect(other) as refreshed:
        found = all_differences(
            stepped, refreshed, project.marts, "the full refresh", project.keys_in_order
        )
    _fail_with(found, history, len(history.steps) - 1)


def _fail_with(found: list[str], history: History, number: int) -> None:
    if found:
        raise DifferenceError("\n".join([*found, *_story(history, number, found)]))


def _story(history: History, number: int, found: list[str]) -> Iterator[str]:
    """The steps, and the raw rows of the first one whose rows differ."""
    entities = {
        row.values[entity]
        for row in history.rows
        if row.values and (entity := raw.TABLES[row.table].entity)
    }
    somebody = next(
        (e for line in found for e in sorted(entities - {None}, key=str) if f"{e}," in line), None
    )
    yield f"The history of {somebody}:"
    for position, step in enumerate(history.steps[: number + 1]):
        parts = (step.picks, step.window, step.partition, step.code)
        details = " ".join(str(part) for part in parts if part)
        for row in history.rows:
            entity = raw.TABLES[row.table].entity
            if (
                row.values
                and row.step == position
                and (not entity or row.values[entity] == somebody)
            ):
                values = ", ".join(str(row.values[c]) for c in raw.TABLES[row.table].columns)
                erased = f" (erased before step {row.erased})" if row.erased else ""
                yield f"    {row.table}: {values}{erased}"
        yield f"step {position}: {step.action} at {step.clock} {details}".rstrip()
