"""Staged Parquet files for the emulator: what it does not know of them, in words that it does.

`copy into` it has itself, with a load history that a rollback takes back. Nobody promises that of
Snowflake, so the one here does not forget.
"""

from __future__ import annotations

import re
from typing import Any

_INFERRED = re.compile(
    r"table\(infer_schema\(\s*location => '@(?P<stage>\w+\.\w+\.\w+)/(?P<path>[^']+)',"
    r" file_format => '[\w.]+'\s*\)\)"
)
_STAGED = re.compile(
    r"from '@(?P<stage>\w+\.\w+\.\w+)/(?P<path>[^']+)' \(file_format => '[\w.]+'\)"
)
# fakesnow knows files by name in stages that are somewhere else alone
_COPIED_FROM = re.compile(r"from @(?P<stage>\w+\.\w+\.\w+)(?P<path>)(?=\s+files = )")
_COPY = re.compile(r"^copy into (?P<table>\S+)\s.*\bfiles = \((?P<files>[^)]*)\)", re.DOTALL)
_PIPE = re.compile(
    r"copy into (?P<table>\S+) \((?P<names>[^)]*)\)\s+from \(\s+select(?P<columns>.*)"
    r"\sfrom @(?P<stage>\w+\.\w+\.\w+)/(?P<path>\w+/)\s+\)",
    re.DOTALL,
)
_IS_TIME = re.compile(r"is_timestamp_(?P<kind>\w+)\(\$1:(?P<column>\w+)\)")
_TIMES = {"ntz": "TIMESTAMP", "ltz": "TIMESTAMP WITH TIME ZONE", "tz": "with a zone of its own"}
_HISTORY = re.compile(
    r"table\(\w+\.information_schema\.copy_history\(\s*table_name => '(?P<table>[^']+)',"
    r" start_time => dateadd\('day', -13, sysdate\(\)\)\s*\)\)"
)
_NOTHING = "select 'Copy executed with 0 files processed.' as status"


class LoadHistory:
    """Which files went into which table; without `force = true` they are skipped, in silence.

    `told` is what COPY_HISTORY says: rows of table, file, status, error and time.
    """

    def __init__(self) -> None:
        self._loaded: set[tuple[str, str]] = set()
        self.told: list[tuple[str, str, str, str, str]] = []

    def asked(self, sql: str) -> str:
        """COPY_HISTORY as a query of what a test has told."""
        return _HISTORY.sub(lambda found: self._rows(found["table"].lower()), sql)

    def _rows(self, table: str) -> str:
        nothing = "select null as file_name, null as status, null as first_error_message,"
        rows = [f"{nothing} cast(null as timestamp_ntz) as last_load_time where false"]
        for told, *values, at in self.told:
            if told.lower() == table:
                texts = ", ".join(f"'{value}'" for value in values)
                rows.append(f"select {texts}, cast('{at}' as timestamp_ntz)")
        return f"({' union all '.join(rows)})"

    def without_the_known(self, sql: str) -> str:
        """A `copy into` of the files that are new to it, or a word that there is none."""
        copy = _COPY.match(sql)
        if not copy:
            return sql
        files = re.findall(r"'([^']+)'", copy["files"])
        new = [file for file in files if (copy["table"], file) not in self._loaded]
        if re.search(r"\bforce = true\b", sql):
            new = files
        self._loaded |= {(copy["table"], file) for file in new}
        listed = ", ".join(f"'{file}'" for file in new)
        return sql.replace(copy["files"], listed) if new else _NOTHING


def read_files(sql: str, account: Any) -> str:
    """The files of a stage as DuckDB reads them; their names are those in Snowflake's words."""
    if sql.startswith("select '") and "''@" in sql:
        # somebody looks at the text of such a query
        return sql
    if _INFERRED.search(sql):
        schema = "(select name as column_name from parquet_schema('{}') where num_children is null)"
        return _INFERRED.sub(lambda found: schema.format(_url(found, account)), sql)
    if _STAGED.search(sql):
        read = _STAGED.sub(lambda found: f"from read_parquet('{_url(found, account)}')", sql)
        return read.replace("$1:", "")
    return _COPIED_FROM.sub(lambda found: f"from 'file://{_url(found, account)}'", sql)


def _url(found: re.Match[str], account: Any) -> str:
    database, schema, name = found["stage"].upper().split(".")
    stages = "_fs_global._fs_information_schema._fs_stages"
    (url,) = account.execute(
        f"select url from {stages} where database_name = ? and schema_name = ? and name = ?",
        [database, schema, name],
    ).fetchone()
    if not url:
        from fakesnow.transforms.stage import internal_dir

        url = f"{internal_dir(f'{database}.{schema}.{name}').rstrip('/')}/"
    return f"{url.removeprefix('file://')}{found['path']}"


def pipe_as_insert(sql: str, account: Any) -> str:
    """What a pipe does with the files that its folder has, if all of them have the same columns."""
    pipe = _PIPE.search(sql)
    assert pipe, f"no pipe with a transformation: {sql}"
    files = f"read_parquet('{_url(pipe, account)}**/*.parquet')"
    described = f"select column_name, column_type from (describe from {files})"
    kinds = dict(account.execute(described).fetchall())
    read = _IS_TIME.sub(
        lambda asked: str(kinds[asked["column"]] == _TIMES[asked["kind"]]).lower(), pipe["columns"]
    )
    read = read.replace("$1:", "").replace("metadata$start_scan_time", "sysdate()")
    return f"insert into {pipe['table']} ({pipe['names']}) select {read} from {files}"
