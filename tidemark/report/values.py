"""Anything that a command has found, as the values that JSON knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from functools import singledispatch
from typing import Any


@singledispatch
def as_values(thing: Any) -> Any:
    """Dataclasses as objects, times as ISO 8601, durations as whole seconds.

    A class whose properties are worth telling registers a function of its own.
    """
    return fields_as_values(thing) if is_dataclass(thing) else thing


@as_values.register
def _(moment: date) -> str:
    return moment.isoformat()


@as_values.register
def _(duration: timedelta) -> int:
    return int(duration.total_seconds())


@as_values.register(list)
@as_values.register(tuple)
def _(things: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [as_values(each) for each in things]


@as_values.register(Mapping)
def _(things: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_values(each) for name, each in things.items()}


def fields_as_values(thing: Any) -> dict[str, Any]:
    """A dataclass, field by field."""
    return {field.name: as_values(getattr(thing, field.name)) for field in fields(thing)}
