"""What stands above what: the names and edges of dbt's manifest, without the rest of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What `dbt build` turns into a relation out of other relations; seeds and tests are no part of it.
_BUILT = ("model", "snapshot")


@dataclass(frozen=True)
class StoredMart:
    """A table that increments keep: its folder, and what a run replaces of it."""

    name: str
    domain: str
    strategy: str


# The engine's dbt package. Its own tables are sources to dbt, not ones that anything waits for.
ENGINE = "tidemark"

# What this command line and the macros say to each other; the macro `interface_version` has the
# same number. It rises with every change of an operation's arguments or of what a macro reports.
INTERFACE = 4


class EngineError(Exception):
    """The project has no engine, or one of another version than this command line."""


def refuse_other_engine(manifest: Any) -> None:
    """Raise EngineError unless macros and command line understand each other."""
    macro = manifest.macros.get(f"macro.{ENGINE}.interface_version")
    if macro is None:
        raise EngineError(
            "The project does not have the dbt package tidemark, or one from before this command"
            " line. `tidemark init --check` says what is missing; `dbt deps` installs the package."
        )
    told = re.search(r"return\((\d+)\)", macro.macro_sql)
    version = int(told[1]) if told else 0
    if version != INTERFACE:
        older = "package" if version < INTERFACE else "command line"
        raise EngineError(
            f"The dbt package tidemark speaks version {version} of the interface, this command line"
            f" {INTERFACE}: the {older} is the older one. Install both from one release."
        )


def is_watched(source: Any) -> bool:
    """Whether freshness and change detection go by a source: as the macro `is_watched` says."""
    return source.loaded_at_field is not None and source.package_name != ENGINE


def domain_of(node: Any) -> str:
    """What a model belongs to, as the macro says: its meta `domain`, else its folder."""
    return str(node.config.meta.get("domain") or node.fqn[-2])


def chosen_models(manifest: Any, chosen: Iterable[str]) -> frozenset[str]:
    """The models of domains, and models and snapshots by name. Raises ValueError for any other."""
    models, domains = set[str](), dict[str, set[str]]()
    for node in manifest.nodes.values():
        if str(node.resource_type) in _BUILT and node.package_name != ENGINE:
            models.add(node.name)
            if str(node.resource_type) == "model":
                domains.setdefault(domain_of(node), set()).add(node.name)
    unknown = [name for name in chosen if name not in models and name not in domains]
    if unknown:
        raise ValueError(
            f"there is no domain or model {', '.join(unknown)}; domains:"
            f" {', '.join(sorted(domains))}"
        )
    return frozenset().union(*(domains.get(name, {name}) for name in chosen))


def stored_marts(manifest: Any) -> dict[str, StoredMart]:
    """The incremental models of the project, by name."""
    return {
        node.name: StoredMart(node.name, domain_of(node), str(node.config.incremental_strategy))
        for node in manifest.nodes.values()
        if str(node.resource_type) == "model" and node.config.materialized == "incremental"
    }


@dataclass(frozen=True)
class Lineage:
    """The graph of raw tables, models and snapshots by dbt's unique ids."""

    names: Mapping[str, str]
    parents: Mapping[str, frozenset[str]]
    sources: frozenset[str]

    @classmethod
    def of(cls, manifest: Any) -> Lineage:
        """Read the graph from dbt's manifest."""
        built = {
            unique_id: node
            for unique_id, node in manifest.nodes.items()
            if str(node.resource_type) in _BUILT
        }
        raw = {
            unique_id: source
            for unique_id, source in manifest.sources.items()
            if is_watched(source)
        }
        known = built.keys() | raw.keys()
        return cls(
            names={unique_id: node.name for unique_id, node in built.items()}
            | {unique_id: source.name for unique_id, source in raw.items()},
            parents={
                unique_id: frozenset(node.depends_on.nodes) & known
                for unique_id, node in built.items()
            },
            sources=frozenset(raw),
        )

    def sources_above(self, model: str) -> frozenset[str]:
        """The names of all sources above a model, over any number of models."""
        above = self._above(self._id(model), through=lambda _: True)
        return frozenset(self.names[unique_id] for unique_id in above if unique_id in self.sources)

    def nearest_above(self, model: str, among: Iterable[str]) -> frozenset[str]:
        """The first of the models `among` on every way up from a model."""
        wanted = frozenset(among)
        above = self._above(self._id(model), through=lambda name: name not in wanted)
        return frozenset(self.names[unique_id] for unique_id in above) & wanted

    def models_above(self, models: Iterable[str]) -> frozenset[str]:
        """The names of all models above some models."""
        return frozenset(
            self.names[unique_id]
            for model in models
            for unique_id in self._above(self._id(model), through=lambda _: True)
            if unique_id not in self.sources
        )

    def ends(self, judged: Iterable[str]) -> frozenset[str]:
        """Models without a decision of their own on which no judged model stands."""
        judged = frozenset(judged)
        used = judged | self.models_above(judged)
        models = frozenset(self.names[unique_id] for unique_id in self.parents)
        return models - used

    def _id(self, model: str) -> str:
        """The unique id of a model; models and sources may share a name."""
        return next(unique_id for unique_id in self.parents if self.names[unique_id] == model)

    def _above(self, unique_id: str, through: Callable[[str], bool]) -> Iterator[str]:
        """Walk up from a node, each node once, on through those that `through` lets pass."""
        waiting, seen = [unique_id], {unique_id}
        while waiting:
            for parent in self.parents.get(waiting.pop(), ()):
                if parent in seen:
                    continue
                seen.add(parent)
                yield parent
                if through(self.names[parent]):
                    waiting.append(parent)
