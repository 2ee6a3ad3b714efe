"""DICOM slides that OpenSlide refuses: one file, one level, its frames read where they lie.

Format: DICOM PS3.3 A.32.8, VL Whole Slide Microscopy Image; encapsulated frames, PS3.5 A.4.
"""

import io
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.errors import InvalidDicomError
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit

from oncotrain.errors import DataError

SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEG2000Lossless, ExplicitVRLittleEndian)
TAGS = (
    "ImageType",
    "BurnedInAnnotation",
    "SpecimenLabelInImage",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""All that is read of the header; names, dates and numbers of patients are not among them."""
SMEAR = 8
"""Pixels beside the picture's edge that lossy compression lets shine into the padding."""


class DicomReader:
    """`SlideReader` over one DICOM file."""

    vendor = "dicom"

    def __init__(self, path: Path) -> None:
        """Raises DataError if the file is damaged, not a picture of tissue, or its frames cannot be placed."""
        self._file = path.open("rb")
        try:
            header = pydicom.dcmread(self._file, stop_before_pixels=True, specific_tags=list(TAGS))
            _require_tissue(header)
            self._syntax = header.file_meta.TransferSyntaxUID
            self._frame = (int(header.Columns), int(header.Rows))
            self._size = (int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows))
            self._require_pixels(header)
            self._offsets = self._find_frames(int(header.NumberOfFrames))
            self.mpp = _mpp(header)
            self.level_dimensions: tuple[tuple[int, int], ...] = (self._size,)
            self.level_downsamples: tuple[float, ...] = (1.0,)
            self._places = self._place(header)
        except DataError:
            self._file.close()
            raise
        except (InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, EOFError, OSError, MemoryError):
            self._file.close()
            raise DataError("is damaged: its DICOM header cannot be read") from None

    @staticmethod
    def understands(path: Path) -> bool:
        """Whether the file's header is DICOM's."""
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:  # noqa: ARG002 - one level
        """See `SlideReader.read`."""
        region = Image.new("RGBA", (width, height))
        across, down = self._frame
        for row in range(y // down, ceil((y + height) / down)):
            for column in range(x // across, ceil((x + width) / across)):
                number = self._places.get((column, row))
                if number is not None:
                    inside = (min(across, self._size[0] - column * across), min(down, self._size[1] - row * down))
                    frame = self._decode(number).crop((0, 0, *inside))
                    region.paste(frame, (column * across - x, row * down - y))
        return np.asarray(region)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _require_pixels(self, header: Any) -> None:
        if self._syntax not in SYNTAXES:
            allowed = ", ".join(syntax.name for syntax in SYNTAXES)
            found = self._syntax.name if self._syntax.is_transfer_syntax else "what DICOM does not know"
            raise DataError(f"is encoded as {found}; allowed: {allowed}")
        if (int(header.SamplesPerPixel), int(header.BitsAllocated)) != (3, 8):
            raise DataError("is not a colour picture of 3 x 8 bits a pixel")
        if min(*self._frame, *self._size) < 1 or max(self._frame) > max(4096, *self._size):
            raise DataError("is damaged: its frames or its picture have no possible size")

    def _find_frames(self, count: int) -> list[tuple[int, int]]:
        """Place in the file and length of each frame's bytes. `_file` stands at the tag of the pixels."""
        self._file.seek(self._file.tell() + 12)  # tag, value representation, length
        begin = self._file.tell()
        if not self._syntax.is_encapsulated:
            length = 3 * self._frame[0] * self._frame[1]
            return [(begin + number * length, length) for number in range(count)]
        parse_basic_offsets(self._file)
        fragments, offsets = parse_fragments(self._file)
        if fragments != count:
            raise DataError(f"has {fragments} fragments for {count} frames; allowed: one a frame")
        found = []
        for offset in offsets:
            self._file.seek(offset + 4)
            found.append((offset + 8, int.from_bytes(self._file.read(4), "little")))
        return found

    def _place(self, header: Any) -> dict[tuple[int, int], int]:
        """(column, row) of the grid of frames -> number of the frame."""
        columns, rows = (ceil(size / frame) for size, frame in zip(self._size, self._frame, strict=True))
        count = len(self._offsets)
        if groups := header.get("PerFrameFunctionalGroupsSequence"):
            positions = [group.PlanePositionSlideSequence[0] for group in groups]
            return {
                (
                    (int(one.ColumnPositionInTotalImagePixelMatrix) - 1) // self._frame[0],
                    (int(one.RowPositionInTotalImagePixelMatrix) - 1) // self._frame[1],
                ): number
                for number, one in enumerate(positions)
            }
        if count != columns * rows:
            raise DataError(f"has {count} frames for a grid of {columns} x {rows}")
        by_row = {(number % columns, number // columns): number for number in range(count)}
        by_column = {(number // rows, number % rows): number for number in range(count)}
        if header.get("DimensionOrganizationType") == "TILED_FULL" or by_row == by_column:
            return by_row
        # The standard knows no other order, but a file that does not say so may have one. What lies beyond the
        # picture's edge in the last frames shows which.
        fitting = [order for order in (by_row, by_column) if self._is_padded(order, columns, rows)]
        if len(fitting) != 1:
            raise DataError("does not state the order of its frames")
        return fitting[0]

    def _is_padded(self, places: dict[tuple[int, int], int], columns: int, rows: int) -> bool:
        """Whether in this order every frame is blank beyond the picture's right and lower edges."""
        right = self._size[0] - (columns - 1) * self._frame[0] + SMEAR
        below = self._size[1] - (rows - 1) * self._frame[1] + SMEAR
        beyond = [
            *(np.asarray(self._decode(places[columns - 1, row]))[:, right:, :3] for row in range(rows)),
            *(np.asarray(self._decode(places[column, rows - 1]))[below:, :, :3] for column in range(columns)),
        ]
        return all(not pixels.size or pixels.std() < 1 for pixels in beyond)

    def _decode(self, number: int) -> Image.Image:
        offset, length = self._offsets[number]
        self._file.seek(offset)
        data = self._file.read(length)
        try:
            if not self._syntax.is_encapsulated:
                return Image.frombytes("RGB", self._frame, data).convert("RGBA")
            with Image.open(io.BytesIO(data), formats=("JPEG", "JPEG2000")) as image:
                if image.size != self._frame:
                    raise DataError(f"is damaged: frame {number} has another size than the header says")
                return image.convert("RGBA")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise DataError(f"is damaged: frame {number} cannot be decoded") from None


def _require_tissue(header: Any) -> None:
    """A label is a picture of a name: what does not say what it shows is taken only if it denies to show a label."""
    flavour = header.ImageType[2] if len(header.get("ImageType") or ()) > 2 else None
    if header.get("BurnedInAnnotation") == "YES":
        raise DataError("has annotations burned into its pixels")
    if flavour is None and header.get("SpecimenLabelInImage") != "NO":
        raise DataError("does not state whether it shows tissue or the slide's label")
    if flavour not in (None, "VOLUME"):
        raise DataError("is not a picture of tissue at full resolution (its ImageType is not VOLUME)")


def _mpp(header: Any) -> tuple[float, float] | None:
    try:
        rows, columns = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    except (AttributeError, IndexError, ValueError, TypeError):
        return None
    return float(columns) * 1000, float(rows) * 1000
