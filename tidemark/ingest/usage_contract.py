"""What the usage API promises to answer; whatever breaks it is told in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tidemark.clock import parse_day
from tidemark.ingest import TwiceError, once_each

# How many breaches of the contract a message names; a renamed field breaks every row.
_NAMED = 3

# The raw table's columns are of that size.
_Integer = Annotated[int, Field(ge=-(2**31), lt=2**31)]


def _day(value: Any) -> Any:
    """A day in any way of ISO 8601; of what is none, the model says so."""
    with suppress(ValueError):
        return parse_day(value) if isinstance(value, str) else value
    return value


class UsageRow(BaseModel):
    """What one company did on a day."""

    # Strict: text in place of a number is a changed contract, not a number in disguise.
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    company_id: str
    date: Annotated[date, BeforeValidator(_day)]
    active_users: _Integer
    events: _Integer


class UsagePage(BaseModel):
    """A page of a day's answer. `next` is the URL of the following one, null on the last."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    usage: list[UsageRow]
    next: str | None


class ContractError(ValueError):
    """An answer that breaks the contract, and where."""


def read_page(content: bytes, day: date) -> UsagePage:
    """Read a page of a day's answer. Raises ContractError."""
    try:
        page = UsagePage.model_validate_json(content)
    except ValidationError as error:
        raise ContractError(_in_words(error.errors(include_url=False))) from None
    try:
        # The library above takes the last of two members of one name.
        json.loads(content, object_pairs_hook=once_each)
    except (ValueError, RecursionError) as error:
        what = "" if isinstance(error, TwiceError) else "the answer: "
        raise ContractError(f"{what}{error}") from None
    if strange := sorted({row.date for row in page.usage} - {day}):
        raise ContractError(f"the answer holds rows of {strange[0]}")
    return page


def unknown_fields(page: UsagePage) -> set[str]:
    """Fields that the contract does not know."""
    of_rows = {name for row in page.usage for name in row.model_extra or {}}
    return of_rows | set(page.model_extra or {})


def one_per_company(rows: Iterable[UsageRow]) -> tuple[list[UsageRow], int]:
    """The rows without repetitions: pages may overlap. Raises ContractError if two disagree.

    White space around an id makes no other company of it: in how many it was taken off.
    """
    known: dict[str, UsageRow] = {}
    trimmed = 0
    for came in rows:
        company = came.company_id.strip()
        is_trimmed = company != came.company_id
        row = came.model_copy(update={"company_id": company}) if is_trimmed else came
        trimmed += is_trimmed
        first = known.setdefault(row.company_id, row)
        if (first.active_users, first.events) != (row.active_users, row.events):
            raise ContractError(f"two rows of company {row.company_id!r} disagree")
    return list(known.values()), trimmed


def _in_words(breaches: Sequence[Any]) -> str:
    """One line: what is wrong with which field, and in how many rows."""
    counted: dict[tuple[str, str], list[str]] = {}
    for breach in breaches:
        place = [str(part) for part in breach["loc"]]
        name = next((part for part in reversed(place) if not part.isdigit()), "the answer")
        counted.setdefault((name, breach["msg"]), []).append(".".join(place))
    told = [
        f"{name}: {message[0].lower()}{message[1:]}"
        + (f" (in {len(places)} rows)" if len(places) > 1 else "")
        for (name, message), places in counted.items()
    ]
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return "; ".join(told[:_NAMED]) + more
