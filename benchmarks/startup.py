"""How long people wait for whole commands that have nothing to do, process and imports included."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FRESHNESS = "dbt source freshness"
HELP, STATUS, SKIPPED_RUN = "tidemark --help", "tidemark status", "tidemark run --json"
COMMANDS = (FRESHNESS, HELP, STATUS, SKIPPED_RUN)


@dataclass(frozen=True)
class Took:
    """Seconds on the wall, and of the processor."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} ({self.processor:.2f})"


def measure(folder: Path, rounds: int) -> dict[str, Took]:
    """The medians of each command, on the demo's seeds and a project parsed before."""
    folder.mkdir(parents=True)
    environment = {
        **os.environ,
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "TIDEMARK_DEMO_PATH": str(folder / "tidemark.duckdb"),
    }
    _run(SKIPPED_RUN, environment)
    for command in COMMANDS:
        _run(command, environment)
    times: dict[str, list[Took]] = {command: [] for command in COMMANDS}
    for _ in range(rounds):
        # In turns, so that whatever else the machine does strikes all of them.
        for command in COMMANDS:
            began, worked = time.perf_counter(), _processor_seconds()
            told = _run(command, environment)
            took = Took(time.perf_counter() - began, _processor_seconds() - worked)
            times[command].append(took)
            if command == SKIPPED_RUN and json.loads(told)["build"]["models"]:
                raise RuntimeError(f"{command} built something: it was to be measured skipping")
    return {
        command: Took(
            statistics.median(took.wall for took in each),
            statistics.median(took.processor for took in each),
        )
        for command, each in times.items()
    }


def _processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: str, environment: Mapping[str, str]) -> str:
    program, *arguments = command.split()
    ran = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{command} failed: {ran.stdout}{ran.stderr}")
    return ran.stdout
