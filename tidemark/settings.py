"""Settings of a deployment, outside of tracked files: one file, and environment variables over it.

The defaults are the vars of dbt_project.yml. What is said here lies over them, mappings key by key,
and is handed to dbt as its vars, since dbt reads no further file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tidemark.lineage import ENGINE
from tidemark.paths import of_setting

FILE = "tidemark.yml"
# Names another file; empty, there is none.
PLACE = "TIDEMARK_SETTINGS"
# The one setting that is no var: which target the file is of, and commands are meant for.
TARGET = "target"

# The project's code, not its settings: another value of these makes other tables.
_CODE = ("versions", "staging_columns", "enabled_entities")
# Mappings whose keys are the user's.
_OPEN = ("clock_of_target", "health_of_target", "warehouses", "pruned_sources")
# TIDEMARK_LANDING has always been the place where files land.
_WITHOUT_VARIABLE = ("landing",)


@dataclass(frozen=True)
class Settings:
    """What differs from the defaults, each var whole, and where each of them was said.

    `own` are the vars that dbt_project.yml has under the project's own name. dbt shows them to the
    project's nodes alone, and the gate is one of the engine's: it would go by other rules than the
    build.
    """

    target: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"TIDEMARK_{name.upper()}"


def place_of(project_dir: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file of the settings, if there is one.

    Raises ValueError where the environment names one that is not there.
    """
    named = environment.get(PLACE)
    if named == "":
        return None
    path = Path(of_setting(named, project_dir)) if named else project_dir / FILE
    if named and not path.is_file():
        raise ValueError(f"there is no file {path}, which {PLACE} names")
    return path if path.is_file() else None


def read(project_dir: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the file and the environment. Raises ValueError for what is no setting, or not right."""
    place = place_of(project_dir, environment)
    project = read_mapping(project_dir / "dbt_project.yml")
    own = _own(project)
    defaults = _defaults(project, own)
    said = {str(place.name): read_mapping(place)} if place else {}
    settings = {TARGET: None, **defaults}
    from_environment = {
        variable_of(name): {name: _value(text, settings[name], variable_of(name))}
        for name in settings
        if name not in _WITHOUT_VARIABLE and (text := environment.get(variable_of(name)))
    }
    merged = dict(settings)
    origins: dict[str, str] = {}
    for origin, values in [*said.items(), *from_environment.items()]:
        for name, value in values.items():
            merged[name] = _laid_over(settings, merged, name, value, origin)
            origins[name] = f"{origins[name]}, {origin}" if name in origins else origin
    target = merged.pop(TARGET)
    variables = {name: merged[name] for name in origins if name != TARGET}
    return Settings(target, own, variables, origins, defaults)


def for_target(project_dir: Path, target: str | None) -> tuple[str | None, dict[str, Any]]:
    """The target of a command, and its vars. A file that names its target is not for others."""
    found = read(project_dir)
    target, variables = _meant_for(target, found)
    return target, {**found.own, **variables}


def _meant_for(target: str | None, found: Settings) -> tuple[str | None, Mapping[str, Any]]:
    if target and found.target and target != found.target:
        return target, {}
    return target or found.target, found.variables


def untold(project_dir: Path, target: str | None, told: Mapping[str, Any]) -> list[str]:
    """The settings that a call of dbt was not told of: it would go by the defaults."""
    if place_of(project_dir) is None:
        return []
    _, variables = _meant_for(target, read(project_dir))
    return sorted(name for name in variables if name not in told)


def _laid_over(
    settings: Mapping[str, Any], merged: Mapping[str, Any], name: str, value: Any, origin: str
) -> Any:
    """A setting with what is said of it, if that can be."""
    if name not in settings:
        raise ValueError(f"{origin}: {name} is no setting{_meant(name, settings)}")
    return _merged(settings[name], merged[name], value, name, origin)


def _merged(default: Any, before: Any, value: Any, name: str, origin: str) -> Any:
    if not isinstance(default, dict):
        return _fitting(default, value, name, origin)
    if not isinstance(value, dict):
        raise ValueError(f"{origin}: {name} has to be a mapping")
    if name in _OPEN or not default:
        return {**before, **value}
    for key in value:
        if key not in default:
            raise ValueError(f"{origin}: {name}.{key} is no setting{_meant(key, default)}")
    return {
        key: _merged(default[key], before[key], value[key], f"{name}.{key}", origin)
        if key in value
        else before[key]
        for key in default
    }


def _fitting(default: Any, value: Any, name: str, origin: str) -> Any:
    """A single value, if it is of the kind that the default is of; null says nothing of kinds."""
    kinds: dict[type, str] = {bool: "true or false", list: "a list", str: "text"}
    if isinstance(default, str) and value is not None and not isinstance(value, dict | list):
        return str(value)
    if isinstance(default, int | float) and not isinstance(default, bool):
        is_right = isinstance(value, int | float) and not isinstance(value, bool)
        wanted = "a number"
    else:
        wanted = kinds.get(type(default), "text or a number")
        is_right = not isinstance(value, dict | list) if default is None else False
        is_right = is_right or (default is not None and isinstance(value, type(default)))
    # what may be switched off, such as a limit
    if value is None and not isinstance(default, bool | list | str):
        is_right = True
    if not is_right:
        raise ValueError(f"{origin}: {name} has to be {wanted}")
    return value


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, [str(each) for each in known], n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f": {', '.join(sorted(map(str, known)))}"


def _value(text: str, default: Any, variable: str) -> Any:
    """The text of an environment variable: YAML, and of a list also its parts behind commas."""
    value = _yaml(text, variable)
    if isinstance(default, list) and not isinstance(value, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


def _own(project: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError for vars under the engine's name: the project's models do not see them."""
    found = project.get("vars") or {}
    if isinstance(found.get(ENGINE), dict):
        names = ", ".join(sorted(map(str, found[ENGINE])))
        raise ValueError(
            f"dbt_project.yml has vars under {ENGINE}:, which models of the project do not see:"
            f" {names}. Write them one level up, under vars:. Nothing was touched"
        )
    own = found.get(project.get("name"))
    return dict(own) if isinstance(own, dict) else {}


def _defaults(project: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    found = {**(project.get("vars") or {}), **own}
    return {n: value for n, value in found.items() if n not in (*_CODE, project.get("name"))}


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises ValueError for any other."""
    found = _yaml(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(found or {}, dict):
        raise ValueError(f"{path.name} is no mapping of settings")
    return found or {}


def _yaml(text: str, origin: str) -> Any:
    from dbt.clients.yaml_helper import load_yaml_text
    from dbt_common.exceptions import DbtValidationError

    try:
        return load_yaml_text(text)
    except DbtValidationError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f", line {line[1]}," if line else ""
        raise ValueError(f"{origin}{where} is no YAML") from None
