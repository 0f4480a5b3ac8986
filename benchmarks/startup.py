"""How long people wait for whole commands that have nothing to do, process and imports included."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FRESHNESS = "dbt source freshness"
HELP, STATUS, SKIPPED_RUN = "tidemark --help", "tidemark status", "tidemark run --json"
COMMANDS = (FRESHNESS, HELP, STATUS, SKIPPED_RUN)


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Median wall seconds of each command, on the demo's seeds and a project parsed before."""
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
    seconds: dict[str, list[float]] = {command: [] for command in COMMANDS}
    for _ in range(rounds):
        # In turns, so that whatever else the machine does strikes all of them.
        for command in COMMANDS:
            began = time.perf_counter()
            told = _run(command, environment)
            seconds[command].append(time.perf_counter() - began)
            if command == SKIPPED_RUN and json.loads(told)["build"]["models"]:
                raise RuntimeError(f"{command} built something: it was to be measured skipping")
    return {command: statistics.median(each) for command, each in seconds.items()}


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
