"""The wiring of the engine in a dbt project: what dbt lets only the root project say.

The macros of the package refuse to run without (packages/tidemark/macros/wiring.sql); here it is
found in the project's files, and written where it is missing. Nothing that is there is changed:
lines are added, and only where the file then reads as before with what was added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = "dbt_project.yml"
PACKAGES = "packages.yml"
DEPENDENCIES = "dependencies.yml"

_HOOKS = {"+pre-hook": "{{ tidemark.begin_run() }}", "+post-hook": "{{ tidemark.record_run() }}"}


@dataclass(frozen=True)
class Step:
    """One thing that the project needs: where, what, and whether it is there or was just written.

    `text` is what somebody writes who does it by hand.
    """

    file: str
    what: str
    text: str
    is_there: bool = False
    is_written: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether somebody still has to write it."""
        return not (self.is_there or self.is_written)


def wiring_sql() -> str:
    """The macros that dbt looks up in the root project alone."""
    return Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")


def package_of_checkout() -> Path | None:
    """The dbt package beside this command line, if that was installed from a checkout."""
    package = Path(__file__).resolve().parents[1] / "packages" / "tidemark"
    return package if package.is_dir() else None


def wire(project_dir: Path, package: str | None = None, write: bool = True) -> list[Step]:
    """Look at what a project has of the wiring, and write what it lacks.

    Args:
        project_dir: The folder of the project's dbt_project.yml.
        package: Where the engine is: a folder, or the URL of its git repository.
        write: False only looks.

    Raises:
        ValueError: A file is no YAML mapping.
    """
    project = _read(project_dir / PROJECT)
    name = str(project.get("name"))
    search_order = f"search_order: [{name}, tidemark, dbt]"
    steps = [
        _packages_step(project_dir, package, write),
        _macros_step(project_dir, (project.get("macro-paths") or ["macros"])[0], write),
        _yaml_step(
            project_dir,
            f"dispatch:\n  - macro_namespace: dbt\n    {search_order}\n",
            "the engine answers what dbt dispatches",
            _is_dispatched,
            write,
        ),
    ]
    # dbt warns of what is configured for snapshots where there are none
    snapshots = project.get("snapshot-paths") or ["snapshots"]
    has_snapshots = any(any((project_dir / path).rglob("*.*")) for path in snapshots)
    for kind in ("models", "snapshots") if has_snapshots else ("models",):
        hooks = "".join(f'    {key}: "{value}"\n' for key, value in _HOOKS.items())
        steps.append(
            _yaml_step(
                project_dir,
                f"{kind}:\n  {name}:\n{hooks}",
                f"hooks around the {kind}",
                lambda found, kind=kind: _is_hooked(found.get(kind) or {}),  # type: ignore[misc]
                write,
            )
        )
    return steps


