"""Times as Tidemark reads and shows them: in UTC, without a zone, as the warehouse keeps them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum

# What `fromisoformat` accepts differs between Python versions; this does not.
_USUAL = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<minute>\d{2}:\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?)?"
    r"(?P<zone>Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
# A whole day, in all ways of the standard: of a month, of a year, of a week; basic or extended. Not
# a month or a year alone, and not what needs an agreement, such as more digits of the year.
_DAY = r"\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-\d{3}|\d{7}|\d{4}-W\d{2}-\d|\d{4}W\d{3}"
_ISO_8601 = re.compile(
    rf"(?P<day>{_DAY})"
    r"(?:[Tt ](?P<time>\d{2}(?:\d{2}(?:\d{2})?|:\d{2}(?::\d{2})?)?)(?:[.,](?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|[+\-\u2212]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
# What a fraction is a part of, in microseconds, by the digits before it: it may follow any of them.
_MINUS = "\u2212"
_MICROSECONDS = {2: 3_600_000_000, 4: 60_000_000, 6: 1_000_000}


class Interval(str, Enum):
    """How many days of a window are restated at once."""

    DAILY = "daily"
    WEEKLY = "weekly"

    @property
    def days(self) -> int:
        """In days."""
        return {"daily": 1, "weekly": 7}[self.value]


def parse_clock(text: str) -> datetime:
    """Read an ISO 8601 time as UTC; a time with a zone is converted, one without is UTC already.

    What is finer than a microsecond is cut off, as the warehouse does.

    >>> parse_clock("2025-10-15T14:00:00+02:00")
    datetime.datetime(2025, 10, 15, 12, 0)
    """
    try:
        local = _usual(text.strip()) or _unusual(text.strip())
        if local:
            return local.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: {error}") from None
    raise ValueError(f"{text!r} is not an ISO 8601 time such as 2025-10-15T12:00:00")


def parse_day(text: str) -> date:
    """Read an ISO 8601 date. Raises ValueError, also for a date with a time.

    >>> parse_day("20251015")
    datetime.date(2025, 10, 15)
    """
    if not re.fullmatch(_DAY, text.strip(), re.ASCII):
        raise ValueError(f"{text!r} is not a date such as 2025-10-14")
    return parse_clock(text).date()


def _usual(text: str) -> datetime | None:
    """The way in which nearly all times come, a quarter of the work of all ways (measured)."""
    found = _USUAL.fullmatch(text)
    if not found or (found["minute"] or "").startswith("24"):
        return None
    day, minute, second, fraction, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    micros = (fraction or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}.{micros}{zone}")


def _unusual(text: str) -> datetime | None:
    found = _ISO_8601.fullmatch(text)
    if not found:
        return None
    from dateutil.parser import isoparse

    day, time, fraction, zone = found.groups()
    digits = (time or "00").replace(":", "")
    rest = int(Decimal(f"0.{fraction or 0}") * _MICROSECONDS[len(digits)])
    if rest and digits.startswith("24"):
        raise ValueError("a day ends at 24:00:00")
    # The library reads fractions of seconds alone.
    known: datetime = isoparse(f"{day}T{digits}{(zone or 'Z').replace(_MINUS, '-')}")
    return known + timedelta(microseconds=rest)


def parse_if_known(text: str | None) -> datetime | None:
    """The same of a value that the warehouse may not know."""
    return parse_clock(text) if text else None


def day_plus(day: date, days: int) -> date:
    """So many days later; it ends where the calendar does, with the years 1 and 9999.

    >>> day_plus(date.max, 1)
    datetime.date(9999, 12, 31)
    """
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def show_time(moment: datetime) -> str:
    """A time for people: `2025-10-15 12:00 UTC`, with seconds only where there are any."""
    return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def show_duration(duration: timedelta) -> str:
    """A duration for people, in its two largest units: `55 min`, `7 h 55 min`, `3 d 4 h`."""
    minutes = int(duration.total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "min")]
    # Limits are usually set in hours: up to two days, hours compare better with them than days do.
    if days <= 2:
        units = [(days * 24 + hours, "h"), (minutes, "min")]
    present = [f"{number} {unit}" for number, unit in units if number]
    return " ".join(present[:2])


def show_seconds(seconds: float) -> str:
    """Seconds for people: as they are below a minute, else in larger units."""
    return f"{seconds:g} s" if seconds < 60 else show_duration(timedelta(seconds=seconds))
