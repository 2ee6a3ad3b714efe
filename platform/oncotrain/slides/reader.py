"""The seam between slide formats and everything else, and the choice of a reader for a file."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import openslide

from oncotrain.errors import DataError
from oncotrain.slides.dicom_reader import DicomReader
from oncotrain.slides.image_reader import ImageReader
from oncotrain.slides.openslide_reader import OpenSlideReader
from oncotrain.slides.tiff_reader import TiffReader


class SlideReader(Protocol):
    """Pixels of one slide by pyramid level, and the few facts about it that may leave `landing`.

    Label and macro images are never decoded. Messages of errors hold neither the file's name nor its text fields.
    """

    vendor: str
    """Scanner vendor as OpenSlide names it, or 'dicom', 'ome-tiff', 'tiff', 'image'."""
    mpp: tuple[float, float] | None
    """µm per pixel of level 0 along x and y; None where the file does not state it."""
    level_dimensions: tuple[tuple[int, int], ...]
    """(width, height) of each level in pixels, the largest first."""
    level_downsamples: tuple[float, ...]
    """Pixels of level 0 per pixel of each level."""

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Uint8 pixels of a rectangle inside `level`, in its pixels: (height, width, 4) RGBA, alpha 0 where nothing
        was scanned, or (height, width, 3) RGB where all was.

        Raises DataError if they cannot be decoded.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


READERS: dict[str, Callable[[Path], SlideReader]] = {
    "openslide": OpenSlideReader,
    "dicom": DicomReader,
    "tiff": TiffReader,
    "image": ImageReader,
}


def open_reader(path: Path, name: str = "") -> SlideReader:
    """The reader called `name`, or else the one for `path` by content and not by name.

    Raises DataError if no reader understands the file, or the one that does cannot open it.
    """
    if name:
        return READERS[name](path)
    if DicomReader.understands(path):
        with suppress(DataError):
            return OpenSlideReader(path)
        return DicomReader(path)
    is_ome = TiffReader.understands(path)
    if OpenSlideReader.understands(path, generic=not is_ome):
        return OpenSlideReader(path)
    if is_ome:
        return TiffReader(path)
    if ImageReader.understands(path):
        return ImageReader(path)
    raise DataError(f"is neither a slide that OpenSlide {openslide.__library_version__} reads nor an image")


def reader_name(reader: SlideReader) -> str:
    """What `READERS` calls it."""
    return next(name for name, kind in READERS.items() if kind is type(reader))
