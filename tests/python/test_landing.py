"""The landing area, in a folder and in a bucket of a real S3 protocol."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemark.ingest.landing import JobReport, Landing, LandingError

LOADED_AT = datetime(2025, 10, 15, 2, 5, 0, 7)


@pytest.fixture(params=["folder", "bucket"])
def landing(request: pytest.FixtureRequest, tmp_path: Path) -> Landing:
    if request.param == "bucket":
        return Landing.at(f"{request.getfixturevalue('bucket')}/some/where/")
    return Landing.at(str(tmp_path / "some" / "where"))


def rows(*days: int) -> pa.Table:
    return pa.table({"day": list(days)})


def names(landing: Landing) -> list[str]:
    return [file.path for file in landing.files()]


def test_a_landed_file_is_listed_with_its_load_time_and_read_again(landing: Landing) -> None:
    assert landing.files() == []
    path = landing.land("usage_answers", rows(1, 2), "2025-10-14", LOADED_AT)
    assert path == "usage_answers/2025-10-15/20251015T020500000007Z-2025-10-14.parquet"
    (file,) = landing.files()
    assert (file.path, file.table, file.name) == (path, "usage_answers", "2025-10-14")
    assert file.loaded_at == LOADED_AT
    with landing.open(path) as opened:
        content = opened.read()
    assert len(content) == file.size
    assert pq.read_table(io.BytesIO(content)).to_pydict() == {"day": [1, 2]}
    # another process lands something: no listing is remembered
    Landing(landing.root).land("crm_daily", rows(1), "crm-2025-10-14", LOADED_AT)
    assert [file.table for file in landing.files()] == ["usage_answers", "crm_daily"]
    assert landing.files("crm_daily") == landing.files()[1:]


def test_files_come_in_the_order_of_their_load_times(landing: Landing) -> None:
    later = LOADED_AT + timedelta(days=40, microseconds=1)
    landing.land("usage_answers", rows(1), "2025-10-14", LOADED_AT)
    landing.land("crm_daily", rows(1), "crm-2025-11-24", later)
    landing.land("product_usage_daily", rows(1), "2025-10-14", LOADED_AT)
    tables = [file.table for file in landing.files()]
    assert tables == ["product_usage_daily", "usage_answers", "crm_daily"]


def test_no_answer_is_listed_without_its_rows(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if both land while the area is listed, folder by folder."""
    for table in ("product_usage_daily", "usage_answers"):
        landing.land(table, rows(1), "2025-10-13", LOADED_AT)
    store = type(landing._store)
    find = store.find

    def find_and_land(self: Any, folder: str) -> dict[str, int]:
        found: dict[str, int] = find(self, folder)
        for table in ("product_usage_daily", "usage_answers"):
            landing.land(table, rows(1), "2025-10-14", LOADED_AT)
        return found

    monkeypatch.setattr(store, "find", find_and_land)
    listed = {(file.table, file.name) for file in landing.files()}
    assert ("usage_answers", "2025-10-14") not in listed or len(listed) == 4
    # so it was the answers that were listed first
    assert ("product_usage_daily", "2025-10-14") in listed


def test_a_landed_file_never_changes(landing: Landing) -> None:
    path = landing.land("crm_daily", rows(1), "crm-2025-10-14", LOADED_AT)
    # a put whose answer was lost
    assert landing.land("crm_daily", rows(1), "crm-2025-10-14", LOADED_AT) == path
    with pytest.raises(LandingError, match="is there already, with other content"):
        landing.land("crm_daily", rows(2), "crm-2025-10-14", LOADED_AT)
    assert names(landing) == [path]
    with landing.open(path) as opened:
        assert pq.read_table(opened).num_rows == 1


def test_a_file_lands_as_rows_do(landing: Landing, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    pq.write_table(rows(1, 2), file)
    path = landing.land_file("crm_daily", file, "crm-2025-10-14", LOADED_AT)
    assert path == landing.path_of("crm_daily", "crm-2025-10-14", LOADED_AT)
    with landing.open(path) as opened:
        assert opened.read() == file.read_bytes()
    assert landing.land_file("crm_daily", file, "crm-2025-10-14", LOADED_AT) == path
    pq.write_table(rows(3), file)
    with pytest.raises(LandingError, match="is there already, with other content"):
        landing.land_file("crm_daily", file, "crm-2025-10-14", LOADED_AT)
    kept = landing.reject("crm", "bad.csv", file, "why")
    with landing.open(kept) as opened:
        assert opened.read() == file.read_bytes()


def test_what_was_rejected_is_kept_as_it_came(landing: Landing) -> None:
    path = landing.reject("usage", "2025-10-14.json", b"\xff{", "no JSON")
    assert path.startswith("rejected/usage/")
    assert path.endswith("-2025-10-14.json")
    with landing.open(path) as content, landing.open(f"{path}.reason.txt") as reason:
        assert (content.read(), reason.read()) == (b"\xff{", b"no JSON\n")
    assert landing.files() == []


def test_reports_are_read_as_they_were_left(landing: Landing) -> None:
    assert landing.reports() == {}
    early = JobReport("usage", LOADED_AT, LOADED_AT + timedelta(seconds=9), "success", 12)
    late = JobReport(
        "crm", LOADED_AT, LOADED_AT + timedelta(hours=1), "failed", 0, "no file", {"files": 0}
    )
    late_path, early_path = landing.report(late), landing.report(early)
    assert early_path == "jobs/20251015T020509000007Z-usage.json"
    assert list(landing.reports().items()) == [(early_path, early), (late_path, late)]
    assert landing.files() == []


def test_an_unreadable_report_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "20251015T020509000007Z-usage.json").write_text("{}")
    with pytest.raises(LandingError, match=r"20251015T\d+Z-usage\.json is no report"):
        Landing.at(str(tmp_path)).reports()


