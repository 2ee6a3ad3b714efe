"""Which reader is chosen for a file, and that each of them gives the pixels that were written."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from oncotrain.errors import DataError
from oncotrain.slides.reader import open_reader, reader_name
from support.dicom import sequence, write_dicom

HEIGHT, WIDTH = 700, 900


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Smooth, so that JPEG keeps it within a grey value on average."""
    noise = np.random.default_rng(0).integers(40, 220, (8, 10, 3), dtype=np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def write_ome(path: Path, pixels: np.ndarray, **sizes: Any) -> Path:
    tiled: dict[str, Any] = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        tiff.write(pixels, **tiled, subifds=1, metadata={"axes": "YXS", **sizes})
        tiff.write(np.ascontiguousarray(pixels[::2, ::2]), **tiled, subfiletype=1)
        tiff.write(np.full((90, 120, 3), 235, np.uint8), photometric="rgb", metadata={"axes": "YXS", "Name": "label"})
    return path


@pytest.mark.parametrize(
    ("sizes", "mpp"),
    [
        ({"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.26}, (0.25, 0.26)),
        (
            {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"},
            (0.25,) * 2,
        ),
        ({}, None),
    ],
)
def test_ome_tiff_has_its_pyramid_and_its_spacing(
    tmp_path: Path, pixels: np.ndarray, sizes: dict[str, Any], mpp: tuple[float, float] | None
) -> None:
    with open_reader(write_ome(tmp_path / "a.tif", pixels, **sizes)) as reader:
        assert (reader_name(reader), reader.vendor) == ("tiff", "ome-tiff")
        assert reader.level_dimensions == ((WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2))
        assert reader.level_downsamples == (1.0, 2.0)
        assert reader.mpp == (pytest.approx(mpp) if mpp else None)
        for level, whole in enumerate((pixels, pixels[::2, ::2])):
            part = np.asarray(reader.read(level, 100, 50, 300, 290))
            np.testing.assert_array_equal(part[..., :3], whole[50:340, 100:400])
            assert (part[..., 3] == 255).all()


def test_a_bigtiff_of_strips_and_one_without_a_tile(tmp_path: Path, pixels: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "strips.tif", bigtiff=True) as tiff:
        tiff.write(pixels, rowsperstrip=90, compression="zlib", photometric="rgb")
    with open_reader(tmp_path / "strips.tif") as reader:
        assert (reader_name(reader), reader.vendor, reader.mpp) == ("tiff", "tiff", None)
        np.testing.assert_array_equal(np.asarray(reader.read(0, 3, 80, 500, 120))[..., :3], pixels[80:200, 3:503])

    tiles = [b"" if number == 1 else np.full((256, 256, 3), number, np.uint8).tobytes() for number in range(4)]
    with tifffile.TiffWriter(tmp_path / "sparse.tif", bigtiff=True) as tiff:
        tiff.write(iter(tiles), shape=(512, 512, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb")
    with open_reader(tmp_path / "sparse.tif", "tiff") as reader:
        region = np.asarray(reader.read(0, 250, 10, 12, 4))
        assert (region[:, :6] == (0, 0, 0, 255)).all()
        assert not region[:, 6:, 3].any()


def test_a_dicom_that_openslide_takes_and_the_same_without_what_it_needs(tmp_path: Path, pixels: np.ndarray) -> None:
    whole = write_dicom(tmp_path / "whole.dcm", pixels)
    bare = write_dicom(tmp_path / "bare.dcm", pixels, ImageType=None)
    with open_reader(whole) as first, open_reader(bare) as second, open_reader(whole, "dicom") as third:
        assert [reader_name(one) for one in (first, second, third)] == ["openslide", "dicom", "dicom"]
        for reader in (first, second, third):
            assert reader.vendor == "dicom"
            assert reader.mpp == pytest.approx((0.25, 0.25))
            assert reader.level_dimensions == ((WIDTH, HEIGHT),)
            part = np.asarray(reader.read(0, 200, 450, 700, 250)).astype(int)
            assert np.abs(part[..., :3] - pixels[450:, 200:]).mean() < 1


def test_the_order_of_frames_is_read_from_their_padding_or_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    unsaid: dict[str, Any] = {"ImageType": None, "DimensionOrganizationType": None}
    for columns_first in (False, True):
        path = write_dicom(tmp_path / f"{columns_first}.dcm", pixels, columns_first=columns_first, **unsaid)
        with open_reader(path) as reader:
            part = np.asarray(reader.read(0, 0, 0, WIDTH, HEIGHT)).astype(int)
            assert np.abs(part[..., :3] - pixels).mean() < 1
    path = write_dicom(tmp_path / "even.dcm", pixels[:512, :768], **unsaid)
    with pytest.raises(DataError, match="does not state the order of its frames"):
        open_reader(path)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "not a picture of tissue"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"]}, "not a picture of tissue"),
        ({"ImageType": None, "SpecimenLabelInImage": "YES"}, "tissue or the slide's label"),
        ({"ImageType": None, "SpecimenLabelInImage": None}, "tissue or the slide's label"),
        ({"BurnedInAnnotation": "YES"}, "burned into its pixels"),
        ({"ImageType": None, "SamplesPerPixel": 1}, "not a colour picture"),
        ({"ImageType": None, "NumberOfFrames": 11}, "12 fragments for 11 frames"),
        ({"ImageType": None, "TotalPixelMatrixColumns": 90_000}, "12 frames for a grid of 352 x 3"),
        ({"ImageType": None, "Rows": None}, "DICOM header cannot be read"),
    ],
)
def test_what_a_dicom_must_not_be(tmp_path: Path, pixels: np.ndarray, attributes: dict[str, Any], reason: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", pixels, **attributes)
    with pytest.raises(DataError, match=reason):
        open_reader(path)


def test_frames_lie_where_their_positions_say(tmp_path: Path, pixels: np.ndarray) -> None:
    """Two frames of four: what has none was not scanned."""
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels[:256, :512],
        ImageType=None,
        TotalPixelMatrixColumns=512,
        TotalPixelMatrixRows=512,
        DimensionOrganizationType="TILED_SPARSE",
        PerFrameFunctionalGroupsSequence=[
            sequence(
                PlanePositionSlideSequence=sequence(
                    ColumnPositionInTotalImagePixelMatrix=x, RowPositionInTotalImagePixelMatrix=257
                )
            )[0]
            for x in (257, 1)
        ],
    )
    with open_reader(path) as reader:
        region = np.asarray(reader.read(0, 0, 0, 512, 512)).astype(int)
    assert not region[:256].any()
    assert np.abs(region[256:, 256:, :3] - pixels[:256, :256]).mean() < 1
    assert np.abs(region[256:, :256, :3] - pixels[:256, 256:512]).mean() < 1


def test_a_plain_image_and_no_image(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_reader(tmp_path / "a.png") as reader:
        assert (reader_name(reader), reader.vendor) == ("image", "image")
    (tmp_path / "a.txt").write_text("DICM")
    with pytest.raises(DataError, match="neither a slide"):
        open_reader(tmp_path / "a.txt")
    for name in ("openslide", "dicom", "tiff", "image"):
        with pytest.raises(DataError):
            open_reader(tmp_path / "a.txt", name)
