"""What the network learns, from instance ids: foreground, boundary and normalized distance."""

import cv2
import numpy as np

from oncotrain.tasks.histology.ids import renumber

_NEIGHBOURS = np.ones((3, 3), np.uint8)


def target_maps(instances: np.ndarray) -> np.ndarray:
    """Float32 (3, height, width) in 0..1 from ids (height, width), 0 background.

    Foreground; boundary: pixels with a pixel of another id, or background, among their 8 neighbours, on both sides;
    distance: one pixel more than to the nucleus' boundary pixels, over the largest such in the nucleus.
    """
    compact = renumber(instances)[1].astype(np.uint16)  # what OpenCV's morphology takes; a tile has far fewer
    foreground = compact > 0
    boundary = cv2.dilate(compact, _NEIGHBOURS) != cv2.erode(compact, _NEIGHBOURS)
    depth = cv2.distanceTransform((foreground & ~boundary).astype(np.uint8), cv2.DIST_L2, 3) + foreground
    deepest = np.ones(compact.max() + 1, np.float32)
    np.maximum.at(deepest, compact.ravel(), depth.ravel())
    return np.stack([foreground, boundary, depth / deepest[compact]]).astype(np.float32)