def _read(path: Path) -> dict[str, Any]:
    """A YAML file; one that does not exist is empty."""
    found = _parsed(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no mapping")
    return found


def _parsed(text: str) -> Any:
    """Text as YAML, read as dbt reads it. Raises ValueError where it is none."""
    from dbt.clients.yaml_helper import load_yaml_text
    from dbt_common.exceptions import DbtValidationError

    try:
        return load_yaml_text(text) or {}
    except DbtValidationError as error:
        raise ValueError(f"This is no YAML: {' '.join(str(error).split())}") from None


def _packages_step(project_dir: Path, package: str | None, write: bool) -> Step:
    """The package itself, however it is named: as `local`, as `git`, or from a hub."""
    named = {file: _read(project_dir / file).get("packages") for file in (PACKAGES, DEPENDENCIES)}
    is_there = any(_is_engine(entry) for entries in named.values() for entry in entries or [])
    # dbt refuses packages in both
    file = DEPENDENCIES if named[DEPENDENCIES] else PACKAGES
    place = package or str(package_of_checkout() or "")
    if "://" in place or place.startswith("git@"):
        entry = f"  - git: {place}\n    subdirectory: packages/tidemark\n"
    else:
        entry = f"  - local: {place or '/path/to/tidemark/packages/tidemark'}\n"
    step = Step(file, "the package", f"packages:\n{entry}", is_there)
    return step if is_there or not (write and place) else _written(step, project_dir)


def _is_engine(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of packages.yml is the engine: the last part of its path or of its name."""
    place = entry.get("subdirectory") or entry.get("local") or entry.get("package")
    return str(place or entry.get("name")).rstrip("/").split("/")[-1] == "tidemark"


def _macros_step(project_dir: Path, folder: str, write: bool) -> Step:
    path = project_dir / folder / "tidemark.sql"
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    file, what = f"{folder}/tidemark.sql", "what dbt looks up in the root alone"
    step = Step(file, what, wiring_sql(), there.split() == wiring_sql().split())
    if there or not write:
        return step
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(step.text, encoding="utf-8")
    return Step(step.file, step.what, step.text, is_written=True)


def _yaml_step(
    project_dir: Path,
    text: str,
    what: str,
    is_there: Callable[[Mapping[str, Any]], bool],
    write: bool,
) -> Step:
    step = Step(PROJECT, what, text, is_there(_read(project_dir / PROJECT)))
    return step if step.is_there or not write else _written(step, project_dir)


def _written(step: Step, project_dir: Path) -> Step:
    """Add the lines of a step to its file, if the file then says that and nothing else anew."""
    path = project_dir / step.file
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = _with_lines(before, step.text)
    try:
        is_right = _parsed(text) == _merged(_parsed(before), _parsed(step.text))
    except ValueError:
        is_right = False
    if not is_right:
        return step
    path.write_text(text, encoding="utf-8")
    return Step(step.file, step.what, step.text, is_written=True)


def _with_lines(before: str, added: str) -> str:
    """Lines of YAML below the deepest of their keys that the text already has, else at its end."""
    lines, rest = before.splitlines(), added.splitlines()
    place = 0
    while rest and (found := _place_of(rest[0], lines, place)) is not None:
        place, rest = found, rest[1:]
    if place == 0:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, *rest]) + "\n"
    return "\n".join([*lines[:place], *rest, *lines[place:]]) + "\n"


def _place_of(key: str, lines: list[str], start: int) -> int | None:
    """The line after a key of block style, if it stands below the line `start`."""
    if not re.fullmatch(r"\s*[\w-]+:", key):
        return None
    depth = len(key) - len(key.lstrip())
    for number, line in enumerate(lines[start:], start=start):
        indent = len(line) - len(line.lstrip())
        if re.fullmatch(re.escape(key) + r"\s*(#.*)?", line):
            return number + 1
        if line.strip() and not line.lstrip().startswith("#") and indent < depth:
            return None
    return None


def _merged(before: Any, added: Any) -> Any:
    """What both say together. Raises ValueError where they contradict each other."""
    if before is None or before == {}:
        return added
    if isinstance(before, dict) and isinstance(added, dict):
        return before | {key: _merged(before.get(key), value) for key, value in added.items()}
    if isinstance(before, list) and isinstance(added, list):
        # two entries for one namespace: dbt would follow the first alone
        namespaces = [entry.get("macro_namespace") for entry in [*before, *added]]
        if all(namespaces.count(name) == 1 for name in namespaces if name):
            return added + before
    raise ValueError(f"{before!r} is there already")


def _is_dispatched(project: Mapping[str, Any]) -> bool:
    """Whether the engine is asked before dbt itself."""
    for entry in project.get("dispatch") or []:
        order = entry.get("search_order") or []
        if entry.get("macro_namespace") == "dbt" and "tidemark" in order:
            return "dbt" not in order or order.index("tidemark") < order.index("dbt")
    return False


def _is_hooked(config: Any) -> bool:
    """Whether both hooks are configured somewhere below."""
    text = str(config)
    return "tidemark.begin_run" in text and "tidemark.record_run" in text
