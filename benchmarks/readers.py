"""A reader's questions while runs go on: of the warehouse's file, and of the published one.

    python benchmarks/readers.py --questions 500

The demo is built once. Then, for each file, one process asks a question after the other, each with
a connection of its own, as dashboards do, while `tidemark run` is called again and again with the
clock an hour on. What is counted: questions that met a lock, and runs that did. A further process
keeps a connection to the published file open all the time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FIRST = datetime(2025, 10, 15, 12)
SQL = "select count(*), sum(events), max(record_loaded_at) from marts.fact_events_daily"

READER = """
import duckdb, json, sys, time
path, sql, questions, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
told = {"answered": 0, "locked": 0, "wrong": 0, "states": []}
for _ in range(questions):
    try:
        with duckdb.connect(path, read_only=True) as connection:
            answer = connection.execute(sql).fetchone()
    except duckdb.IOException as error:
        told["locked" if "lock" in str(error) else "wrong"] += 1
    except Exception as error:
        told["wrong"] += 1
    else:
        told["answered"] += 1
        if str(answer) not in told["states"]:
            told["states"].append(str(answer))
    time.sleep(pause)
print(json.dumps({**told, "states": len(told["states"])}))
"""
HOLDER = """
import duckdb, sys
held = duckdb.connect(sys.argv[1], read_only=True)
first = held.execute(sys.argv[2]).fetchone()
for _ in sys.stdin:
    print(held.execute(sys.argv[2]).fetchone() == first, flush=True)
"""


def run(environment: dict[str, str], clock: datetime) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidemark", "run", "--target", "demo"]
    return subprocess.run(
        [*command, "--as-of", clock.isoformat()],
        cwd=PROJECT,
        env={**environment, "TIDEMARK_CONNECT_ATTEMPTS": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


def asked_while_runs_go_on(
    read: Path, environment: dict[str, str], clock: datetime, questions: int, pause: float
) -> tuple[str, Counter[str], float, datetime]:
    """What the reader tells, how the runs ended, how long it took, and the clock by then."""
    began, runs = time.perf_counter(), Counter[str]()
    command = [sys.executable, "-c", READER, str(read), SQL, str(questions), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        while reader.poll() is None:
            clock += timedelta(hours=1)
            ran = run(environment, clock)
            locked = "in use" in ran.stderr + ran.stdout or "lock" in ran.stderr
            runs[
                "ended well" if ran.returncode in (0, 3) else "locked" if locked else "failed"
            ] += 1
        told = reader.stdout.read() if reader.stdout else ""
    return told.strip(), runs, time.perf_counter() - began, clock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--pause", type=float, default=0.1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        warehouse, published = home / "tidemark.duckdb", home / "published.duckdb"
        own = {"TIDEMARK_DEMO_PATH": str(warehouse), "DBT_LOG_PATH": str(home / "logs")}
        environment = {**os.environ, **own, "DBT_PROFILES_DIR": str(PROJECT)}
        publishing = {**environment, "TIDEMARK_PUBLISH": str(published)}
        first = run(publishing, FIRST)
        assert first.returncode == 0, first.stdout + first.stderr
        holding = [sys.executable, "-c", HOLDER, str(published), SQL]
        with subprocess.Popen(
            holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            told = asked_while_runs_go_on(
                published, publishing, FIRST, given.questions, given.pause
            )
            kept, _ = holder.communicate("\n")
        print(f"the published file: {told[0]}; runs: {dict(told[1])}; {told[2]:.0f} s")
        print(f"a connection that was open all the time still has its state: {kept.strip()}")
        told = asked_while_runs_go_on(warehouse, environment, told[3], given.questions, given.pause)
        print(f"the warehouse itself: {told[0]}; runs: {dict(told[1])}; {told[2]:.0f} s")


if __name__ == "__main__":
    main()
