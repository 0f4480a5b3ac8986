"""Calling the project's command: arguments as a list, secrets and settings by the environment."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import Config, Failure

DONE, FAILED, BLOCKED, SKIPPED = 0, 1, 3, 99
# Dagster's own Python would mislead the project's.
_NOT_PASSED_ON = ("DAGSTER", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class Clock(Config):
    """The clock of a run: the target's own, unless it is said."""

    as_of: str | None = None


def project_dir() -> Path:
    """The project, as TIDEMARK_PROJECT_DIR says; else the one that this folder stands in."""
    return Path(os.environ.get("TIDEMARK_PROJECT_DIR", Path(__file__).parents[3]))


def manifest() -> Path:
    """What `dbt parse` has written. With seeds of the same name sources would not be told apart:
    that of another target than the demo's."""
    return Path(os.environ.get("TIDEMARK_MANIFEST", project_dir() / "target/manifest.json"))


def tidemark(*arguments: str, as_of: str | None = None, log: Any = None) -> dict[str, Any]:
    """What a command told. Raises Failure when it told nothing that could be read."""
    command = os.environ.get("TIDEMARK_COMMAND", str(project_dir() / ".venv/bin/tidemark"))
    target = os.environ.get("TIDEMARK_TARGET")
    asked = [*arguments, *(["--target", target] if target else [])]
    asked += ["--json", *([f"--as-of={as_of}"] if as_of else [])]
    env = {n: v for n, v in os.environ.items() if not n.startswith(_NOT_PASSED_ON)}
    ran = subprocess.run(
        [command, *asked], cwd=project_dir(), env=env, capture_output=True, text=True
    )
    if log is not None and ran.stderr.strip():
        log.info(ran.stderr)
    if not ran.stdout.strip():
        words = " ".join(re.sub("[─│╭╮╰╯]", " ", ran.stderr).split())
        raise Failure(f"tidemark {arguments[0]}: {words}", allow_retries=False)
    told: dict[str, Any] = json.loads(ran.stdout)
    if "error" in told:
        raise Failure(f"{told['error']} {told['untouched']}")
    return told


def looked(told: dict[str, Any]) -> dict[str, Any]:
    """The same, of a look: a table that could not be compared may lack anything."""
    if told["failures"] or told["not_compared"]:
        failed = [f"{each['node']}: {each['message']}" for each in told["failures"]]
        unknown = ", ".join(told["not_compared"])
        raise Failure(
            f"The look failed, so nothing is known. {' '.join(failed)}"
            f"{' Not compared: ' + unknown + '.' if unknown else ''}"
        )
    return told


def whole(variable: str, default: int, least: int = 1) -> int:
    """A setting of the environment that is a whole number."""
    text = os.environ.get(variable, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise Failure(f"{variable} is {text!r}, not a whole number from {least} on.")
    return int(text)


def selecting(names: Sequence[str]) -> list[str]:
    """Each name as an option of its own."""
    return [argument for name in names for argument in ("--select", name)]
