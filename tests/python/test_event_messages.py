"""What a message of the event stream must be to become a row, and what it looks like then."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from exact.raw import TABLES
from hypothesis import given
from hypothesis import strategies as st

from tidemark.ingest.messages import NotARowError, Row, read, table_of

AT = datetime(2025, 9, 3, 1, 10, 51)
LEAST = {
    "learner_id": "learner-01",
    "event_type": "page_view",
    "event_id": "lrn-1",
    "timestamp": "2025-09-03T01:10:51Z",
}


def row(value: bytes) -> Row:
    return read(value)[0]


def refused(value: bytes | None) -> str:
    with pytest.raises(NotARowError) as caught:
        read(value)
    return str(caught.value)


def written(**fields: Any) -> bytes:
    return json.dumps(LEAST | fields).encode()


def test_the_least_and_the_most_that_a_message_says() -> None:
    least = Row("learner-01", "page_view", "lrn-1", None, AT, None, None, None, AT.date())
    assert read(written()) == (least, set(), 0)
    most = written(
        session_id="s",
        data={"page_id": "p"},
        metadata={},
        version="1.0",
        partition_date="2025-09-02",
    )
    assert row(most) == least._replace(
        session_id="s",
        data='{"page_id": "p"}',
        metadata="{}",
        version="1.0",
        partition_date=date(2025, 9, 2),
    )


def test_documents_are_kept_to_the_letter() -> None:
    text = '{"score" : 0.12345678901234567890,"far":1e400, "list":[1.0 ,true],"half":"\\ud800"}'
    least = written().decode().removesuffix("}")
    assert row(f'{least}, "data": {text} , "metadata":[1, 2 ]}}'.encode())[5:7] == (text, "[1, 2 ]")
    # text that holds JSON is that JSON, well-formed or not: staging judges it
    assert row(written(data='{"a": 1}', metadata="{oops"))[5:7] == ('{"a": 1}', "{oops")
    assert row(written(data=None))[5] is None


def test_what_staging_judges_is_a_row() -> None:
    bad = {"learner_id": None, "event_type": "", "timestamp": None, "data": "{oops"}
    assert row(written(**bad))[:6] == (None, "", "lrn-1", None, None, "{oops")
    assert row(written(timestamp="2999-01-01"))[4] == datetime(2999, 1, 1)


def test_times_become_utc_to_the_microsecond() -> None:
    assert row(written(timestamp="2025-09-03T00:30:00.123456789+02:00"))[4] == datetime(
        2025, 9, 2, 22, 30, 0, 123456
    )
    assert row(written(timestamp="2025-09-03T00:30:00+02:00"))[8] == date(2025, 9, 2)


@pytest.mark.parametrize(
    "moment",
    ["2025-09-03 00:30+02", "20250902T2230Z", "2025-09-02t22:30:00z", "2025-245T22:30,0"],
)
def test_times_are_read_in_all_ways_of_the_standard(moment: str) -> None:
    assert row(written(timestamp=moment))[4] == datetime(2025, 9, 2, 22, 30)


def test_fields_without_a_column_are_told() -> None:
    told = read(written(device="phone", processed_at="2025-01-01", s3_path="elsewhere"))
    assert told[1] == {"device"}


@pytest.mark.parametrize("space", [" ", "\t\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\x85"])
def test_ids_lose_the_white_space_around_them(space: str) -> None:
    ids = {"learner_id": f"{space}l", "event_id": f"e{space}", "session_id": f"{space}s s{space}"}
    found, _, trimmed = read(written(**ids))
    assert (found.learner_id, found.event_id, found.session_id) == ("l", "e", "s s")
    assert trimmed == 3
    # staging sets an id aside that is blank
    assert read(written(learner_id=space))[0].learner_id == ""
    assert read(written(learner_id=None, event_id="", event_type=f"{space}x"))[2] == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "it has no value"),
        (b"", "it is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff{}", "it is not UTF-8: invalid start byte at byte 0"),
        (b"[1]", "it is JSON, but a list and no object"),
        (b"null", "it is JSON, but null and no object"),
        (b" { } ", "learner_id, event_type, event_id, timestamp is missing"),
        (written() + b",", "it is not JSON: Extra data"),
        (written()[:-1], "it is not JSON: Expecting ',' delimiter"),
        (b'{"a": NaN}', "it is not JSON: NaN is no JSON"),
        (b'{"a": ' + b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "it is not JSON: Exceeds the limit"),
        (written().replace(b"learner_id", b"learnerId"), "learner_id is missing"),
        (written(learner_id=7), "learner_id is a number, not text"),
        (written(session_id={}), "session_id is an object, not text"),
        (written(version=True), "version is true or false, not text"),
        (written(timestamp=1756861851), "timestamp is a number, not text"),
        (written(timestamp="yesterday"), "timestamp: 'yesterday' is not an ISO 8601 time"),
        (written(partition_date="09/03"), "partition_date: '09/03' is not an ISO 8601 time"),
        (written()[:-1] + b', "event_id": "other"}', "'event_id' is there more than once"),
        (written()[:-1] + b', "event\\u005fid": "lrn-1"}', "'event_id' is there more than once"),
        (written()[:-1] + b', "x": 1, "x": 1}', "'x' is there more than once"),
        (written()[:-1] + b', "data": {"a": [{"b": 1, "b": 2}]}}', "'b' is there more than once"),
        (written(event_id="\ud800"), "event_id holds half of a surrogate pair"),
    ],
)
def test_what_cannot_be_a_row(value: bytes | None, reason: str) -> None:
    assert refused(value).startswith(reason)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)

KNOWN = {*Row._fields, "processed_at", "s3_path"}


@given(
    fields=st.dictionaries(st.text().filter(lambda name: name not in KNOWN), VALUES),
    documents=st.fixed_dictionaries({"data": VALUES, "metadata": VALUES}),
    ascii_=st.booleans(),
    indent=st.none() | st.integers(0, 2),
)
def test_objects_are_read_as_the_library_reads_them(
    fields: dict[str, Any], documents: dict[str, Any], ascii_: bool, indent: int | None
) -> None:
    text = json.dumps(fields | LEAST | documents, ensure_ascii=ascii_, indent=indent)
    found, unknown, _ = read(text.encode())
    assert unknown == fields.keys()
    for name, document in documents.items():
        kept = getattr(found, name)
        assert (
            kept == document if isinstance(document, str | None) else json.loads(kept) == document
        )


@given(st.binary() | st.text().map(str.encode))
def test_whatever_comes_is_a_row_or_refused(value: bytes) -> None:
    try:
        expected = json.loads(value)
    except (ValueError, RecursionError):
        expected = None
    assert not isinstance(expected, dict) or not expected
    refused(value)


def test_of_two_versions_in_a_batch_the_later_one_wins() -> None:
    versions = [row(written(event_id=name)) for name in ("a", "b", "a", "a")]
    landed = table_of(versions, AT, "landing/a.parquet")
    ahead = [(time - AT).microseconds for time in landed["processed_at"].to_pylist()]
    assert ahead == [0, 0, 1, 2]


def test_the_columns_are_those_of_the_raw_table() -> None:
    landed = table_of([row(written())], datetime(2025, 9, 3, 2), "landing/a.parquet")
    assert landed.column_names == list(TABLES["learner_events"].columns)
    of = {"varchar": pa.string(), "timestamp": pa.timestamp("us"), "date": pa.date32()}
    assert landed.schema.types == [of[kind] for kind in TABLES["learner_events"].columns.values()]
    (only,) = landed.to_pylist()
    assert (only["processed_at"], only["s3_path"]) == (datetime(2025, 9, 3, 2), "landing/a.parquet")
