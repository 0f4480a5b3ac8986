"""The charts of a panel, as Vega-Lite: what is drawn is decided here, its colours are the page's.

Rows are not in them: the page hands each chart the rows of its table, under the name `rows`. A
column of times is there a second time, as milliseconds, under its name and `__ms`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import altair as alt

from tidemark.page.panels import Panel

_ROWS = alt.NamedData(name="rows")
_HEIGHT = 170
# A row of a grid, and of a ranking.
_STEP = 20
_DAY = 86_400_000
# A grid has room for so many days.
_GRID_DAYS = 30
# Days that nobody knows: hatched, by a pattern of the page.
_HATCHED = "url(#hatched)"
_KNOWN = ("complete", "so far")
# Colours for what has no meaning of its own, told apart by the colour-blind, in this order.
_SERIES = [f"var(--series-{number})" for number in range(1, 9)]


@dataclass(frozen=True)
class Chart:
    """One chart: its axis in words, its specification, and its legend, which the page sets."""

    label: str
    spec: dict[str, Any]
    legend: Mapping[str, str] = field(default_factory=dict)


def charts_of(panel: Panel) -> list[Chart]:
    """The charts of a panel that has rows; tables and tiles have none."""
    draw = {
        "bars": _bars,
        "points": _points,
        "steps": _steps,
        "ranked": _ranked,
        "grid": _grid,
    }.get(panel.draw)
    return draw(panel) if draw and panel.rows else []


def words(name: str, meta: Mapping[str, Any]) -> str:
    """What a column is called on the page."""
    return str(meta.get("labels", {}).get(name, name.replace("_", " ")))


def tone(name: str) -> str:
    """The page's colour of a meaning."""
    return f"var(--{name})"


def _bars(panel: Panel) -> list[Chart]:
    meta = panel.meta
    if "colour" in meta:
        tones = _tones(panel, meta["colour"])
        spec = _stack(panel, meta["y"], meta["colour"], tones)
        return [Chart(str(meta.get("unit", meta["y"])), spec, tones | _hatched(panel))]
    found = []
    if stacked := meta.get("stacked"):
        tones = {words(name, meta): tone(each) for name, each in stacked.items()}
        spec = _stack(panel, "amount", "series", tones, fold=list(stacked))
        found.append(Chart(str(meta.get("unit", "")), spec, tones | _hatched(panel)))
    measures: Mapping[str, str] = meta["y"]
    return found + [
        Chart(f"{words(name, meta)}, {unit}", _measure(panel, name, unit), _hatched(panel))
        for name, unit in measures.items()
    ]


def _measure(panel: Panel, name: str, unit: str) -> dict[str, Any]:
    """One measure by day, or a line of it; days that nobody knows are hatched."""
    is_line = name in panel.meta.get("lines", ())
    base = _timed(panel)
    y = alt.Y(f"{name}:Q", axis=_counted(unit, panel, name), scale=alt.Scale(zero=True, nice=True))
    if is_line:
        # a rate of a few hours would stand beside those of whole days
        state = panel.meta.get("state")
        ended = base.transform_filter(f"datum['{state}'] !== 'so far'") if state else base
        mark = ended.mark_line(
            color=tone("second"), strokeWidth=2, point={"color": tone("second"), "size": 16}
        )
        layer = mark.encode(x=alt.X("middle:T", **_time_axis(panel)), y=y, tooltip=_tooltips(panel))
    else:
        layer = (
            base.mark_rect(color=tone("first"), cornerRadius=1)
            .transform_filter(f"isValid(datum['{name}'])")
            .encode(
                x=alt.X("from:T", **_time_axis(panel)),
                x2="to:T",
                y=y,
                y2=alt.datum(0),
                opacity=_paler(panel),
                tooltip=_tooltips(panel),
            )
        )
    return _finished(alt.layer(*_unknown_days(panel, base), layer))


def _stack(
    panel: Panel,
    amount: str,
    colour: str,
    tones: Mapping[str, str],
    fold: Sequence[str] = (),
) -> dict[str, Any]:
    meta = panel.meta
    base = _timed(panel)
    bars = base
    if fold:
        folded = {name: words(name, meta) for name in fold}
        bars = bars.transform_fold(list(fold), as_=["column", amount]).transform_calculate(
            series=_renamed("datum.column", folded)
        )
    bars = bars.transform_filter(f"isValid(datum['{amount}'])").transform_stack(
        stack=amount, as_=["low", "high"], groupby=[f"{meta['x']}__ms"]
    )
    layer = bars.mark_rect().encode(
        x=alt.X("from:T", **_time_axis(panel)),
        x2="to:T",
        y=alt.Y("low:Q", axis=_counted(str(meta.get("unit", "")), panel, *(fold or [amount]))),
        y2="high:Q",
        opacity=_paler(panel),
        color=_coloured(colour, tones),
        tooltip=_tooltips(panel),
    )
    return _finished(alt.layer(*_unknown_days(panel, base), layer))


