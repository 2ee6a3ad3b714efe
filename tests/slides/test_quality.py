import cv2
import numpy as np

from oncotrain.slides.quality import focus, is_blank

SHARP = np.random.default_rng(0).integers(60, 220, (256, 256, 3), dtype=np.uint8)


def test_blur_takes_focus_away() -> None:
    figures = [focus(SHARP), *(focus(cv2.GaussianBlur(SHARP, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4))]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 20 * figures[-1]


def test_blank_is_one_tone_with_noise_and_perhaps_a_speck() -> None:
    glass = np.full((256, 256, 3), 240, np.uint8)
    glass += np.random.default_rng(0).integers(0, 6, glass.shape, dtype=np.uint8)
    glass[100:110, 100:110] = 40
    assert is_blank(glass)
    glass[:, :40] = 150
    assert not is_blank(glass)
    assert not is_blank(SHARP)
