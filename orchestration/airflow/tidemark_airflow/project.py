"""Where the project is, how its command is called there, and what its manifest says of marts."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Airflow's own settings hold its secrets, and its Python's would mislead the project's.
_NOT_PASSED_ON = ("AIRFLOW", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "_AIRFLOW")
# The fields of an Airflow connection to Snowflake, and the variables that profiles.yml reads.
_OF_EXTRA = {
    "account": "SNOWFLAKE_ACCOUNT",
    "warehouse": "SNOWFLAKE_WAREHOUSE",
    "database": "SNOWFLAKE_DATABASE",
    "role": "SNOWFLAKE_ROLE",
    "private_key_file": "SNOWFLAKE_PRIVATE_KEY_PATH",
    "private_key_content": "SNOWFLAKE_PRIVATE_KEY",
}


@dataclass(frozen=True)
class Pod:
    """An image that has the project, its folder there, and what a pod of it is given besides.

    `options` are those of KubernetesPodOperator: namespace, env_from, secrets, resources.
    """

    image: str
    directory: str = "/tidemark"
    command: str = "tidemark"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """A Tidemark project, on the worker's disk or in a pod.

    `env` is added to the environment of the command. `connection` is the id of an Airflow
    connection to Snowflake, which is read where the task runs.
    """

    directory: Path
    command: str
    manifest: Path
    target: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    connection: str | None = None
    pod: Pod | None = None

    @classmethod
    def of_environment(cls, **given: Any) -> Project:
        """As TIDEMARK_PROJECT_DIR, _COMMAND, _MANIFEST, _TARGET and _CONNECTION say."""
        told = os.environ.get
        directory = Path(given.pop("directory", None) or told("TIDEMARK_PROJECT_DIR", "."))
        said = {
            "command": told("TIDEMARK_COMMAND", str(directory / ".venv/bin/tidemark")),
            "manifest": Path(told("TIDEMARK_MANIFEST", str(directory / "target/manifest.json"))),
            "target": told("TIDEMARK_TARGET"),
            "connection": told("TIDEMARK_CONNECTION"),
        }
        return cls(directory, **{**said, **given})

    def arguments(self, arguments: Iterable[str], with_target: bool) -> list[str]:
        """A command's arguments, with the target where it takes one."""
        target = ["--target", self.target] if self.target and with_target else []
        return [*(argument for argument in arguments if argument), *target, "--json"]

    def environment(self, connection: Any = None) -> dict[str, str]:
        """What the command finds in its environment; secrets are nowhere else."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
        }
        return {**inherited, **self.env, **(snowflake_environment(connection) or {})}


def snowflake_environment(connection: Any) -> dict[str, str]:
    """The variables of profiles.yml, from an Airflow connection to Snowflake, if there is one."""
    if connection is None:
        return {}
    extra = connection.extra_dejson
    found = {name: extra.get(key) for key, name in _OF_EXTRA.items()}
    key = found["SNOWFLAKE_PRIVATE_KEY"]
    if key and not key.startswith("-----"):
        # Airflow keeps the file in base64, dbt wants the file's text.
        found["SNOWFLAKE_PRIVATE_KEY"] = base64.b64decode(key).decode()
    has_key = key or found["SNOWFLAKE_PRIVATE_KEY_PATH"]
    secret = "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE" if has_key else "SNOWFLAKE_PASSWORD"
    found |= {"SNOWFLAKE_USER": connection.login, secret: connection.password}
    return {name: str(value) for name, value in found.items() if value}


def marts_of(manifest: Path, selected: Collection[str]) -> list[str]:
    """The models that the gate decides on: of domains or by name, with all of them above these.

    `dbt parse` writes the manifest, wherever the project is deployed.
    """
    try:
        nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no {manifest}. `dbt parse` in the project writes it; TIDEMARK_MANIFEST says"
            " where it is, if elsewhere."
        ) from None
    wanted = [id_ for id_, node in nodes.items() if not selected or _is_selected(node, selected)]
    if not wanted:
        raise ValueError(f"{manifest} has no domain and no model {', '.join(selected)}.")
    return sorted(nodes[id_]["name"] for id_ in _with_all_above(nodes, wanted))


def _is_selected(node: Mapping[str, Any], selected: Collection[str]) -> bool:
    domain = node["config"].get("meta", {}).get("domain") or node["fqn"][-2]
    return node["name"] in selected or (node["resource_type"] == "model" and domain in selected)


def _with_all_above(nodes: Mapping[str, Any], wanted: Iterable[str]) -> Iterator[str]:
    waiting, seen = list(wanted), set[str]()
    while waiting:
        id_ = waiting.pop()
        if id_ in seen or id_ not in nodes:
            continue
        seen.add(id_)
        waiting += nodes[id_]["depends_on"].get("nodes", [])
        if _is_judged(nodes[id_]):
            yield id_


def _is_judged(node: Mapping[str, Any]) -> bool:
    """As the engine's macro `is_recorded` has it."""
    if node["resource_type"] not in ("model", "snapshot"):
        return False
    told = node["config"].get("meta", {}).get("is_recorded")
    if told is not None:
        return bool(told)
    return node["resource_type"] == "snapshot" or node["config"]["materialized"] == "incremental"