def _points(panel: Panel) -> list[Chart]:
    """A point for each row; what has another meaning has another shape, too."""
    meta = panel.meta
    measures = {meta["y"]: str(meta.get("unit", meta["y"])), **meta.get("also", {})}
    tones = _tones(panel, meta["colour"])
    found = []
    for name, unit in measures.items():
        chart = (
            alt.Chart(_ROWS)
            .mark_point(filled=True, size=45, opacity=0.75)
            .encode(
                x=alt.X(f"{meta['x']}__ms:T", **_time_axis(panel)),
                y=alt.Y(f"{name}:Q", axis=_counted(unit, panel, name), scale=alt.Scale(zero=True)),
                color=_coloured(meta["colour"], tones),
                shape=alt.Shape(
                    f"{meta['colour']}:N",
                    scale=alt.Scale(domain=list(tones), range=["circle", "triangle-up", "square"]),
                    legend=None,
                ),
                tooltip=_tooltips(panel),
            )
        )
        found.append(Chart(f"{words(name, meta)}, {unit}", _finished(chart), tones))
    return found


def _steps(panel: Panel) -> list[Chart]:
    """A line for each series; all but the first are dashed, and show what they cover."""
    meta = panel.meta
    x, y, series = meta["x"], meta["y"], meta["colour"]
    base = alt.Chart(_ROWS)
    names = sorted({str(row[series]) for row in panel.rows})
    legend = {name: _SERIES[number % len(_SERIES)] for number, name in enumerate(names)}
    shared = {
        "x": alt.X(
            f"{x}:O",
            title=meta.get("x_unit"),
            axis=alt.Axis(labelAngle=0, grid=False, domain=True, ticks=False),
        ),
        "y": alt.Y(
            f"{y}:Q", axis=_counted(str(meta.get("unit", "")), panel, y), scale=alt.Scale(zero=True)
        ),
        "color": _coloured(series, legend),
        "strokeDash": alt.StrokeDash(
            f"{series}:N",
            scale=alt.Scale(domain=names, range=[[1, 0], *[[7, 5]] * (len(names) - 1)]),
            legend=None,
        ),
    }
    lines = base.mark_line(strokeWidth=2, point={"size": 28}).encode(
        **shared, tooltip=_tooltips(panel)
    )
    return [Chart(str(meta.get("unit", y)), _finished(lines, height=230), legend)]


def _ranked(panel: Panel) -> list[Chart]:
    """The greatest first; its amount stands beside each bar."""
    meta = panel.meta
    named = " + ': ' + ".join(f"datum['{name}']" for name in meta["y"])
    base = alt.Chart(_ROWS).transform_calculate(called=named)
    y = alt.Y(
        "called:N",
        # as the rows are
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=260, ticks=False, domain=False),
    )
    x = alt.X(
        f"{meta['x']}:Q",
        axis=_counted(str(meta.get("unit", "")), panel, meta["x"]),
        scale=alt.Scale(nice=False),
    )
    bars = base.mark_bar(color=tone("first"), height={"band": 0.7}, cornerRadiusEnd=2)
    amounts = base.mark_text(align="left", dx=5, fontSize=11, fill=tone("ink-2")).encode(
        text=alt.Text(f"{meta['x']}:Q", format=",")
    )
    chart = alt.layer(bars.encode(tooltip=_tooltips(panel)), amounts).encode(x=x, y=y)
    unit = str(meta.get("unit", meta["x"]))
    return [Chart(unit, _finished(chart, height=(_STEP + 2) * len(panel.rows)))]


def _grid(panel: Panel) -> list[Chart]:
    """A cell for each day and name: a day without a row stays blank."""
    meta = panel.meta
    names = len({row[meta["y"]] for row in panel.rows})
    tones = _tones(panel, meta["colour"])
    says = {value: words_of(value, meta) for value in tones}
    legend = {says[value]: colour for value, colour in tones.items()}
    chart = (
        _timed(panel)
        .transform_calculate(called=_renamed(f"datum['{meta['colour']}']", says))
        .mark_rect(cornerRadius=1)
        .encode(
            x=alt.X("from:T", **_time_axis(panel)),
            x2="to:T",
            y=alt.Y(
                f"{meta['y']}:N",
                title=None,
                axis=alt.Axis(labelLimit=220, ticks=False, domain=False),
                scale=alt.Scale(paddingInner=0.15),
            ),
            color=_coloured("called", legend),
            tooltip=_tooltips(panel),
        )
    )
    return [Chart("", _finished(alt.layer(_room(panel), chart), height=_STEP * names), legend)]


def _renamed(value: str, names: Mapping[str, str]) -> str:
    """An expression that calls some values otherwise. They may be anybody's text."""
    return f"({json.dumps(dict(names))}[{value}])"


def words_of(value: str, meta: Mapping[str, Any]) -> str:
    """What a state is called on the page."""
    return str(meta.get("legend", {}).get(value, value))


