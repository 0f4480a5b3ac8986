"""CRM files into the landing area: what is read, what is refused, what is skipped."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from faults.page import INGESTION_HEAD, put_row
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tidemark import cli
from tidemark.ingest import IngestError, crm
from tidemark.ingest.crm import BadRow, Reading, Row
from tidemark.ingest.csv_text import LONGEST, Form, Text, recognised
from tidemark.ingest.landing import Landing

PROJECT = Path(__file__).parents[2]
CLOCK = datetime(2025, 10, 15, 2)
DAY = date(2025, 10, 14)

HEADER = "company_id,name,country,industry_tag,last_contact_at,load_date"
ACME = "acme,Acme,US,manufacturing,2025-08-30 15:00:00,2025-10-14"
COBALT = "cobalt,Cobalt Health,DE,health,,2025-10-14"


def text(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(f"{line}{end}" for line in (header, *rows)).encode()


def companies(number: int, day: str = "2025-10-14") -> bytes:
    return text(*(f"company-{each},Name,US,retail,,{day}" for each in range(number)))


@dataclass
class Parsed:
    """What a file holds."""

    load_date: date
    rows: list[Row]
    bad: list[BadRow]
    warnings: list[str]


def parse(content: bytes, date_in_name: date | None, form: Form | None = None) -> Parsed:
    """Read a file that was delivered."""
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        reading = Reading(Text(Path(file.name), form or Form()), date_in_name)
        rows = list(reading)
    return Parsed(
        reading.load_date,
        [row for row in rows if not isinstance(row, BadRow)],
        [row for row in rows if isinstance(row, BadRow)],
        reading.warnings,
    )


@dataclass
class Tidemark:
    """`tidemark ingest crm` on a landing area of its own."""

    landing: Landing
    source: str
    clock: datetime = CLOCK

    def __call__(self, *args: str) -> Result:
        command = ["ingest", "crm", self.source, "--as-of", self.clock.isoformat(), *args]
        command += ["--landing", self.landing.root, "--project-dir", str(PROJECT)]
        self.clock += timedelta(hours=1)
        return CliRunner().invoke(cli.app, command, catch_exceptions=False)

    def json(self, exit_code: int = 0) -> dict[str, dict[str, Any]]:
        """What became of each file, by its name."""
        ran = self("--json")
        assert ran.exit_code == exit_code, ran.output
        return {file["file"]: file for file in json.loads(ran.stdout)["files"]}

    def deliver(self, name: str, content: bytes) -> None:
        (Path(self.source) / name).write_bytes(content)

    def landed(self) -> list[tuple[str, list[dict[str, Any]]]]:
        found = []
        for file in self.landing.files("crm_daily"):
            with self.landing.open(file.path) as opened:
                found.append((file.name, pq.read_table(opened).to_pylist()))
        return found

    def rejected(self) -> list[dict[str, str]]:
        (kept,) = (Path(self.landing.root) / "rejected" / "crm").glob("*.csv")
        with kept.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
            return list(csv.DictReader(lines))


@pytest.fixture
def tidemark(tmp_path: Path) -> Tidemark:
    source = tmp_path / "exports"
    source.mkdir()
    return Tidemark(Landing(str(tmp_path / "landing")), str(source))


# ---- a file ----


def test_columns_are_taken_by_name() -> None:
    content = text(
        "2025-10-14,US,acme,2025-08-30T17:00:00+02:00,Acme,,2025-10-14 01:00:00",
        header="load_date,country,company_id,last_contact_at,name,industry_tag,loaded_at",
    )
    parsed = parse(content, None)
    assert parsed.load_date == DAY
    assert parsed.rows == [("acme", "Acme", "US", None, datetime(2025, 8, 30, 15))]
    assert (parsed.bad, parsed.warnings) == ([], [])


def test_columns_of_other_names_are_taken_by_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    row = "acme,Acme,US,x,2025-08-30 15:00:00"
    content = text(row, header="Account ID,Account Name,country,industry_tag,Last Contact")
    said = ["company_id=Account ID", "name=Account Name", "last_contact_at=Last Contact"]
    expected = [("acme", "Acme", "US", "x", datetime(2025, 8, 30, 15))]
    assert parse(content, DAY, Form.of(columns=said)).rows == expected
    monkeypatch.setenv("TIDEMARK_CRM_MAP", ", ".join(said))
    assert parse(content, DAY, Form.of()).rows == expected
    with pytest.raises(IngestError, match="'company_id' is not said as COLUMN=NAME"):
        Form.of(columns=["company_id"])


@pytest.mark.parametrize("day", ["2025-10-14", "20251014", "2025-287", "2025-W42-2"])
@pytest.mark.parametrize(
    "moment", ["2025-08-30 15:00:00+00", "2025-08-30 17+02", "20250830T15Z", "2025-08-30t15:00:00z"]
)
def test_times_and_days_are_read_in_all_ways_of_the_standard(moment: str, day: str) -> None:
    parsed = parse(text(f"acme,Acme,US,x,{moment},{day}"), None)
    assert parsed.load_date == DAY
    assert parsed.rows == [("acme", "Acme", "US", "x", datetime(2025, 8, 30, 15))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_line_breaks_belong_to_a_field(end: str) -> None:
    quoted = f'acme,"Acme,{end}""the"" one",US,x,,2025-10-14'
    parsed = parse(text(quoted, "cobalt,C", COBALT, end=end), None)
    assert [row[1] for row in parsed.rows] == [f'Acme,{end}"the" one', "Cobalt Health"]
    # the line is the one that an editor shows
    assert [(bad.line, bad.record) for bad in parsed.bad] == [(4, f"cobalt,C{end}")]


GERMAN = ["Müller & Söhne", "Käse Größe", "Über “Best” Foods", "50 € Shop", "Straßenbau Köln"]
FRENCH = ["Crème Brûlée", "Société Générale", "Hôtel à la Gare", "L\u2019Oréal", "Français Œuvre"]
JAPANESE = ["株式会社トヨタ", "ソニー", "日本電気", "任天堂"]
RUSSIAN = ["Газпром", "Лукойл", "Яндекс", "Сбербанк"]


def named(names: list[str], encoding: str = "utf-8") -> bytes:
    """A file with a company for each name, after one whose name is ASCII."""
    rows = (f"c{number},{name},DE,retail,,2025-10-14" for number, name in enumerate(names))
    return text(ACME, *rows).decode().encode(encoding)


def names_of(parsed: Parsed) -> list[str | None]:
    return [row[1] for row in parsed.rows[1:]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_says_its_encoding_is_read_in_it(encoding: str) -> None:
    parsed = parse(named(FRENCH, encoding), None)
    assert (names_of(parsed), parsed.bad, parsed.warnings) == (FRENCH, [], [])
    # a mark is certain, whatever was said of all files
    if encoding != "utf-8":
        assert names_of(parse(named(FRENCH, encoding), None, Form("cp1252"))) == FRENCH


@pytest.mark.parametrize("names", [FRENCH, ["Acme"] * 5, FRENCH * 200])
def test_a_stray_byte_costs_its_row_alone(names: list[str]) -> None:
    content = named(names) + b"nuss,N\xfcsse,DE,x,,2025-10-14\n"
    parsed = parse(content, None)
    assert names_of(parsed) == names
    (bad,) = parsed.bad
    assert (bad.line, bad.reason) == (len(names) + 3, "the byte 0xFC is no UTF-8")
    # it is kept as the byte that it was
    assert bad.record.encode("utf-8", "surrogateescape") == content.splitlines(True)[-1]
    (warning,) = parsed.warnings
    assert warning.startswith("rows with bytes that are no UTF-8: 1; ")
    assert "--encoding" in warning


@pytest.mark.parametrize(
    ("names", "encoding"), [(GERMAN, "cp1252"), (JAPANESE, "cp932"), (JAPANESE, "shift_jis")]
)
def test_another_encoding_is_recognised_where_there_is_no_doubt(
    names: list[str], encoding: str
) -> None:
    parsed = parse(named(names, encoding), None)
    assert (names_of(parsed), parsed.bad) == (names, [])
    (warning,) = parsed.warnings
    assert warning.startswith("it is not UTF-8 and was read as cp")


# With each of these names several encodings make words of the bytes, or the likely one is wrong.
DOUBTED = [
    (FRENCH, "cp1252"),
    (FRENCH, "mac_roman"),
    (GERMAN, "mac_roman"),
    (["Müller", "Café", "Weiß"], "cp850"),
    (["Łódź", "Żabka", "Gdańsk", "Święty"], "cp1250"),
    (["Łódź", "Żabka", "Gdańsk", "Święty"], "iso8859_2"),
    (RUSSIAN, "cp1251"),
    (RUSSIAN, "koi8_r"),
    (["Nüsse"] * 50, "cp1252"),
]


@pytest.mark.parametrize(("names", "encoding"), DOUBTED)
def test_no_encoding_is_guessed(names: list[str], encoding: str) -> None:
    content = named(names, encoding)
    parsed = parse(content, None)
    assert (names_of(parsed), len(parsed.bad)) == ([], len(names))
    assert names_of(parse(content, None, Form(encoding))) == names
    assert parse(content, None, Form(encoding)).bad == []
    assert recognised([b"caf\xe9", b"caf\xe8"]) is None


def test_what_the_encoding_does_not_have_is_a_bad_row() -> None:
    parsed = parse(named(FRENCH, "cp1252") + b"x,\x81,,,,2025-10-14\n", None, Form("cp1252"))
    assert names_of(parsed) == FRENCH
    assert [bad.reason for bad in parsed.bad] == ["the byte 0x81 is no cp1252"]
    # of what is called Latin-1, Windows has more characters
    form = Form.of("ISO-8859-1")
    assert names_of(parse(named(GERMAN, "cp1252"), None, form)) == GERMAN
    with pytest.raises(IngestError, match="it is not utf-16"):
        parse(named(FRENCH, "utf-16")[:-1], None)


def test_another_encoding_is_another_file(tidemark: Tidemark) -> None:
    """Told after the file has landed, it brings the rows that were set aside."""
    tidemark.deliver("crm.csv", named(FRENCH, "cp1252"))
    told = tidemark.json()["crm.csv"]
    assert (told["status"], told["rows"], told["bad"]) == ("landed", 1, len(FRENCH))
    assert tidemark.json()["crm.csv"]["status"] == "skipped"
    ran = tidemark("--encoding", "windows-1252", "--json")
    (told,) = json.loads(ran.stdout)["files"]
    assert (told["status"], told["rows"], told["bad"]) == ("landed", 1 + len(FRENCH), 0)
    # what is the same text either way is the same file
    tidemark.deliver("crm.csv", companies(3))
    assert tidemark.json()["crm.csv"]["status"] == "landed"
    ran = tidemark("--encoding", "cp1252", "--json")
    assert json.loads(ran.stdout)["files"][0]["status"] == "skipped"


@pytest.mark.parametrize("option", [("--delimiter", ";"), ("--delimiter", "tab")])
def test_the_delimiter_can_be_told(tidemark: Tidemark, option: tuple[str, str]) -> None:
    delimiter = {"tab": "\t"}.get(option[1], option[1])
    tidemark.deliver("crm.csv", text(ACME, COBALT).replace(b",", delimiter.encode()))
    reason = tidemark.json(exit_code=1)["crm.csv"]["reason"]
    assert "it was read as UTF-8 with ',' between fields" in reason
    assert reason.endswith("; if that is wrong, say --encoding or --delimiter")
    (told,) = json.loads(tidemark(*option, "--json").stdout)["files"]
    assert (told["status"], told["rows"]) == ("landed", 2)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--encoding", "utf-9"), "The encoding 'utf-9' is not known"),
        (("--encoding", "hex"), "The encoding 'hex' is not known"),
        (("--delimiter", ";;"), "The delimiter ';;' is no single character"),
        (("--delimiter", '"'), "is no single character between fields"),
    ],
)
def test_a_form_that_no_file_has(tidemark: Tidemark, option: tuple[str, str], says: str) -> None:
    tidemark.deliver("crm.csv", text(ACME))
    ran = tidemark(*option)
    assert (ran.exit_code, says in ran.stderr) == (1, True), ran.stderr


# ---- quotes ----

PHANTOM = "phantom,Phantom,US,x,,2025-10-14"
BETWEEN = [f"c{number},Company,DE,saas,,2025-10-14" for number in range(50)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (['b,"Quality Foods,DE,saas,,2025-10-14', *BETWEEN, 'z,Rack 19",DE,saas,,2025-10-14'], ""),
        (['b,"Quality Foods,DE,saas,,2025-10-14', 'z,Rack 19",DE,saas,,2025-10-14'], ""),
        (['b,Foods,"DE,saas,,2025-10-14', PHANTOM, 'z,Rack,19",saas,,2025-10-14'], ""),
        (['"b,Foods,DE,saas,,2025-10-14', PHANTOM, 'z",Rack,DE,saas,,2025-10-14'], ""),
        (['b,"Foods,DE,saas,,2025-10-14', 'c,"",DE,x,,2025-10-14', 'z,"",DE",x,,2025-10-14'], ""),
        (['b,"Foods,DE,saas,,2025-10-14', PHANTOM, 'c,"Foo, Inc",DE,x,,2025-10-14'], ","),
        (['b,"Foods,DE,saas,,2025-10-14', PHANTOM, '"c","Foo","DE","x","","2025-10-14"'], ","),
        (['b,"Fo"ods,DE,"saas,,2025-10-14', PHANTOM, 'c,C,DE,x",,2025-10-14'], ","),
        (['b,B,DE,saas,"2025-08-30,2025-10-14', PHANTOM, 'c,C,DE,x,",2025-10-14'], ""),
        (['b,B,DE,saas,,"2025-10-14', PHANTOM, 'c,C,DE,x,,2025-10-14"'], ""),
    ],
)
def test_rows_within_a_quote_are_a_bad_row_that_names_their_lines(
    rows: list[str], reason: str, end: str
) -> None:
    content = text(ACME, *rows, COBALT, end=end)
    parsed = parse(content, None)
    assert [row[0] for row in parsed.rows] == ["acme", "cobalt"]
    (bad,) = parsed.bad
    assert bad.line == 3
    assert bad.reason.endswith(f"(lines 3 to {len(rows) + 2})")
    assert (reason or "a quote that is not closed has swallowed the rows after it") in bad.reason
    assert bad.record == "".join(f"{row}{end}" for row in rows)


@pytest.mark.parametrize(
    "row",
    [
        # line breaks that swallow nothing, in any field, also where there are commas
        'b,"Quality,\nFoods, Inc,\n""the"" one, of Köln",DE,saas,,2025-10-14',
        '"b\nc",B,DE,saas,,2025-10-14',
        'b,"\n\n",DE,"a\nb",,2025-10-14',
        'b,Rack 19",DE,saas,,2025-10-14',
    ],
)
def test_line_breaks_alone_swallow_nothing(row: str) -> None:
    header = f'{HEADER},"notes\nof ours"'
    assert len(parse(text(f"{ACME},", header=header), None).rows) == 1
    parsed = parse(text(ACME, row, COBALT), None)
    assert (len(parsed.rows), parsed.bad) == (3, [])
    noted = text(f'{ACME},"note', 'more, of it"', f"{COBALT},", header=f"{HEADER},note")
    assert len(parse(noted, None).rows) == 2


def test_rows_within_the_header_fail_the_file() -> None:
    for rows in ([f"{PHANTOM},", f'{ACME},"'], [f'{ACME},a note"']):
        content = text(*rows, f"{COBALT},", header=f'{HEADER},"notes')
        with pytest.raises(IngestError, match="a quote in its header is not closed before line"):
            parse(content, None)


@given(
    st.lists(
        st.sampled_from(['"', '""', ",", "\n", "\r\n", "x", "acme,", PHANTOM, f"{PHANTOM}\n", "é"]),
        max_size=12,
    ),
    st.sampled_from(["utf-8", "latin-1"]),
)
def test_whatever_stands_between_is_told(parts: list[str], encoding: str) -> None:
    """Every line is in a good row, in a bad one, or blank, or the file fails: none is lost."""
    between = "".join(parts)
    content = text(ACME, between, COBALT).decode().encode(encoding)
    try:
        parsed = parse(content, None)
    except IngestError as error:
        assert "ends within the row" in str(error)  # noqa: PT017
        return
    assert parsed.rows[0][0] == "acme"
    ids = [row[0] for row in parsed.rows]
    kept = "".join(bad.record for bad in parsed.bad)
    assert ids[-1] == "cobalt" or COBALT in kept
    lines = [line for line in between.splitlines() if line.startswith(PHANTOM)]
    assert ids.count("phantom") <= len(lines)
    for row in parsed.rows:
        assert not any("2025-10-14" in (field or "") and "\n" in (field or "") for field in row[:4])


@pytest.mark.parametrize("size", [140_000, LONGEST + 1, 3 * LONGEST])
def test_nothing_within_a_long_field_is_taken_for_rows(size: int) -> None:
    filler = f"{'x' * 9_999}\n" * (size // 10_000)
    for last in ("", '"" and ""\n', 'and "", then\n'):
        long = f'big,"{filler}{PHANTOM}\n{last}",US,"also\n{PHANTOM}\n",,2025-10-14'
        parsed = parse(text(ACME, long, COBALT), None)
        assert [row[0] for row in parsed.rows] == ["acme", "cobalt"]
        (bad,) = parsed.bad
        assert (bad.line, f"(lines 3 to {long.count(chr(10)) + 3})" in bad.reason) == (3, True)
        assert len(bad.record) <= LONGEST
    with pytest.raises(IngestError, match="ends within the row of line 3"):
        parse(text(ACME, f'big,"{filler}{PHANTOM}'), None)


@pytest.mark.parametrize(("size", "is_good"), [(LONGEST - 100, True), (LONGEST, False)])
def test_a_long_field_is_a_name_like_any_other_up_to_a_limit(size: int, is_good: bool) -> None:
    filler = f"{'x' * 99}\n" * (size // 100)
    parsed = parse(text(ACME, f'big,"{filler}{"x" * 99}",US,x,,2025-10-14', COBALT), None)
    assert (len(parsed.rows), len(parsed.bad)) == (2 + is_good, not is_good)


def test_a_line_that_is_too_long_fails_its_file() -> None:
    with pytest.raises(IngestError, match="line 3 has more than 1,048,576 characters"):
        parse(text(ACME, "x" * (LONGEST + 1), COBALT), None)


# ---- ids ----


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", "\u2003", "\u3000", "\u2028", "\x85"])
def test_ids_lose_the_white_space_around_them(tidemark: Tidemark, space: str) -> None:
    rows = [
        f"{space}{ACME}",
        COBALT.replace("cobalt", f"cobalt{space}"),
        f"a{space}b,,,,,2025-10-14",
    ]
    tidemark.deliver("crm.csv", text(*rows, f"{space},blank,,,,2025-10-14"))
    told = tidemark.json()["crm.csv"]
    assert (told["rows"], told["bad"], told["trimmed"]) == (3, 1, 2)
    assert told["warnings"][0] == (
        "company ids with white space around them, which was taken off: 2"
    )
    ((_, landed),) = tidemark.landed()
    assert [row["company_id"] for row in landed] == ["acme", "cobalt", f"a{space}b"]
    assert tidemark.rejected()[0]["reason"] == "company_id is empty"
    (report,) = tidemark.landing.reports().values()
    assert report.figures["trimmed_ids"] == 2


# ---- what a file costs ----


def test_a_larger_file_takes_no_more_memory(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crm, "_BATCH_ROWS", 100)

    def most(rows: int) -> int:
        """The most bytes that a file of so many good and bad rows takes at a time."""
        good = (f"company-{number},Name,US,retail,,2025-10-14" for number in range(rows))
        tidemark.deliver("crm.csv", text(*good, *["company,too few,US,retail"] * rows))
        tracemalloc.start()
        told = tidemark.json()["crm.csv"]
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (told["rows"], told["bad"]) == (rows, rows)
        return held

    # what is imported and cached the first time
    most(500)
    assert most(4_000) < 1.5 * most(1_000)
    *_, (_, rows) = sorted(tidemark.landed(), key=lambda landed: len(landed[1]))
    assert len({row["company_id"] for row in rows}) == 4_000


def test_the_name_tells_the_load_date_where_no_column_does() -> None:
    without = text("acme,Acme,US,x,", header="company_id,name,country,industry_tag,last_contact_at")
    assert parse(without, DAY).load_date == DAY
    with pytest.raises(IngestError, match="its header lacks load_date"):
        parse(without, None)
    parsed = parse(text(ACME), date(2025, 10, 15))
    assert parsed.load_date == DAY
    assert parsed.warnings == ["its name says 2025-10-15, its rows say 2025-10-14"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(text(), "no rows", id="a header alone"),
        pytest.param(b'"company_id', "its header cannot be read", id="a broken header"),
        pytest.param(
            text(ACME).decode().encode("utf-16-le"),
            r"lacks company_id, .* it is 'c\\x00.*it was read as UTF-8 .* --encoding",
            id="UTF-16 without a mark",
        ),
        pytest.param(
            text(ACME, header=HEADER.replace("name", "n\xe4me")).decode().encode("latin-1"),
            r"lacks name; it is .*n\\udce4me.*it was read as UTF-8",
            id="a header of another encoding",
        ),
        pytest.param(
            text(ACME, header=HEADER.replace("name", "title")), "lacks name;", id="renamed"
        ),
        pytest.param(
            text(ACME, header=HEADER.replace(",", ";")), "it is 'company_id;", id="commas"
        ),
        pytest.param(
            text(ACME, header=HEADER.replace("name", "country")),
            "country more than once",
            id="twice",
        ),
        pytest.param(
            text(ACME, COBALT.replace("10-14", "10-13")),
            "more than one load date, 2025-10-13 to 2025-10-14",
            id="two days",
        ),
        pytest.param(text(ACME, 'cobalt,"Cob'), "ends within the row of line 3", id="cut short"),
        pytest.param(text(",,,,,2025-10-14"), "none of its 1 rows can be used", id="no good row"),
    ],
)
def test_a_file_that_cannot_be_used(content: bytes, says: str) -> None:
    with pytest.raises(IngestError, match=says):
        parse(content, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Acme,US,x,,2025-10-14", "company_id is empty"),
        ("acme,Acme,US,x,2025-10-14", "5 fields in place of 6"),
        ("acme,Acme,US,x,,2025-10-14,more", "7 fields in place of 6"),
        ("acme,Acme,US,x,30.08.2025,2025-10-14", "last_contact_at: '30.08.2025' is not an ISO"),
        ("acme,Acme,US,x,,14.10.2025", "load_date: '14.10.2025' is not a date"),
        ('acme,"Acme" Inc,US,x,,2025-10-14', "',' expected after '\"'"),
    ],
)
def test_a_bad_row_is_kept_with_its_line_and_its_reason(
    tidemark: Tidemark, row: str, reason: str
) -> None:
    tidemark.deliver("crm.csv", text(ACME, row, COBALT))
    told = tidemark.json()["crm.csv"]
    assert (told["status"], told["rows"], told["bad"]) == ("landed", 2, 1)
    assert told["warnings"][0].startswith("bad rows are kept in rejected/crm/")
    ((_, rows),) = tidemark.landed()
    assert [row["company_id"] for row in rows] == ["acme", "cobalt"]
    (kept,) = tidemark.rejected()
    assert (kept["line"], kept["record"]) == ("3", f"{row}\n")
    assert kept["reason"].startswith(reason)


# ---- deliveries ----


def test_a_file_lands_with_the_raw_tables_columns(tidemark: Tidemark) -> None:
    tidemark.deliver("crm_2025-10-14.csv", text(ACME, COBALT))
    ran = tidemark()
    assert ran.exit_code == 0
    assert "crm_2025-10-14.csv   2025-10-14      2          0   landed" in ran.stdout
    ((name, rows),) = tidemark.landed()
    assert name == "crm-2025-10-14"
    assert rows[0] == {
        "company_id": "acme",
        "name": "Acme",
        "country": "US",
        "industry_tag": "manufacturing",
        "last_contact_at": datetime(2025, 8, 30, 15),
        "load_date": DAY,
        "loaded_at": CLOCK,
    }
    (report,) = tidemark.landing.reports().values()
    assert (report.job, report.status, report.records) == ("crm", "success", 2)


def test_the_same_bytes_are_skipped_and_a_new_delivery_supersedes(tidemark: Tidemark) -> None:
    tidemark.deliver("crm_2025-10-14.csv", companies(10))
    tidemark.json()
    told = tidemark.json()["crm_2025-10-14.csv"]
    assert (told["status"], told["reason"]) == ("skipped", "the same bytes have landed before")
    tidemark.deliver("crm_2025-10-14.csv", companies(11))
    told = tidemark.json()["crm_2025-10-14.csv"]
    assert (told["status"], told["reason"]) == (
        "landed",
        "supersedes what landed 2025-10-15 02:00 UTC",
    )
    assert [(name, len(rows)) for name, rows in tidemark.landed()] == [
        ("crm-2025-10-14", 10),
        ("crm-2025-10-14", 11),
    ]
    # what was corrected is taken back
    tidemark.deliver("crm_2025-10-14.csv", companies(10))
    assert tidemark.json()["crm_2025-10-14.csv"]["status"] == "landed"
    assert [len(rows) for _, rows in tidemark.landed()] == [10, 11, 10]
    tidemark.deliver("crm_2025-10-14.csv", companies(11))
    tidemark.json()
    # both versions lie in the folder: neither lands again
    tidemark.deliver("crm_2025-10-14_first.csv", companies(10))
    assert {file["status"] for file in tidemark.json().values()} == {"skipped"}


def test_the_same_bytes_of_another_day_are_another_file(tidemark: Tidemark) -> None:
    content = text("acme,Acme,US,x,", header="company_id,name,country,industry_tag,last_contact_at")
    tidemark.deliver("crm_2025-10-13.csv", content)
    tidemark.deliver("crm_2025-10-14.csv", content)
    assert {file["status"] for file in tidemark.json().values()} == {"landed"}
    assert [name for name, _ in tidemark.landed()] == ["crm-2025-10-13", "crm-2025-10-14"]


@pytest.mark.parametrize(
    ("number", "warnings"), [(18, []), (17, ["17 rows, after 20 in 2025-10-13"])]
)
def test_a_file_that_lost_rows_is_a_warning(
    tidemark: Tidemark, number: int, warnings: list[str]
) -> None:
    tidemark.deliver("crm_2025-10-13.csv", companies(20, "2025-10-13"))
    # what was delivered for a later day does not count
    tidemark.deliver("crm_2025-10-15.csv", companies(18, "2025-10-15"))
    tidemark.json()
    tidemark.deliver("crm_2025-10-14.csv", companies(number))
    told = tidemark.json()["crm_2025-10-14.csv"]
    assert (told["status"], told["warnings"]) == ("landed", warnings)


def test_a_bad_file_fails_alone(tidemark: Tidemark) -> None:
    tidemark.deliver("crm_2025-10-13.csv", text())
    tidemark.deliver("crm_2025-10-14.csv", text(ACME, COBALT, "acme"))
    told = tidemark.json(exit_code=1)
    assert told["crm_2025-10-13.csv"]["reason"] == "no rows"
    assert told["crm_2025-10-14.csv"]["status"] == "landed"
    (report,) = tidemark.landing.reports().values()
    assert (report.status, report.error) == ("failed", "crm_2025-10-13.csv: no rows")
    assert report.figures["bad_rows"] == 1


def test_new_columns_are_reported(tidemark: Tidemark) -> None:
    tidemark.deliver("crm.csv", text(f"{ACME},gold", header=f"{HEADER},plan"))
    ran = tidemark()
    assert "crm.csv: columns that the raw table does not have: plan." in ran.stdout


def test_what_is_compressed_is_read(tidemark: Tidemark) -> None:
    tidemark.deliver("crm_2025-10-14.csv.gz", gzip.compress(text(ACME, COBALT)))
    assert tidemark.json()["crm_2025-10-14.csv.gz"]["rows"] == 2
    # the same, packed another time or not at all, is the same
    tidemark.deliver("crm_2025-10-14.csv.gz", gzip.compress(text(ACME, COBALT), mtime=7))
    tidemark.deliver("crm_2025-10-14.CSV", text(ACME, COBALT))
    assert {file["status"] for file in tidemark.json().values()} == {"skipped"}
    packed = gzip.compress(companies(1000))
    for broken in (packed[:-9], packed[:12], packed[:20] + b"x" + packed[21:]):
        tidemark.deliver("broken.csv.gz", broken)
        reason = tidemark.json(exit_code=1)["broken.csv.gz"]["reason"]
        assert "it is compressed by gzip, and not whole" in reason


def test_what_lies_there_and_is_not_read_is_named(tidemark: Tidemark) -> None:
    folder = Path(tidemark.source)
    tidemark.deliver("crm.csv", text(ACME))
    for name in ("crm.tsv", "crm.zip", "notes.txt", ".partial.csv", "crm.csv.bak", "crm"):
        tidemark.deliver(name, b"ours")
    (folder / "2025").mkdir()
    (folder / "folder.csv").mkdir()
    (folder / "gone.csv").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.csv")
    told = tidemark.json()
    assert told.pop("crm.csv")["status"] == "landed"
    assert {name: file["reason"].partition(" ")[0] for name, file in told.items()} == {
        "2025": "a",
        "crm": "its",
        "crm.csv.bak": "its",
        "crm.tsv": "its",
        "crm.zip": "its",
        "folder.csv": "a",
        "gone.csv": "no",
        "notes.txt": "its",
        "pipe.csv": "no",
    }
    assert {file["status"] for file in told.values()} == {"not read"}
    ran = tidemark()
    assert "Read 1 file: 1 skipped, 9 not read; 0 rows." in ran.stdout
    report = next(iter(tidemark.landing.reports().values()))
    assert (report.status, report.figures["files"], report.figures["ignored_files"]) == (
        *("success", 1),
        9,
    )
    # where nothing is read, what is there is named as well
    (folder / "crm.csv").unlink()
    assert "It holds 2025, crm, crm.csv.bak, crm.tsv, crm.zip and 4 more." in tidemark().stderr


def test_a_file_may_have_any_name(tidemark: Tidemark) -> None:
    names = [b"crm_\xe9.csv", b"line\nbreak.csv", b"x" * 250 + b".csv"]
    for name in names:
        (Path(tidemark.source) / os.fsdecode(name)).write_bytes(text(ACME, "bad"))
    told = tidemark.json()
    assert list(told) == ["crm_\\xe9.csv", "line\\nbreak.csv", "x" * 250 + ".csv"]
    # the second and third are the same bytes under other names
    assert [file["status"] for file in told.values()] == ["landed", "skipped", "skipped"]
    tidemark.deliver("y" * 250 + ".csv", text(COBALT, "bad"))
    assert tidemark.json()["y" * 250 + ".csv"]["status"] == "landed"


@pytest.mark.parametrize("source", ["nowhere", "."])
def test_nothing_delivered_is_a_failure(tidemark: Tidemark, tmp_path: Path, source: str) -> None:
    tidemark.source = str(tmp_path / source)
    ran = tidemark()
    assert ran.exit_code == 1
    assert "is no CSV file, and no folder that holds one" in ran.stderr
    (report,) = tidemark.landing.reports().values()
    assert (report.job, report.status) == ("crm", "failed")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"crm_2025-10-14_\xff\xfe.csv", id="not UTF-8"),
        pytest.param(b"crm_2025-10-14_" + b"x" * 235 + b".csv", id="254 characters"),
        pytest.param(b"crm_2025-10-14_" + "\u00e9".encode() * 110 + b".csv", id="long in bytes"),
    ],
)
def test_names_that_are_hard_to_write_down(tidemark: Tidemark, name: bytes) -> None:
    tidemark.deliver(os.fsdecode(name), text(ACME, "cobalt,too,few"))
    tidemark.deliver("crm_2025-10-15.csv", companies(2, "2025-10-15"))
    ran = tidemark()
    assert ran.exit_code == 0, ran.output
    assert [name for name, _ in tidemark.landed()] == ["crm-2025-10-14", "crm-2025-10-15"]
    assert len(tidemark.rejected()) == 1
    (report,) = tidemark.landing.reports().values()
    assert (report.status, report.records) == ("success", 3)
    # and it is known again
    assert [file["status"] for file in tidemark.json().values()] == ["skipped", "skipped"]


def test_a_signed_address_is_not_repeated(tmp_path: Path) -> None:
    with serving_files(tmp_path) as url:
        (tmp_path / "crm_2025-10-14.csv").write_bytes(text(ACME, "cobalt,too,few"))
        address = f"{url}/crm_2025-10-14.csv?X-Amz-Signature=opensesame"
        tidemark = Tidemark(Landing(str(tmp_path / "landing")), address)
        ran = tidemark()
        assert (ran.exit_code, "crm_2025-10-14.csv" in ran.stdout) == (0, True), ran.output
        tidemark.source = address.replace("crm_", "no_")
        missing = tidemark()
        assert missing.exit_code == 1
    kept = [path for path in Path(tidemark.landing.root).rglob("*") if path.is_file()]
    told = ran.output + missing.output + str(kept)
    assert "opensesame" not in told
    assert all(b"opensesame" not in path.read_bytes() for path in kept)


@contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_files_come_from_a_bucket(bucket: str) -> None:
    import fsspec

    files = fsspec.filesystem("s3", use_listings_cache=False)
    exports = f"{bucket}/exports"
    files.pipe_file(f"{exports}/crm_2025-10-14.csv", text(ACME, COBALT))
    files.pipe_file(f"{exports}/notes.txt", b"ours")
    tidemark = Tidemark(Landing(f"{bucket}/area"), exports)
    files.pipe_file(f"{exports}/2025/crm.csv", text(ACME))
    assert {name: file["status"] for name, file in tidemark.json().items()} == {
        "crm_2025-10-14.csv": "landed",
        "2025": "not read",
        "notes.txt": "not read",
    }
    # one more comes while the process lives
    files.pipe_file(f"{exports}/crm_2025-10-15.csv", companies(2, "2025-10-15"))
    told = tidemark.json()
    assert [file["status"] for file in told.values()][:2] == ["skipped", "landed"]
    tidemark.source = f"{exports}/crm_2025-10-15.csv"
    assert [file["status"] for file in tidemark.json().values()] == ["skipped"]
    tidemark.source = f"{bucket}/elsewhere"
    assert tidemark().exit_code == 1


# ---- faults ----


@dataclass(frozen=True)
class Fault:
    """What is delivered, what is said of it, and which companies land."""

    name: str
    content: bytes
    says: str
    landed: tuple[str, ...] = ("acme", "cobalt")
    file: str = "crm.csv"


FAULTS = [
    Fault(
        "CRM: a byte that is no UTF-8",
        text(ACME, "nuss,N\xfcsse,DE,x,,2025-10-14", COBALT).decode().encode("latin-1"),
        r"rows with bytes that are no UTF-8: 1; .* say which one with --encoding",
    ),
    Fault(
        "CRM: another encoding, in doubt",
        text(ACME, *(f"{name},{name},,,,2025-10-14" for name in FRENCH), COBALT)
        .decode()
        .encode("cp1252"),
        r"rows with bytes that are no UTF-8: 5; .* say which one with --encoding",
    ),
    Fault(
        "CRM: another encoding, without a doubt",
        text(ACME, *(f"c,{name},,,,2025-10-14" for name in JAPANESE), COBALT)
        .decode()
        .encode("cp932"),
        "it is not UTF-8 and was read as cp932, which it seems to be; if it is not, say",
        ("acme", "c", "cobalt"),
    ),
    Fault(
        "CRM: another delimiter",
        text(ACME, COBALT).replace(b",", b";"),
        "between fields; if that is wrong, say --encoding or --delimiter",
        (),
    ),
    Fault(
        "CRM: a quote that is not closed",
        text(
            ACME,
            'b,"Quality Foods,DE,x,,2025-10-14',
            PHANTOM,
            'z,Rack 19",DE,x,,2025-10-14',
            COBALT,
        ),
        r"bad rows are kept in rejected/crm",
    ),
    Fault(
        "CRM: a quote that is never closed",
        text(ACME, 'b,"Quality Foods,DE,x,,2025-10-14', PHANTOM, COBALT),
        r"the file ends within the row of line 3",
        (),
    ),
    Fault(
        "CRM: a field of two million characters",
        text(ACME, f'b,"{f"{PHANTOM}{chr(10)}" * 60_000}",,,,2025-10-14', COBALT),
        r"bad rows are kept in rejected/crm",
    ),
    Fault(
        "CRM: ids with white space",
        text(f" {ACME}", COBALT.replace("cobalt", "cobalt\u00a0")),
        r"company ids with white space around them, which was taken off: 2",
    ),
    Fault(
        "CRM: a gzip file cut short",
        gzip.compress(text(ACME, COBALT))[:-9],
        r"it is compressed by gzip, and not whole",
        (),
        "crm.csv.gz",
    ),
    Fault(
        "CRM: nothing but files that are not read",
        text(ACME, COBALT),
        r"is no CSV file, and no folder that holds one\. It holds crm\.tsv\.",
        (),
        "crm.tsv",
    ),
]


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_a_fault(tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    tidemark.deliver(fault.file, fault.content)
    ran = tidemark()
    seen = " ".join(f"{ran.stderr} {ran.stdout}".split()).replace(f"{tidemark.source} ", "FOLDER ")
    assert re.search(fault.says, seen), seen
    assert ran.exit_code == (not fault.landed)
    landed = {row["company_id"] for _, rows in tidemark.landed() for row in rows}
    assert landed == set(fault.landed)
    (report,) = tidemark.landing.reports().values()
    said = "; ".join([*filter(None, [report.error]), *report.figures["warnings"]])
    if report.figures["bad_rows"]:
        said += f": {tidemark.rejected()[0]['reason']}"

    tidemark.deliver("crm.csv", text(ACME, COBALT, "nuss,Nüsse,DE,x,,2025-10-14"))
    assert tidemark.json(exit_code=int(fault.file == "crm.csv.gz"))["crm.csv"]["rows"] == 3
    if "TIDEMARK_KILLS" in os.environ:
        put_row(
            PROJECT / "docs" / "ingestion_faults.md",
            INGESTION_HEAD,
            fault.name,
            re.sub(r"\d{8}T\d{12}Z", "TIME", said.replace(tidemark.source, "FOLDER")),
            ", ".join(sorted(landed)) or "nothing",
            "lands all of the mended file",
        )
