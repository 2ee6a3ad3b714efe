"""What the network learns."""

import numpy as np
from scipy import ndimage

from oncotrain.tasks.histology.targets import target_maps
from support.tiles import tile_row


def test_foreground_and_boundary_are_exact():
    instances = tile_row(3)["instances"]
    foreground, boundary, _ = target_maps(instances)
    np.testing.assert_array_equal(foreground, instances > 0)
    neighbours = np.ones((3, 3))
    differs = ndimage.grey_dilation(instances, footprint=neighbours) != ndimage.grey_erosion(
        instances, footprint=neighbours
    )
    np.testing.assert_array_equal(boundary, differs)


def test_distance_peaks_at_one_in_every_nucleus_and_touching_nuclei_are_apart():
    instances = np.zeros((20, 40), np.int32)
    instances[4:16, 4:20] = 70000
    instances[4:16, 20:36] = 5
    _, boundary, distance = target_maps(instances)
    assert distance.max() == 1
    assert all(distance[instances == number].max() == 1 for number in (5, 70000))
    assert boundary[6:14, 19:21].all()
    assert distance[10, 19] < 0.3
    assert distance[10, 20] < 0.3
    assert not distance[instances == 0].any()
    np.testing.assert_array_equal(distance, distance[:, ::-1])


def test_ids_do_not_matter():
    instances = tile_row(4)["instances"]
    other = np.where(instances > 0, 1000 - instances * 7, 0).astype(np.int32)
    np.testing.assert_array_equal(target_maps(instances), target_maps(other))


def test_an_empty_tile_is_all_zero():
    assert not target_maps(np.zeros((8, 8), np.int32)).any()