LANDED = "crm_daily/2025-10-15/20251015T020500000007Z-crm-2025-10-14.parquet"
# What other writers leave, and what nobody would look for.
UNREAD = [
    "20251015T020500000007Z-in-no-folder.parquet",
    "README",
    "crm_daily/2025-10-15/20251015T020500000007Z-crm.PARQUET",
    "crm_daily/2025-10-15/20251015T020500000007Z-crm.parquet.gz",
    "crm_daily/2025-10-15/20259915T020500000007Z-no-such-month.parquet",
    "crm_daily/2025-10-15/deeper/20251015T020500000007Z-crm.parquet",
    "crm_daily/2025-10-15/part-0000.snappy.parquet",
    "crm_daily/20251015T020500000007Z-without-a-day.parquet",
    "crm_daily/dt=2025-10-15/20251015T020500000007Z-crm.parquet",
    "jobs/20259915T020500000007Z-usage.json",
    "jobs/notes.txt",
]


def test_what_lies_there_and_is_not_read_is_named(landing: Landing) -> None:
    assert landing.listing().unread == []
    path = landing.land("crm_daily", rows(1), "crm-2025-10-14", LOADED_AT)
    assert path == LANDED
    landing.reject("crm", "crm.csv", b"", "why")
    landing.report(JobReport("crm", LOADED_AT, LOADED_AT, "success", 1))
    for each in [*UNREAD, "crm_daily/2025-10-15/.half.tmp", ".trash/crm.parquet"]:
        landing._put(each, b"ours")
    listing = landing.listing()
    assert [file.path for file in listing.files] == [LANDED]
    assert listing.unread == UNREAD
    assert len(landing.report_paths()) == 1


def test_names_that_only_a_folder_can_hold_are_named(tmp_path: Path) -> None:
    landing = Landing.at(str(tmp_path))
    folder = (tmp_path / landing.land("crm_daily", rows(1), "a", LOADED_AT)).parent
    (folder / os.fsdecode(b"20251015T020500000008Z-\xe9.parquet")).write_bytes(b"no text")
    (folder.parent / "2025-10-16").symlink_to(folder)
    (folder / "gone.parquet").symlink_to("nowhere")
    listing = landing.listing()
    assert [file.name for file in listing.files] == ["a"]
    assert listing.unread == [
        "crm_daily/2025-10-15/20251015T020500000008Z-\\xe9.parquet",
        "crm_daily/2025-10-15/gone.parquet",
        "crm_daily/2025-10-16",
    ]


def test_a_folder_that_cannot_be_listed_does_not_look_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing.at(str(tmp_path))
    landing.land("crm_daily", rows(1), "a", LOADED_AT)
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("2025-10-15"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(LandingError, match="cannot be read: Permission denied"):
        landing.files()


def test_the_root_is_an_option_or_a_variable_or_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = tmp_path / "project"
    monkeypatch.delenv("TIDEMARK_LANDING", raising=False)
    assert Landing.at(None, project).root == str(project / "landing")
    monkeypatch.setenv("S3_BUCKET_RAW_EVENTS", "bucket")
    assert Landing.at(None, project).root == "s3://bucket"
    monkeypatch.setenv("TIDEMARK_LANDING", "area")
    assert Landing.at(None, project).root == str(project / "area")
    monkeypatch.setenv("TIDEMARK_LANDING", "s3://raw/area/")
    assert Landing.at(None, project).root == "s3://raw/area"
    assert Landing.at("here", project).root == str(tmp_path / "here")


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named() -> None:
    with pytest.raises(LandingError, match=r"s3://no-such-bucket/.*cannot be written"):
        Landing.at("s3://no-such-bucket").land("crm_daily", rows(1), "a", LOADED_AT)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "crm_daily").write_text("a file in the way")
    with pytest.raises(LandingError, match=r"crm_daily/2025-10-15/.* cannot be written"):
        Landing.at(str(tmp_path)).land("crm_daily", rows(1), "a", LOADED_AT)


# Kills itself when it comes to a function for the nth time, before or after that is done.
_KILLED = """
import os, signal, sys
from datetime import datetime
import pyarrow as pa
from pathlib import Path
from typing import Any
from tidemark.ingest.landing import Landing
where, after, root = sys.argv[1], sys.argv[2] == "after", sys.argv[3]
place = Path if where == "rename" else os
real = getattr(place, where)
def die(*args, **options):
    done = real(*args, **options) if after else None
    os.kill(os.getpid(), signal.SIGKILL)
setattr(place, where, die)
Landing(root).land("crm_daily", pa.table({"day": [1]}), "a", datetime(2025, 10, 15))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_killed_landing_leaves_a_whole_file_or_none(
    tmp_path: Path, step: str, moment: str
) -> None:
    landing = Landing(str(tmp_path))
    # the folders are there, so that the first fsync is that of the file
    (tmp_path / landing.path_of("crm_daily", "a", datetime(2025, 10, 15))).parent.mkdir(
        parents=True
    )
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, step, moment, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    is_landed = (step, moment) == ("rename", "after")
    assert len(names(landing)) == is_landed
    path = landing.land("crm_daily", rows(1), "a", datetime(2025, 10, 15))
    assert names(landing) == [path]
