"""DICOM slides as tests make them: one level, JPEG frames."""

import io
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    *,
    frame: int = 256,
    mpp: float | None = 0.25,
    columns_first: bool = False,
    **attributes: Any,
) -> Path:
    """Write uint8 (height, width, 3) `pixels`; an attribute of value None is left out. Frames are padded with black."""
    height, width = pixels.shape[:2]
    across, down = ceil(width / frame), ceil(height / frame)
    places = [(x, y) for y in range(down) for x in range(across)]
    frames = [_jpeg(pixels, x * frame, y * frame, frame) for x, y in (sorted(places) if columns_first else places)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": VLWholeSlideMicroscopyImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "Modality": "SM",
        "StudyInstanceUID": generate_uid(entropy_srcs=["study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series", path.name]),
        "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame"]),
        "DimensionOrganizationType": "TILED_FULL",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
        "NumberOfFrames": len(frames),
        "Rows": frame,
        "Columns": frame,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixRows": height,
        "TotalPixelMatrixFocalPlanes": 1,
        "BurnedInAnnotation": "NO",
        "SpecimenLabelInImage": "NO",
        "SharedFunctionalGroupsSequence": _spacing(mpp) if mpp else None,
        **attributes,
    }
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.PixelData = encapsulate(frames)
    dataset.save_as(path, enforce_file_format=True)
    return path


def sequence(**attributes: Any) -> Sequence:
    """A DICOM sequence of one item."""
    return Sequence([_item(attributes)])


def _item(attributes: Mapping[str, Any]) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def _spacing(mpp: float) -> Sequence:
    return sequence(PixelMeasuresSequence=sequence(PixelSpacing=[mpp / 1000, mpp / 1000]))


def _jpeg(pixels: np.ndarray, x: int, y: int, side: int) -> bytes:
    canvas = np.zeros((side, side, 3), np.uint8)
    part = pixels[y : y + side, x : x + side]
    canvas[: part.shape[0], : part.shape[1]] = part
    stream = io.BytesIO()
    Image.fromarray(canvas).save(stream, "JPEG", quality=95)
    return stream.getvalue()