def _timed(panel: Panel) -> alt.Chart:
    """Each row as wide as its day, or its hour; a little narrower, so that bars stay apart."""
    meta = panel.meta
    at = f"datum['{meta['x']}__ms']"
    width = _DAY * int(meta.get("width_days", 1)) if _is_by_day(panel) else _DAY // 24
    timed: alt.Chart = alt.Chart(_ROWS).transform_calculate(
        **{
            "from": f"{at} + {width * 0.08:.0f}",
            "to": f"{at} + {width * 0.92:.0f}",
            "middle": f"{at} + {width // 2}",
            "start": at,
            "end": f"{at} + {width}",
        }
    )
    return timed


def _unknown_days(panel: Panel, base: alt.Chart) -> list[alt.Chart]:
    """The bands of days that nobody knows, over the whole height."""
    state = panel.meta.get("state")
    if state is None or all(row[state] in _KNOWN for row in panel.rows):
        return []
    known = " && ".join(f"datum['{state}'] !== '{each}'" for each in _KNOWN)
    bands = base.transform_filter(known).mark_rect(fill=_HATCHED, opacity=1)
    return [bands.encode(x="start:T", x2="end:T", tooltip=_tooltips(panel))]


def _paler(panel: Panel) -> Any:
    state = panel.meta.get("state")
    if state is None:
        return alt.value(1)
    return alt.condition(f"datum['{state}'] === 'so far'", alt.value(0.45), alt.value(1))


def _tones(panel: Panel, column: str) -> dict[str, str]:
    """Those states that the rows have, in the order of the meta, with the page's colours."""
    there = {str(row[column]) for row in panel.rows}
    told = {str(name): tone(each) for name, each in panel.meta.get("tones", {}).items()}
    found = {name: colour for name, colour in told.items() if name in there}
    rest = sorted(there - told.keys())
    return found | {name: _SERIES[number % len(_SERIES)] for number, name in enumerate(rest)}


def _coloured(column: str, tones: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(tones), range=list(tones.values()))
    return alt.Color(f"{column}:N", scale=scale, legend=None)


def _hatched(panel: Panel) -> dict[str, str]:
    """The legend of days that nobody knows, by what they are called."""
    state = panel.meta.get("state")
    there = {str(row[state]) for row in panel.rows} if state else set()
    return dict.fromkeys(sorted(there - {*_KNOWN}), "hatched")


def _tooltips(panel: Panel) -> list[alt.Tooltip]:
    """Every figure of the row, in words."""
    return [_tooltip(panel, name) for name in panel.rows[0]]


def _tooltip(panel: Panel, name: str) -> alt.Tooltip:
    title = words(name, panel.meta)
    if not _is_number(panel, name):
        return alt.Tooltip(field=name, type="nominal", title=title)
    has_fractions = any(isinstance(row[name], float) for row in panel.rows)
    format_ = ",.3~f" if has_fractions else ","
    return alt.Tooltip(field=name, type="quantitative", title=title, format=format_)


def _is_number(panel: Panel, name: str) -> bool:
    values = [row[name] for row in panel.rows if row[name] is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _time_axis(panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "grid": False,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "tickCount": 6,
        "labelFlush": True,
    }
    format_ = "%d %b" if _is_by_day(panel) else "%d %b %H:%M"
    return {"title": None, "scale": alt.Scale(type="utc"), "axis": alt.Axis(format=format_, **axis)}


def _room(panel: Panel) -> alt.Chart:
    """Nothing, some time before the last day: a few days shall not look like many."""
    last = max(str(row[panel.meta["x"]]) for row in panel.rows)
    day = datetime.fromisoformat(last).replace(tzinfo=timezone.utc)
    room = [{"from": int(day.timestamp() * 1000) - _GRID_DAYS * _DAY}]
    nothing = alt.Chart(alt.InlineData(values=room)).mark_point(opacity=0)
    placed: alt.Chart = nothing.encode(x=alt.X("from:T", **_time_axis(panel)))
    return placed


def _is_by_day(panel: Panel) -> bool:
    return len(str(panel.rows[0][panel.meta["x"]])) == len("2025-10-15")


def _counted(unit: str, panel: Panel, *names: str) -> alt.Axis:
    """An axis of numbers; what is counted is not drawn in halves."""
    values = [row[name] for row in panel.rows for name in names if row[name] is not None]
    is_whole = all(isinstance(value, int) for value in values)
    span = max([0, *values]) - min([0, *values])
    is_large = span >= 1_000_000
    return alt.Axis(
        title=unit or None,
        tickCount=max(1, min(4, span)) if is_whole else 4,
        domain=False,
        ticks=False,
        format="~s" if is_large else ",d" if is_whole else ",~f",
    )


def _finished(chart: Any, height: Any = _HEIGHT) -> dict[str, Any]:
    quiet = {"labelColor": tone("ink-2"), "titleColor": tone("ink-2"), "gridColor": tone("line")}
    lines = {"domainColor": tone("line"), "tickColor": tone("line")}
    found: dict[str, Any] = (
        chart.properties(
            width="container",
            height=height,
            padding=0,
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        )
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(**quiet, **lines, titleFontWeight="normal", labelPadding=6)
        .to_dict()
    )
    return found
