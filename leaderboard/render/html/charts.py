"""The page's charts: Vega-Lite written by Altair, without data, and the scripts that draw them, from their package.

A chart's data come as named data sets (`points`, `cells`, `classes`, `pairs`), put in by the page when the chart is
shown, so that ten models share one specification. Names from strangers are data, and data are never evaluated.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

COLORS = (
    "#2a86c7", "#e0701f", "#1d9e73", "#c867a0", "#8f7ad1", "#c49a00", "#4bb3d8", "#b05b5b", "#7d8790", "#7a9a2e",
)  # fmt: skip
"""One for each model, again from the start after ten; they show on the white and on the dark page."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right")
DANGER = ("#7d8790", "#7d8790", "#c49a00", "#e0701f", "#d13438")
"""By danger, 0 to 4."""


@cache
def scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines ``vegaEmbed``; it loads nothing and fits into HTML."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def specifications() -> dict[str, Any]:
    """The charts by name, as Vega-Lite: ``curve``, ``steps``, ``pair``, ``classes``, ``confusions``."""
    return {
        "curve": _curve("linear"),
        "steps": _curve("log"),
        "pair": _pair(),
        "classes": _classes(),
        "confusions": _confusions(),
    }


def _curve(scale: Literal["linear", "log"]) -> dict[str, Any]:
    """`points`: x, accuracy, low, high in percent, model, c (its place), cell; null where there is no number."""
    import altair as alt

    color = alt.Color("c:N", scale=alt.Scale(domain=list(range(len(COLORS))), range=list(COLORS)), legend=None)
    axis = alt.Axis(grid=False, tickMinStep=0) if scale == "linear" else alt.Axis(grid=False)
    x = alt.X("x:Q", scale=alt.Scale(type=scale, nice=False), axis=axis).title(None)
    up = alt.Scale(domain=[0, 100])
    line = alt.Chart().encode(
        x, alt.Y("accuracy:Q", scale=up).title("right, %"), color, alt.Detail("model:N"),
    )  # fmt: skip
    band = alt.Chart().encode(
        x, alt.Y("low:Q", scale=up).title("right, %"), alt.Y2("high:Q"), color, alt.Detail("model:N")
    )
    shape = alt.Shape(
        "c:N",
        scale=alt.Scale(domain=list(range(len(COLORS))), range=[SHAPES[i % len(SHAPES)] for i in range(len(COLORS))]),
        legend=None,
    )
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("cell:N"),
        alt.Tooltip("accuracy:Q", format=".1f", title="right, %"),
        alt.Tooltip("low:Q", format=".1f", title="interval from"),
        alt.Tooltip("high:Q", format=".1f", title="to"),
    ]
    layers = alt.layer(
        band.mark_area(opacity=0.18),
        line.mark_line(strokeWidth=2),
        line.mark_point(filled=True, size=55, opacity=1).encode(shape, tooltip=tooltip),
        data=alt.NamedData("points"),
    )
    return _finish(layers.properties(width="container", height=220))


def _pair() -> dict[str, Any]:
    """`cells`: cell, order, difference, low, high in points, significant, and the counts for the tooltip."""
    import altair as alt

    y = alt.Y("cell:N", sort=alt.SortField("order"), axis=alt.Axis(labelLimit=160)).title(None)
    color = alt.Color(
        "significant:N",
        scale=alt.Scale(domain=["yes", "no"], range=[COLORS[0], COLORS[8]]),
        legend=alt.Legend(orient="top"),
    )
    tooltip = [
        alt.Tooltip("cell:N"),
        alt.Tooltip("difference:Q", format="+.1f", title="difference, points"),
        alt.Tooltip("low:Q", format="+.1f", title="interval from"),
        alt.Tooltip("high:Q", format="+.1f", title="to"),
        alt.Tooltip("a:Q", title="only the first right"),
        alt.Tooltip("b:Q", title="only the second right"),
        alt.Tooltip("p:Q", format=".2g", title="p, corrected"),
    ]
    x = alt.X("low:Q").title("difference in points of accuracy")
    base = alt.Chart().encode(y, color)
    layers = alt.layer(
        alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.6).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(x, alt.X2("high:Q")),
        base.mark_point(filled=True, size=60, opacity=1).encode(alt.X("difference:Q"), tooltip=tooltip),
        data=alt.NamedData("cells"),
    )
    return _finish(layers.properties(width="container", height=alt.Step(20)))


def _classes() -> dict[str, Any]:
    """`classes`: name, order, n, clean and worst in percent."""
    import altair as alt

    y = alt.Y("name:N", sort=alt.SortField("order"), axis=alt.Axis(labelLimit=190)).title(None)
    share = alt.Scale(domain=[0, 100])
    tooltip = [
        alt.Tooltip("name:N", title="class"),
        alt.Tooltip("n:Q", title="samples"),
        alt.Tooltip("clean:Q", format=".1f", title="clean, %"),
        alt.Tooltip("worst:Q", format=".1f", title="under attack, %"),
    ]
    base = alt.Chart().encode(y, tooltip=tooltip)
    layers = alt.layer(
        base.mark_bar(color=COLORS[8], opacity=0.35).encode(alt.X("clean:Q", scale=share).title("right, %")),
        base.mark_bar(color=COLORS[0], height={"band": 0.55}).encode(alt.X("worst:Q", scale=share)),
        data=alt.NamedData("classes"),
    )
    return _finish(layers.properties(width="container", height=alt.Step(15)))


def _confusions() -> dict[str, Any]:
    """`pairs`: sign, read (names), so and ro (their places), count, danger, why."""
    import altair as alt

    axis = alt.Axis(labelLimit=110, grid=True)
    chart = (
        alt.Chart(alt.NamedData("pairs"))
        .mark_circle(opacity=0.85)
        .encode(
            alt.X("read:N", sort=alt.SortField("ro"), axis=alt.Axis(labelLimit=110, labelAngle=-60)).title("read as"),
            alt.Y("sign:N", sort=alt.SortField("so"), axis=axis).title("sign"),
            alt.Size("count:Q", scale=alt.Scale(range=[15, 260]), legend=None),
            alt.Color(
                "danger:O",
                scale=alt.Scale(domain=list(range(len(DANGER))), range=list(DANGER)),
                legend=alt.Legend(orient="top", title="danger", values=[1, 2, 3, 4]),
            ),
            tooltip=[
                alt.Tooltip("sign:N"),
                alt.Tooltip("read:N", title="read as"),
                alt.Tooltip("count:Q", title="samples"),
                alt.Tooltip("danger:O"),
                alt.Tooltip("why:N", title="the driver"),
            ],
        )
        .properties(width="container", height=alt.Step(15))
    )
    return _finish(chart)


def _finish(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart.to_dict(validate=True)
    found.pop("$schema", None)  # an address, of which the page needs none
    found["autosize"] = {"type": "fit-x", "contains": "padding"}
    found.pop("config", None)  # colors of axes and text follow the page's theme
    return found
