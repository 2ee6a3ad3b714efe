"""Predicted against measured response, one panel an arm."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Row

POINTS = 2000
"""Pairs shown at most, drawn with a fixed seed: the same ones in every panel."""


def scatter(units: Sequence[tuple[Row, Mapping[str, Mapping[str, np.ndarray]]]], drugs: Sequence[str]) -> go.Figure:
    """Panels of predicted against measured response of the test samples, with the diagonal of perfect prediction."""
    arms = list(units[0][1])
    measured = response_matrix([row for row, _ in units], len(drugs))
    sample, drug = np.nonzero(~np.isnan(measured))
    shown = np.random.default_rng(0).permutation(len(sample))[:POINTS]
    sample, drug = sample[shown], drug[shown]
    x = measured[sample, drug]
    ends = [float(x.min()), float(x.max())]
    chart = make_subplots(1, len(arms), subplot_titles=arms, shared_yaxes=True, horizontal_spacing=0.02)
    for column, arm in enumerate(arms, start=1):
        predicted = np.stack([predictions[arm]["response"] for _, predictions in units])[sample, drug]
        points = {"size": 4, "opacity": 0.45, "color": "#2563eb"}
        names = [drugs[int(index)] for index in drug]
        chart.add_scattergl(x=x, y=predicted, mode="markers", marker=points, text=names, row=1, col=column)
        chart.add_scatter(x=ends, y=ends, mode="lines", line={"color": "#94a3b8", "dash": "dot"}, row=1, col=column)
    return (
        chart.update_xaxes(title="measured")
        .update_yaxes(title="predicted", col=1)
        .update_layout(
            title="Predicted against measured response",
            template="plotly_white",
            showlegend=False,
            height=420,
            margin={"l": 60, "r": 20, "t": 70, "b": 50},
        )
    )
