"""What `tidemark init` found and wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from tidemark.wiring import Step


def show_wiring(folder: Path, steps: Sequence[Step]) -> None:
    """One line for each part; below it what somebody has to write by hand."""
    typer.echo(f"The project in {folder}:")
    for step in steps:
        state = "there" if step.is_there else "written" if step.is_written else "missing"
        typer.echo(f"  {state:8} {step.file}: {step.what}")
    for step in (step for step in steps if step.is_missing):
        typer.echo(f"\nAdd to {step.file}:\n\n{step.text}")
    if any(step.is_written for step in steps):
        typer.echo(
            "\nNext: `dbt deps`; a loaded_at_field for the source; identity and ties of the staging"
            "\nview; a model with one of the strategies. The README of the package has all of it."
        )


def wiring_as_json(steps: Sequence[Step]) -> dict[str, Any]:
    """The same as JSON values."""
    return {"steps": [asdict(step) for step in steps]}
