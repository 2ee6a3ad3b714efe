"""The study as one self-contained page: no file beside it, no connection needed."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from oncotrain.study.result import CaseResult, StudyResult

PALETTE = ("#0f766e", "#7c3aed", "#d97706", "#2563eb", "#be123c", "#4d7c0f", "#475569")


def render(result: StudyResult, pictures: Mapping[str, Sequence[go.Figure]]) -> str:
    """HTML of the report. `pictures` holds each case's own figures (overlays, scatter), made by its task."""
    environment = Environment(
        loader=PackageLoader("oncotrain.study", "."), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined
    )
    environment.filters.update(bytes=_bytes, number=_number)
    charts = {
        case.name: [_as_html(chart) for chart in (_accuracy(case), _curves(case), _price(case), *pictures[case.name])]
        for case in result.cases
    }
    return environment.get_template("report.html.j2").render(result=result, charts=charts, plotlyjs=get_plotlyjs())


def _accuracy(case: CaseResult) -> go.Figure:
    """Primary figure by arm with its interval."""
    chart = go.Figure()
    for arm, colour in zip(case.arms, _colours(len(case.arms)), strict=True):
        spread = {
            "type": "data",
            "symmetric": False,
            "array": [arm.primary.high - arm.primary.value],
            "arrayminus": [arm.primary.value - arm.primary.low],
        }
        chart.add_bar(x=[arm.arm], y=[arm.primary.value], error_y=spread, marker_color=colour, name=arm.arm)
    return _styled(chart, f"{case.primary} on {case.test_patients} test patients", "", case.primary, legend=False)


def _curves(case: CaseResult) -> go.Figure:
    """Validation figure against sequential steps, first seed."""
    chart = go.Figure()
    for arm, colour in zip(case.arms, _colours(len(case.arms)), strict=True):
        steps, values = [point.step for point in arm.curve], [point.value for point in arm.curve]
        chart.add_scatter(x=steps, y=values, mode="lines+markers", name=arm.arm, line_color=colour)
    return _styled(chart, "Training, on each arm's validation patients", "sequential steps", case.primary)


def _price(case: CaseResult) -> go.Figure:
    """Accuracy against bytes that crossed a site's border."""
    chart = go.Figure()
    for arm, colour in zip(case.arms, _colours(len(case.arms)), strict=True):
        moved = (arm.cost.bytes_up + arm.cost.bytes_down) / 1e6
        point = {"size": 14, "color": colour}
        chart.add_scatter(x=[moved], y=[arm.primary.value], mode="markers", marker=point, name=arm.arm)
    return _styled(chart, "What accuracy costs in traffic", "MB across the sites' borders", case.primary)


def _styled(chart: go.Figure, title: str, x: str, y: str, *, legend: bool = True) -> go.Figure:
    return chart.update_layout(
        title=title,
        xaxis_title=x,
        yaxis_title=y,
        template="plotly_white",
        height=380,
        showlegend=legend,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
    )


def _colours(count: int) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(count)]


def _as_html(chart: go.Figure) -> str:
    shown = {"displaylogo": False, "displayModeBar": False, "responsive": True}
    return str(chart.to_html(full_html=False, include_plotlyjs=False, config=shown, default_width="100%"))


def _bytes(count: float) -> str:
    """Bytes for a person: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _number(value: float) -> str:
    """Three decimals, and a sign that survives rounding."""
    return f"{value:.3f}"
