"""Nuclei as people look at them: outlines on the tissue, truth beside each prediction."""

import base64
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from skimage.morphology import dilation
from skimage.segmentation import find_boundaries

from oncotrain.tasks.task import Row

SIDE = 192
"""Pixels of an image that are shown, square, from its middle."""

COLOURS = np.array([[0, 0, 0], [0, 200, 0], [0, 150, 255], [255, 140, 0], [255, 0, 90], [140, 80, 255], [0, 170, 170]])
"""By class, apart from the stains' pinks and purples; nuclei of no known class have the second."""

WIDTH = 1100
"""Pixels that a line of pictures takes on the page, about."""


def overlays(
    units: Sequence[tuple[Row, Mapping[str, Mapping[str, np.ndarray]]]], spacing: float, classes: Sequence[str]
) -> go.Figure:
    """One line of pictures a unit: truth, then each arm's prediction; outlines coloured by class."""
    arms = list(units[0][1])
    titles = ["truth", *arms]
    chart = make_subplots(
        len(units), len(titles), column_titles=titles, horizontal_spacing=0.005, vertical_spacing=0.01
    )
    for line, (image, predictions) in enumerate(units, start=1):
        drawn = [_outlined(image["pixels"], image["instances"], image["classes"])]
        for arm in arms:
            instances = predictions[arm]["instances"]
            drawn.append(_outlined(image["pixels"], instances, _painted(instances, predictions[arm]["classes"])))
        for column, picture in enumerate(drawn, start=1):
            chart.add_trace(go.Image(source=_png(picture), hoverinfo="skip"), row=line, col=column)
    legend = " · ".join(
        f'<span style="color:rgb{tuple(colour.tolist())}">{name}</span>'
        for name, colour in zip(classes, COLOURS[1:], strict=False)
    )
    size = SIDE * spacing
    return (
        chart.update_xaxes(visible=False)
        .update_yaxes(visible=False)
        .update_layout(
            title=f"Nuclei, {size:.0f} µm wide {legend}",
            height=90 + len(units) * WIDTH // len(titles),
            margin={"l": 5, "r": 5, "t": 80, "b": 5},
        )
    )


def _painted(instances: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Class of each pixel from the class of each instance; 0 where there are no classes."""
    if not len(classes):
        return np.zeros_like(instances)
    return np.concatenate([[0], classes])[instances]


def _outlined(pixels: np.ndarray, instances: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """RGB of the middle of the image with each nucleus outlined, at twice the size for lines of three pixels."""
    middle = tuple(
        slice(max(0, (length - SIDE) // 2), max(0, (length - SIDE) // 2) + SIDE) for length in instances.shape
    )
    shown = cv2.resize(pixels[middle], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    ids, kinds = (raster[middle].repeat(2, 0).repeat(2, 1) for raster in (instances, classes))
    edge = dilation(find_boundaries(ids, mode="inner")) & (ids > 0)
    shown[edge] = COLOURS[np.where(kinds[edge] > 0, kinds[edge], 1) % len(COLOURS)]
    return shown


def _png(picture: np.ndarray) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
