"""A picture for a person to look at: the slide's thumbnail with the tiles that are stored."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from oncotrain.slides.survey import Spot
from oncotrain.slides.tissue import SPACING

LONGEST = 2048
"""Pixels of the picture's longer side, at most."""
TISSUE, PEN, FOLD = (0, 140, 60), (220, 30, 30), (30, 60, 220)
"""Colours of a tile: as it should be; with ink on more than a tenth of it; with a fold on as much."""
MUCH = 0.1


def draw_grid(thumbnail: np.ndarray, spots: Sequence[Spot], spacing: float) -> bytes:
    """PNG of a uint8 RGB thumbnail at `oncotrain.slides.tissue.SPACING` with `spots`, in pixels of `spacing`, on it."""
    image = Image.fromarray(thumbnail)
    image.thumbnail((LONGEST, LONGEST))
    scale = spacing / SPACING * image.width / thumbnail.shape[1]
    draw = ImageDraw.Draw(image)
    for spot in sorted(spots, key=lambda spot: max(spot.pen, spot.fold)):
        colour = PEN if spot.pen > MUCH else FOLD if spot.fold > MUCH else TISSUE
        corner = (spot.x * scale, spot.y * scale)
        draw.rectangle((*corner, corner[0] + spot.width * scale, corner[1] + spot.height * scale), outline=colour)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
