"""Made-up nuclei: outlines and optical density by class, placed without overlap. Lengths are µm until painted."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Population:
    """How nuclei of one class look and where they lie."""

    name: str
    share: float
    """Of all nuclei."""
    radius: tuple[float, float]
    """Mean and standard deviation of the longer half axis, µm."""
    elongation: tuple[float, float]
    """Range of the ratio of half axes."""
    lobes: tuple[int, float]
    """Number of lobes and their depth relative to the radius."""
    haematoxylin: float
    """Optical density of the nucleus."""
    texture: float
    """Standard deviation of chromatin clumps, relative to the density."""
    rim: float
    """Density of the nuclear membrane over that of the inside: above 1 for vesicular nuclei."""
    cytoplasm: tuple[float, float]
    """Radius of the cytoplasm over that of the nucleus, and its eosin density."""


POPULATIONS = (
    Population("epithelial", 0.45, (5.2, 0.6), (0.65, 0.9), (2, 0.03), 0.55, 0.20, 1.5, (1.7, 0.18)),
    Population("lymphocyte", 0.33, (3.3, 0.25), (0.88, 1.0), (2, 0.02), 1.05, 0.18, 1.0, (1.15, 0.05)),
    Population("macrophage", 0.12, (5.0, 0.5), (0.5, 0.65), (1, 0.22), 0.42, 0.12, 1.15, (2.0, -0.12)),
    Population("neutrophil", 0.10, (3.6, 0.25), (0.8, 1.0), (3, 0.30), 1.2, 0.05, 1.0, (1.6, 0.30)),
)


@dataclass(frozen=True)
class Nucleus:
    """One placed nucleus."""

    population: Population
    outline: np.ndarray
    """Corners (n, 2) as x, y in pixels, rounded to 1/100 as annotation tools do; not closed."""
    centre: np.ndarray
    """(2,) in pixels."""
    radius: float
    """Pixels: no corner lies further from the centre."""


def place(rng: np.random.Generator, tissue: np.ndarray, count: int, mpp: float) -> list[Nucleus]:
    """Up to `count` nuclei that lie wholly in `tissue` (bool, one value a pixel) and overlap nowhere.

    Epithelial cells crowd in nests, the others lie anywhere; a place that is taken is drawn anew a few times.
    """
    height, width = tissue.shape
    room = cv2.distanceTransform(tissue.astype(np.uint8), cv2.DIST_L2, 3)
    nests = rng.uniform(0.15, 0.85, (6, 2)) * (width, height)
    placed: list[Nucleus] = []
    centres, radii = np.empty((count, 2)), np.empty(count)
    shares = np.array([population.share for population in POPULATIONS])
    for kind in rng.choice(len(POPULATIONS), size=count, p=shares / shares.sum()):
        population = POPULATIONS[kind]
        shape = _outline(rng, population) / mpp
        radius = float(np.hypot(*shape.T).max())
        for _ in range(12):
            if population.name == "epithelial":
                centre = rng.normal(nests[rng.integers(len(nests))], 45 / mpp)
            else:
                centre = rng.uniform((0, 0), (width, height))
            x, y = int(centre[0]), int(centre[1])
            if not (0 <= x < width and 0 <= y < height) or room[y, x] < 1.5 * radius:
                continue
            taken = len(placed)
            if (np.hypot(*(centres[:taken] - centre).T) < radii[:taken] + radius).any():
                continue
            centres[taken], radii[taken] = centre, radius
            placed.append(Nucleus(population, (centre + shape).round(2), centre, radius))
            break
    return placed


def paint(rng: np.random.Generator, nuclei: list[Nucleus], haematoxylin: np.ndarray, eosin: np.ndarray) -> None:
    """Add cells to the two stains' optical density (float32, one value a pixel), in place."""
    for nucleus in nuclei:
        population = nucleus.population
        reach, amount = population.cytoplasm
        window, (x, y) = _window(nucleus, 1.1 * reach, haematoxylin.shape)
        distance = np.hypot(x - nucleus.centre[0], y - nucleus.centre[1]) / (nucleus.radius * reach)
        eosin[window] += amount * np.clip(1.5 - 1.5 * distance, 0, 1) ** 0.5
        corner = (window[1].start, window[0].start)
        inside = _filled(nucleus.outline - corner, haematoxylin[window].shape)
        depth = np.clip(cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / 3, 0, 1)
        clumps = cv2.GaussianBlur(rng.standard_normal(inside.shape, np.float32), (0, 0), 2.0) * 7
        density = population.rim + (1 - population.rim) * depth + population.texture * clumps
        density = population.haematoxylin * rng.normal(1, 0.07) * np.clip(density, 0.3, 2)
        haematoxylin[window] = haematoxylin[window] * (1 - inside) + density * inside
        eosin[window] *= 1 - 0.6 * inside


def _outline(rng: np.random.Generator, population: Population, corners: int = 36) -> np.ndarray:
    """A closed curve around 0, star-shaped and so without self-intersection: (corners, 2) µm."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    major = max(rng.normal(*population.radius), 0.6 * population.radius[0])
    minor = major * rng.uniform(*population.elongation)
    lobes, depth = population.lobes
    bumps = depth * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    for wave in (2, 3, 5):
        bumps += rng.normal(0, 0.025) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    curve = np.stack([major * np.cos(angle), minor * np.sin(angle)], axis=1) * (1 + bumps)[:, None]
    turn = rng.uniform(0, np.pi)
    return curve @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _window(
    nucleus: Nucleus, reach: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[np.ndarray, np.ndarray]]:
    """The part of the picture within `reach` radii of the nucleus, and the x and y of its pixels' centres."""
    half = reach * nucleus.radius + 2
    left, top = (max(int(value - half), 0) for value in nucleus.centre)
    right = min(int(nucleus.centre[0] + half) + 1, shape[1])
    bottom = min(int(nucleus.centre[1] + half) + 1, shape[0])
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32) + 0.5
    return (slice(top, bottom), slice(left, right)), (x, y)


def _filled(outline: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cover of each pixel by the outline, 0 to 1, float32: drawn three times as large and averaged."""
    zoom = 3
    canvas = np.zeros((shape[0] * zoom, shape[1] * zoom), np.uint8)
    corners = np.round((outline * zoom - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, shift=8)
    return cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
