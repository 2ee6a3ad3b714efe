"""Plain RGB images (PNG, JPEG, TIFF) as slides of one level; they do not state their spacing."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image, UnidentifiedImageError

from oncotrain.errors import DataError

MODES = ("RGB", "RGBA")


class ImageReader:
    """`SlideReader` over one image, decoded as a whole on opening."""

    vendor = "image"
    mpp: tuple[float, float] | None = None

    def __init__(self, path: Path) -> None:
        image = load_image(path)
        if image.mode not in MODES:
            raise DataError(f"has colour mode {image.mode}; allowed: {', '.join(MODES)}")
        self._image = image.convert("RGBA")
        self.level_dimensions: tuple[tuple[int, int], ...] = (image.size,)
        self.level_downsamples: tuple[float, ...] = (1.0,)

    @staticmethod
    def understands(path: Path) -> bool:
        """Whether the file's header is that of an image."""
        try:
            Image.open(path).close()
        except (UnidentifiedImageError, Image.DecompressionBombError):
            return False
        return True

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:  # noqa: ARG002 - one level
        """See `SlideReader.read`."""
        return np.asarray(self._image.crop((x, y, x + width, y + height)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._image.close()


def load_image(path: Path) -> Image.Image:
    """The decoded image. Raises DataError, without the file's name, if it is not an image or is damaged."""
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise DataError("has several pages; a plain image has one")
            image.load()
            return image
    except UnidentifiedImageError:
        raise DataError("is not an image") from None
    except Image.DecompressionBombError:
        raise DataError(f"has more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError):  # each of them is what Pillow says of some damage
        raise DataError("is damaged: the image cannot be decoded") from None
