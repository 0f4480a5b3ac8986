"""CRM files into the landing area: what is read, what is refused, what is skipped."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tidemark import cli
from tidemark.ingest import IngestError
from tidemark.ingest.crm import parse
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
        with kept.open(newline="") as lines:
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


@pytest.mark.parametrize(
    ("encoding", "warnings"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("latin-1", ["line 2 is not UTF-8, so the file was read as Latin-1"]),
    ],
)
def test_encodings(encoding: str, warnings: list[str]) -> None:
    content = text("nuss,Nüsse & Söhne,DE,retail,,2025-10-14").decode().encode(encoding)
    parsed = parse(content, None)
    assert [row[1] for row in parsed.rows] == ["Nüsse & Söhne"]
    assert parsed.warnings == warnings


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
            text(ACME).decode().encode("utf-16"),
            r"lacks company_id, .* it is 'ÿþc\\x00",
            id="UTF-16",
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


@pytest.mark.parametrize("source", ["nowhere", "."])
def test_nothing_delivered_is_a_failure(tidemark: Tidemark, tmp_path: Path, source: str) -> None:
    tidemark.source = str(tmp_path / source)
    ran = tidemark()
    assert ran.exit_code == 1
    assert "is no CSV file, and no folder that holds one" in ran.stderr
    (report,) = tidemark.landing.reports().values()
    assert (report.job, report.status) == ("crm", "failed")


def test_files_come_from_a_bucket(bucket: str) -> None:
    import fsspec

    files = fsspec.filesystem("s3", use_listings_cache=False)
    exports = f"{bucket}/exports"
    files.pipe_file(f"{exports}/crm_2025-10-14.csv", text(ACME, COBALT))
    files.pipe_file(f"{exports}/notes.txt", b"ours")
    tidemark = Tidemark(Landing(f"{bucket}/area"), exports)
    assert [file["status"] for file in tidemark.json().values()] == ["landed"]
    # one more comes while the process lives
    files.pipe_file(f"{exports}/crm_2025-10-15.csv", companies(2, "2025-10-15"))
    told = tidemark.json()
    assert [file["status"] for file in told.values()] == ["skipped", "landed"]
    tidemark.source = f"{exports}/crm_2025-10-15.csv"
    assert [file["status"] for file in tidemark.json().values()] == ["skipped"]
    tidemark.source = f"{bucket}/elsewhere"
    assert tidemark().exit_code == 1
