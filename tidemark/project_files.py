"""Whether the files of a project changed since they were read, without reading them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tidemark.settings import place_of, read_mapping

# Where dbt looks for files unless dbt_project.yml says otherwise.
_FOLDERS = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "test-paths": ["tests"],
    "analysis-paths": ["analyses"],
    "macro-paths": ["macros"],
    "snapshot-paths": ["snapshots"],
    "docs-paths": ["docs"],
}
_FILES = ("dbt_project.yml", "packages.yml", "dependencies.yml")

Stamp = frozenset[tuple[str, int, int]]


def stamp_of(project_dir: Path) -> Stamp:
    """Every file that dbt and the settings read, with its time and size.

    Raises ValueError where dbt_project.yml or the settings cannot be understood.
    """
    named = read_mapping(project_dir / "dbt_project.yml")
    packages = project_dir / str(named.get("packages-install-path", "dbt_packages"))
    profiles = Path(os.environ.get("DBT_PROFILES_DIR") or project_dir)
    paths = [profiles / "profiles.yml", *_of_package(project_dir, named)]
    if settings := place_of(project_dir):
        paths.append(settings)
    for package in sorted(packages.glob("*/dbt_project.yml")):
        paths += _of_package(package.parent, read_mapping(package))
    return frozenset(_stamps(paths))


def _of_package(root: Path, named: dict[str, Any]) -> list[Path]:
    """The files of a package that have a name of their own, and its folders."""
    folders = {str(each) for key, usual in _FOLDERS.items() for each in named.get(key) or usual}
    return [root / each for each in (*_FILES, *sorted(folders))]


def _stamps(paths: list[Path]) -> Iterator[tuple[str, int, int]]:
    for path in paths:
        if path.is_dir():
            for folder, _, names in os.walk(path):
                yield from _stamps([Path(folder, name) for name in names])
        else:
            # what is not there, or goes while it is looked at, is no part of the project
            with suppress(FileNotFoundError):
                seen = path.stat()
                yield str(path), seen.st_mtime_ns, seen.st_size
