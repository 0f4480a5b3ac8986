"""What really happens to runs: killed, stopped, locked out, starved, fed with broken sources.

Each test does it to a process of its own, repeats the command when the cause is gone, and compares
every mart with a full refresh. A few kills and signals are always tried; `make test-faults` tries
all, and writes docs/faults.md. `TIDEMARK_KILLS` sets how many kills, `TIDEMARK_SEED` when.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic

import pytest
from exact.marts import connect, place

from tidemark.engine import DbtError

from .ground import ALL_DOMAINS, AN_HOUR, AT_LENGTH, SEED_CLOCK, TWO_DOMAINS, Command, Ground
from .page import Page

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("TIDEMARK_KILLS", 1))
SEED = int(os.environ.get("TIDEMARK_SEED", random.randrange(10**6) if AT_LENGTH else 0))
at_length = pytest.mark.skipif(not AT_LENGTH, reason="only by make test-faults")

CLOCK = SEED_CLOCK + AN_HOUR
# The seeds have something new for every hour until then.
LAST_CLOCK = datetime(2025, 10, 16, 23)
# What the log says when a run is told to stop: as its build begins, and when so much of it is done.
MOMENTS = (
    *("dbt run-operation record_checks took", "model stg_fact_events:"),
    *("model fact_events_daily:", "model engagement_daily:"),
)
# Every so many kills hit a run of all domains, which takes twice as long.
ALL_DOMAINS_EVERY = 5


# ---- stopped ----


def test_killed_at_any_moment(ground: Ground, page: Page, capsys: pytest.CaptureFixture) -> None:
    """Hour after hour a run is killed somewhere in its build, and the next one takes over."""
    domains_of_all = ALL_DOMAINS if AT_LENGTH else TWO_DOMAINS
    drawn = random.Random(SEED)
    with capsys.disabled():
        print(f"\n{KILLS} kills, TIDEMARK_SEED={SEED}")
    lengths = {each: ground.length_of_build(each) for each in {TWO_DOMAINS, domains_of_all}}
    ground.restore(domains_of_all)
    clock, killed, differing, number = SEED_CLOCK, Counter[str](), 0, 0
    inside_a_mart = of_all_domains = 0
    while killed.total() < KILLS:
        number += 1
        clock += AN_HOUR
        if clock > LAST_CLOCK:
            ground.restore(domains_of_all)
            clock = SEED_CLOCK + AN_HOUR
        domains = domains_of_all if number % ALL_DOMAINS_EVERY == 0 else TWO_DOMAINS
        moment = drawn.uniform(0, lengths[domains])
        when, was_inside = kill(ground, clock, domains, moment)
        if when:
            killed[when] += 1
            inside_a_mart += was_inside
            of_all_domains += domains == ALL_DOMAINS
        wrong = ground.rerun(clock, domains)
        differing += wrong
        with capsys.disabled():
            at = f"{moment:.2f} of {lengths[domains]:.2f} s into the build of {clock:%d %H:%M}"
            print(f"{at}, {len(domains)} domains: {when or 'over by then'}; {wrong} rows differ")

    told = ", ".join(f"{times} {when}" for when, times in sorted(killed.items()))
    inside = f"{inside_a_mart} while a mart was being built"
    ((closed,),) = ground.sql(
        "select any_value(error_message) from ops.etl_job_runs"
        " where job_name = 'dbt build' and error_message like 'The run was killed%'"
    )
    counted = f"{KILLS} times: {told}; {inside}; {of_all_domains} in runs of all domains"
    with capsys.disabled():
        print(counted)
    seen = f"`Killed`, {counted}. The ledger, after the next run: {closed}"
    page.add("SIGKILL at drawn moments of a run of increments", seen, differing)
    if AT_LENGTH:
        assert len(killed) == 3, "the kills did not hit the whole length of a build"
        assert of_all_domains


def kill(
    ground: Ground, clock: datetime, domains: Sequence[str], moment: float
) -> tuple[str | None, bool]:
    """Kill a run some seconds into its build: how far it was, unless it was over by then."""
    before = "select max(ledger_entry) from ops.etl_job_runs"
    ((last_entry,),) = ground.sql(before)
    command = ground.start(clock, domains)
    began = command.wait_for_build()
    try:
        command.process.wait(max(0, began + moment - monotonic()))
    except subprocess.TimeoutExpired:
        command.tell(signal.SIGKILL)
    if command.end() != -signal.SIGKILL:
        return None, False
    committed = {
        job
        for (job,) in ground.look(
            "select job_name from ops.etl_job_runs"
            f" where ledger_entry > {last_entry} and job_type = 'model' and status = 'success'"
        )
    }
    new = set(re.findall(r"(\w+) is new$", command.log, re.MULTILINE))
    dbt_log = (command.folder / "dbt.log").read_text()
    begun = set(re.findall(r"Began executing node model\.tidemark\.(\w+)", dbt_log))
    where = "between the first and the last commit of a mart"
    if not committed:
        where = "before the first commit of a mart"
    elif committed >= new:
        where = "after the last commit of a mart"
    return where, bool(begun & new - committed)


@pytest.mark.parametrize(
    ("number", "called"),
    [(signal.SIGTERM, "SIGTERM"), pytest.param(signal.SIGINT, "Ctrl-C", marks=at_length)],
)
def test_told_to_stop(ground: Ground, page: Page, number: signal.Signals, called: str) -> None:
    """Wherever it is: a message, a failed run in the ledger if one had begun, nothing half done."""
    begun = differing = 0
    for moment in MOMENTS if AT_LENGTH else MOMENTS[1:2]:
        ground.restore()
        command = ground.start(CLOCK)
        command.wait_for(moment)
        command.tell(number)
        assert command.end() == 1, command.shown
        seen = message(command, f"Interrupted by {called}.*")
        assert "Traceback" not in command.log
        assert unfinished(ground) == [], command.log
        ended = ground.sql(
            "select status, error_message from ops.etl_job_runs"
            f" where job_name = 'dbt build' and as_of = '{CLOCK}' and status <> 'running'"
        )
        assert ended in ([], [("failed", f"Interrupted by {called}.")])
        begun += len(ended)
        differing += ground.rerun(CLOCK)
    assert begun
    page.add(f"{called} during the build", seen, differing)


@at_length
@pytest.mark.parametrize(
    ("number", "called"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")]
)
def test_told_to_stop_while_it_checks(
    ground: Ground, page: Page, number: signal.Signals, called: str
) -> None:
    command = ground.start(CLOCK)
    command.wait_for("dbt run-operation gate_facts took")
    command.tell(number)
    assert command.end() == 1
    seen = message(command, f"Interrupted by {called}.*")
    assert unfinished(ground) == []
    page.add(f"{called} while the sources are checked", seen, ground.rerun(CLOCK))


@at_length
def test_an_unfinished_run_in_the_ledger(ground: Ground, page: Page) -> None:
    ground.sql(
        "insert into ops.etl_job_runs by name "
        "select 1000 as ledger_entry, 'killed' as run_id, 'dbt build' as job_name, "
        "'model' as job_type, 'running' as status"
    )
    code, _ = ground.run(CLOCK)
    assert code == 0
    ((status, error),) = ground.sql(
        "select status, error_message from ops.etl_job_runs"
        " where run_id = 'killed' and status <> 'running'"
    )
    assert status == "failed"
    seen = f"nothing; the ledger, after the next run: {error}"
    page.add("a ledger with an unfinished `running` row", seen, ground.rerun(CLOCK))


# ---- locked out, starved ----


@at_length
def test_two_runs_at_once(ground: Ground, page: Page) -> None:
    """The second waits for its turn, or says who has the file."""
    first = ground.start(CLOCK)
    first.wait_for_build()
    second = ground.start(CLOCK, called="second")
    codes = [first.end(), second.end()]
    assert codes[0] == 0 or codes[1] == 0
    for command, code in zip((first, second), codes, strict=True):
        assert code == 0 or "The database is in use by" in command.shown, command.shown
    assert unfinished(ground) == []
    ended = "waited" if codes[1] == 0 else message(second, "The database is in use by.*")
    seen = f"the second: {ended}" + ("" if codes[0] == 0 else f"; the first: {first.shown}")
    page.add("two runs at once", seen, ground.rerun(CLOCK))


@at_length
def test_a_file_that_is_in_use(ground: Ground, page: Page) -> None:
    with connect(ground.path):
        command = ground.start(CLOCK)
        assert command.end() == 1
    seen = message(command, r"The database is in use by \S+ \(PID \d+\)\..*")
    seen = re.sub(r"PID \d+", "PID 4711", seen)
    page.add("a file that another program keeps open", seen, ground.rerun(CLOCK))


def namespace() -> list[str]:
    """What gives a command mounts of its own, if anything does here."""
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        try:
            if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            pass
    return []


# A disk of a size, with the database on it, under the path that it always has.
_ON_A_SMALL_DISK = """
folder=$1; size=$2; shift 2
aside=$folder.aside; mkdir "$aside"; cp "$folder"/* "$aside"
mount -t tmpfs -o "size=$size" tmpfs "$folder" && cp "$aside"/* "$folder" || exit 90
"$@"; code=$?
rm "$aside"/*; cp "$folder"/* "$aside"; umount "$folder"
rm "$folder"/*; cp "$aside"/* "$folder"; rm -r "$aside"
exit $code
"""
_READ_ONLY = 'folder=$1; shift; mount --bind "$folder" "$folder"'
_READ_ONLY += ' && mount -o remount,ro,bind "$folder" || exit 90; exec "$@"'


@at_length
# What is left when the gate begins: it fails at once, while it builds, at the build's end.
@pytest.mark.parametrize("left", [0, 300_000, 600_000])
def test_a_full_disk(ground: Ground, page: Page, left: int) -> None:
    size = ground.path.stat().st_size + left
    if wrapper := namespace():
        limit, how = (
            ["sh", "-c", _ON_A_SMALL_DISK, "sh", str(ground.path.parent), str(size)],
            "disk",
        )
    else:
        # the next best: no file may grow beyond that
        limit = ["sh", "-c", f'ulimit -f {size // 512}; exec "$@"', "sh"]
        how = "limit on files"
    command = ground.start(CLOCK, within=[*wrapper, *limit])
    code = command.end()
    print(command.shown)
    if code == 0:
        pytest.skip(f"an hour's increment fits into {left:,} bytes")
    assert code == 1, command.log
    assert "Traceback" not in command.log
    # the first failure is told first
    failure = r"(The \w+ \w+ failed:|Runtime Error|IO Error)(?:(?!─).)*?"
    seen = message(command, failure + "(No space left on device|File too large).*")
    page.add(f"a full {how}, {left // 1000} kB left", seen, ground.rerun(CLOCK))


@at_length
def test_a_read_only_folder(ground: Ground, page: Page) -> None:
    folder = ground.path.parent
    wrapper = []
    if os.geteuid() == 0:
        if not (wrapper := namespace()):
            pytest.skip("root writes everywhere, and may not mount a folder read-only here")
        wrapper += ["sh", "-c", _READ_ONLY, "sh", str(folder)]
    else:
        ground.path.chmod(0o444)
        folder.chmod(0o555)
    command = ground.start(CLOCK, within=wrapper)
    code = command.end()
    folder.chmod(0o755)
    ground.path.chmod(0o644)
    assert code == 1, command.log
    assert "Traceback" not in command.log
    seen = message(command, r"\S+ Error.*?(Read-only|Permission denied|read.only).*")
    page.add("a read-only folder", seen, ground.rerun(CLOCK))


# ---- the ledger and the clock ----


@at_length
def test_a_failing_post_hook(ground: Ground, page: Page) -> None:
    ((before,),) = ground.sql(f"select bit_xor(hash(t)) from {place(FACTS)} as t")
    ((create,),) = ground.sql(
        "select sql from duckdb_tables() where schema_name = 'ops' and table_name = 'etl_job_runs'"
    )
    # a ledger that refuses just this success: the hook fails after delete and insert
    refusal = f"check (job_name <> '{FACTS}' or status <> 'success' or as_of < '{CLOCK}')"
    ground.sql(
        "create table kept as from ops.etl_job_runs",
        "drop table ops.etl_job_runs",
        create.rstrip(");") + f", {refusal})",
        "insert into ops.etl_job_runs from kept",
    )
    command = ground.start(CLOCK)
    assert command.end() == 1
    seen = message(command, f"The model {FACTS} failed:.*")
    ((after,),) = ground.sql(f"select bit_xor(hash(t)) from {place(FACTS)} as t")
    assert after == before
    # `create table as` drops the constraint
    ground.sql("create or replace table ops.etl_job_runs as from ops.etl_job_runs")
    page.add("the post-hook of a model fails", seen, ground.rerun(CLOCK))


@at_length
def test_a_clock_that_goes_backwards(ground: Ground, page: Page) -> None:
    ground.succeed(CLOCK)
    entries = ground.sql("select count(*) from ops.etl_job_runs")
    command = ground.start(SEED_CLOCK + timedelta(minutes=30))
    assert command.end() == 1
    assert ground.sql("select count(*) from ops.etl_job_runs") == entries
    seen = message(command, "The clock of this run.*")
    later = CLOCK + AN_HOUR
    page.add("a clock that goes backwards", seen, ground.rerun(later))


@at_length
def test_a_snapshot_that_goes_backwards(ground: Ground, page: Page) -> None:
    ground.succeed(CLOCK)
    history = ground.sql("from marts.crm_companies order by all")
    with pytest.raises(DbtError) as refused:
        ground.call(SEED_CLOCK, "build", "--full-refresh")
    assert ground.sql("from marts.crm_companies order by all") == history
    seen = str(refused.value)
    page.add("a full refresh at an earlier clock, snapshots and all", seen, ground.rerun(CLOCK))


@at_length
def test_a_mistyped_folder(ground: Ground, page: Page) -> None:
    right = ground.path
    ground.path = right.parent / "nowhere" / right.name
    command = ground.start(CLOCK)
    assert command.end() == 1
    ground.path = right
    seen = message(command, "There is no folder.*")
    page.add("a folder that is not there", seen, ground.rerun(CLOCK))


@at_length
def test_a_wall_clock_that_was_ahead(ground: Ground, page: Page) -> None:
    """The machine's clock was set back by a year since the last run."""
    ground.sql(
        "update ops.etl_job_runs set started_at = started_at + interval 1 year,"
        " completed_at = completed_at + interval 1 year"
    )
    page.add("the machine's clock is set back by a year", "nothing", ground.rerun(CLOCK))


# ---- sources ----

FACTS = "fact_events_daily"
# what is said of the source, above the table of decisions
BLOCKED = r"fact_events \w.*?\.(?= decision )"
FAILED = f"The model {FACTS} failed:.*"


@at_length
@pytest.mark.parametrize(
    ("fault", "change", "code", "says"),
    [
        ("a source table is missing", "drop table raw.fact_events", 3, BLOCKED),
        (
            "a source without its column of load times",
            "alter table raw.fact_events drop column loaded_at",
            3,
            BLOCKED,
        ),
        (
            "a source without another of its columns",
            "alter table raw.fact_events drop column events",
            3,
            BLOCKED,
        ),
        (
            "text in a column of numbers",
            "alter table raw.fact_events alter column events type varchar using events || ' pcs'",
            1,
            r"raw\.fact_events has other types.*",
        ),
        (
            "a number that its type cannot hold",
            "alter table raw.fact_events alter column events type double;"
            " insert into raw.fact_events select * replace ('nan' as event_id, 'nan' as events)"
            " from raw.fact_events order by loaded_at desc limit 1",
            0,
            r"raw\.fact_events has other types.*",
        ),
        (
            "text in the column of load times",
            "alter table raw.fact_events alter column loaded_at type varchar"
            " using strftime(loaded_at, '%d.%m.%Y %H:%M')",
            3,
            BLOCKED,
        ),
        ("an empty source", "delete from raw.fact_events", 3, BLOCKED),
    ],
)
def test_a_broken_source(
    ground: Ground, page: Page, fault: str, change: str, code: int, says: str
) -> None:
    ground.sql("create table kept as from raw.fact_events", change)
    command = ground.start(CLOCK)
    assert (command.end(), "Traceback" in command.log) == (code, False), command.shown
    seen = message(command, says)
    if code == 3:
        seen += " " + message(command, "Blocked .*")
    # the other branch goes on
    ((others,),) = ground.sql(
        "select max(as_of) from ops.etl_job_runs"
        " where job_name = 'fct_engagement_metrics' and status = 'success'"
    )
    assert others == CLOCK
    ground.sql("create or replace table raw.fact_events as from kept")
    page.add(fault, seen, ground.rerun(CLOCK))


@at_length
def test_a_zero_time(ground: Ground, page: Page) -> None:
    """As Go and .NET send it for none."""
    ground.sql(
        "insert into raw.fact_events select * replace ('zero' as event_id,"
        f" timestamptz '0001-01-01 00:00:00+00' as event_timestamp, timestamp '{CLOCK}' as"
        " loaded_at) from raw.fact_events where company_id is not null limit 1"
    )
    differing = ground.rerun(CLOCK)
    ((reason,),) = ground.sql(
        "select quarantine_reason from ops.quarantined_rows where row_key like 'zero |%'"
    )
    page.add(
        "a zero time, 0001-01-01", f"nothing; `ops.quarantined_rows` says: {reason}", differing
    )


@at_length
def test_a_load_time_in_2099(ground: Ground, page: Page) -> None:
    total = f"select sum(events) from {place(FACTS)}"
    ground.sql(
        "insert into raw.fact_events select * replace ('far' as event_id, 5 as events,"
        " timestamp '2099-01-01' as loaded_at) from raw.fact_events where company_id is not null"
        f" and not coalesce(is_deleted, false) and event_timestamp < '{SEED_CLOCK}' limit 1"
    )
    differing = ground.rerun(CLOCK)
    ((before,),) = ground.sql(total)
    ((waiting,),) = ground.sql(
        "select cast(amount as integer) from ops.pipeline_health"
        " where metric = 'waiting_rows' and subject = 'fact_events'"
    )
    ((expected,),) = ground.sql(f"select count(*) from raw.fact_events where loaded_at > '{CLOCK}'")
    assert waiting == expected
    # somebody mends the load time, to one before the watermark, and the row counts
    mended = CLOCK - timedelta(minutes=15)
    ground.sql(f"update raw.fact_events set loaded_at = '{mended}' where event_id = 'far'")
    differing += ground.rerun(CLOCK)
    assert ground.sql(total) == [(before + 5,)]
    seen = f"nothing; `tidemark status` counts it among the {waiting} rows that wait"
    page.add("a load time in 2099", seen, differing)


# ---- what people see ----


def message(command: Command, pattern: str) -> str:
    """What people saw, from where a message begins; it must be there."""
    found = re.search(pattern, command.shown)
    assert found, f"no {pattern!r} in:\n{command.shown}\n{command.log}"
    return found[0]


def unfinished(ground: Ground) -> list[object]:
    """Runs that the ledger believes to go on."""
    return ground.sql(
        "select run_id from ops.etl_job_runs where job_name like 'dbt %' group by run_id"
        " having count(*) filter (where status = 'running')"
        " > count(*) filter (where status <> 'running')"
    )
