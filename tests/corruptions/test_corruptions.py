"""Corruptions: the same on every call, as strong as said, and nothing moves."""

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bunri.core.errors import ImageError, InputError
from bunri.corruptions import CORRUPTIONS, DEFAULT_SEVERITY, NAMES, SEVERITIES, corrupt
from bunri.corruptions.blur import DEFOCUS_RADIUS_PX, MOTION_LENGTH_PX
from bunri.corruptions.noise import FLIPPED_SHARE, PHOTONS, SIGMA

each_name = pytest.mark.parametrize("name", NAMES)
BLURS = [one.name for one in CORRUPTIONS if one.kind == "blur"]


def draw_photo(size_hw=(192, 256)):
    """Return a photo with a gradient, shapes and letters, which each corruption can spoil."""
    height, width = size_hw
    down, right = np.mgrid[:height, :width]
    ground = np.stack((80 + 90 * down / height, 90 + 80 * right / width, 70 + 0 * down), axis=-1)
    picture = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for i in range(12):
        left, top = (i * 53) % width, (i * 37) % height
        color = [(220, 220, 210), (40, 60, 190), (190, 40, 40)][i % 3]
        draw.rectangle((left, top, left + width // 8, top + height // 9), color, (20, 20, 20))
    draw.text((width // 3, height // 2), "PAPER", (10, 10, 10))
    return np.asarray(picture)


def make_flat(value, size_hw=(256, 256)):
    return np.full((*size_hw, 3), value, np.uint8)


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def measure_error(image, other):
    return float(np.abs(image.astype(int) - other).mean())


def test_corruptions__are_fifteen():
    assert len(NAMES) == len(set(NAMES)) == 15
    assert DEFAULT_SEVERITY in SEVERITIES


# --- the same pixels ----------------------------------------------------------------------------


def test_corrupt__order_and_global_state_change_nothing():
    photo = draw_photo()
    forth = {name: digest(corrupt(photo, name)) for name in NAMES}
    np.random.seed(7)  # noqa: NPY002 (the state that must not matter)
    back = {name: digest(corrupt(photo.copy(), name)) for name in reversed(NAMES)}
    assert forth == back


def test_corrupt__is_the_same_in_another_process():
    program = """
import numpy as np
from bunri.corruptions import NAMES, corrupt
from tests.corruptions.test_corruptions import digest, draw_photo
print(*(digest(corrupt(draw_photo(), name)) for name in NAMES))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [digest(corrupt(draw_photo(), name)) for name in NAMES]


NOISE_SHA256 = {
    "gaussian_noise": "8a977dd2d5e25066",
    "shot_noise": "5b91fcfe68a4df81",
    "impulse_noise": "e6ca251f6a40fba1",
}
"""Of a ramp, the first 16 digits; noise is whole numbers throughout, so they hold everywhere."""


@pytest.mark.parametrize("name", NOISE_SHA256)
def test_corrupt__noise_is_the_same_on_every_machine(name):
    ramp = np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    assert digest(corrupt(ramp, name))[:16] == NOISE_SHA256[name]


@pytest.mark.parametrize("name", ["gaussian_noise", "motion_blur", "glare", "dirt", "fog"])
def test_corrupt__another_photo_has_other_chances(name):
    photo, other = draw_photo(), draw_photo().copy()
    other[0, 0, 0] += 1
    assert (corrupt(photo, name) != corrupt(other, name)).mean() > 0.3


@each_name
def test_corrupt__leaves_the_photo_as_it_was(name):
    photo = draw_photo()
    photo.setflags(write=False)
    corrupted = corrupt(photo, name)
    np.testing.assert_array_equal(photo, draw_photo())
    assert not np.shares_memory(photo, corrupted)


# --- any photo ----------------------------------------------------------------------------------


@each_name
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2000), (2000, 1), (2, 3), (37, 53)])
def test_corrupt__photos_of_any_size(name, size_hw):
    photo = draw_photo((64, 64))[: size_hw[0], : size_hw[1]]
    photo = np.resize(photo, (*size_hw, 3))
    for severity in (1, 5):
        corrupted = corrupt(photo, name, severity)
        assert corrupted.shape == photo.shape
        assert corrupted.dtype == np.uint8


@each_name
@pytest.mark.parametrize("value", [0, 128, 255])
def test_corrupt__grey_black_and_white_photos(name, value):
    photo = make_flat(value, (64, 96))
    corrupted = corrupt(photo, name, 5)
    assert corrupted.shape == photo.shape
    if name in (*BLURS, "contrast", "pixelate"):
        np.testing.assert_array_equal(corrupted, photo)  # nothing there to lose


@each_name
def test_corrupt__takes_a_view_with_gaps(name):
    photo = draw_photo()
    view = photo[::2, ::-2]
    np.testing.assert_array_equal(corrupt(view, name), corrupt(view.copy(), name))


# --- as strong as said --------------------------------------------------------------------------


@each_name
def test_corrupt__a_higher_severity_is_worse(name):
    photo = draw_photo()
    errors = [measure_error(photo, corrupt(photo, name, severity)) for severity in SEVERITIES]
    assert errors == sorted(errors)
    assert all(more > less for less, more in pairwise(errors))
    assert 1 < errors[2] < 90


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise__has_its_spread(severity):
    noisy = corrupt(make_flat(128), "gaussian_noise", severity).astype(float)
    sigma = 255 * SIGMA[severity - 1]
    assert noisy.mean() == pytest.approx(128, abs=1)
    if severity <= 2:  # stronger noise is cut off at black and white
        assert noisy.std() == pytest.approx(sigma, rel=0.02)
    assert noisy.std() <= 1.02 * sigma


def test_shot_noise__grows_with_the_light():
    for value in (40, 120):
        noisy = corrupt(make_flat(value), "shot_noise", 1).astype(float)
        assert noisy.mean() == pytest.approx(value, abs=0.6)
        assert noisy.var() == pytest.approx(value * 255 / PHOTONS[0], rel=0.05)
    assert (corrupt(make_flat(0), "shot_noise") == 0).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise__flips_its_share_to_black_and_white_alike(severity):
    noisy = corrupt(make_flat(128), "impulse_noise", severity)
    half = FLIPPED_SHARE[severity - 1] / 2
    assert (noisy == 0).mean() == pytest.approx(half, rel=0.06)
    assert (noisy == 255).mean() == pytest.approx(half, rel=0.06)
    assert ((noisy == 128) | (noisy == 0) | (noisy == 255)).all()


def test_noise__has_coarser_grains_on_a_larger_photo():
    noisy = corrupt(make_flat(128, (1024, 700)), "gaussian_noise")
    blocks = noisy.reshape(512, 2, 350, 2, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert (blocks[:, 0, 1:, 0] != blocks[:, 0, :-1, 0]).mean() > 0.9


def test_noise__channels_are_drawn_apart():
    noisy = corrupt(make_flat(128), "gaussian_noise").reshape(-1, 3).astype(float)
    correlations = np.corrcoef(noisy.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.02


def test_light__is_that_of_a_camera():
    """Half the light of sRGB 188 (0.5 of white) is 137; 1.3 stops more than 100 is 153."""
    assert corrupt(make_flat(188), "dark", 1).mean() == pytest.approx(137, abs=0.5)
    bright = corrupt(make_flat(100), "bright", 3)
    linear = ((100 / 255 + 0.055) / 1.055) ** 2.4 * 2**1.3
    assert (bright == round(255 * (1.055 * linear ** (1 / 2.4) - 0.055))).all()
    assert (corrupt(make_flat(240), "bright", 5) == 255).all()


def test_contrast__shrinks_towards_the_mean_of_each_channel():
    photo = make_flat(0, (2, 2))
    photo[0] = (100, 200, 40)  # means 50, 100, 20
    flat = corrupt(photo, "contrast", 1)
    assert flat[0, 0].tolist() == [80, 160, 32]
    assert flat[1, 0].tolist() == [20, 40, 8]


# --- nothing moves ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BLURS, "pixelate"])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_blur__keeps_the_middle_of_what_it_blurs(name, severity):
    photo = make_flat(0, (257, 301))
    photo[109:148, 136:165] = 255  # around the middle
    light = corrupt(photo, name, severity)[..., 0].astype(float)
    down, right = np.indices(light.shape)
    assert (light * down).sum() / light.sum() == pytest.approx(128, abs=0.8)
    assert (light * right).sum() / light.sum() == pytest.approx(150, abs=0.8)


def blur_dot(name, severity=3):
    photo = make_flat(0, (512, 512))
    photo[250:262, 250:262] = 255
    lit = corrupt(photo, name, severity)[..., 0] > 6
    return np.argwhere(lit)


def test_defocus_blur__spreads_as_far_as_its_radius():
    places = blur_dot("defocus_blur")
    reach = np.ptp(places, axis=0) / 2
    assert reach == pytest.approx(6 + DEFOCUS_RADIUS_PX[2], abs=2.5)


def test_motion_blur__lies_along_one_line():
    places = blur_dot("motion_blur", 5) - 255.5
    spread = np.linalg.eigvalsh(np.cov(places.T)) ** 0.5
    assert spread[1] > 2 * spread[0]
    assert np.linalg.norm(places, axis=1).max() < MOTION_LENGTH_PX[4] / 2 + 10


def test_motion_blur__goes_in_all_directions():
    slopes = set()
    for value in range(12):
        photo = make_flat(0, (128, 128))
        photo[60:68, 60:68] = 200 + value
        places = np.argwhere(corrupt(photo, "motion_blur", 5)[..., 0] > 6)
        slopes.add(bool(np.cov(places.T)[0, 1] > 0))
    assert slopes == {True, False}


def test_zoom_blur__is_stronger_towards_the_edges():
    photo = np.ascontiguousarray(np.tile(make_flat(0, (256, 4)), (1, 64, 1)))
    photo[:, ::8] = 255
    photo[:, 1::8] = 255
    blurred = corrupt(photo, "zoom_blur")[..., 0].astype(float)
    assert blurred[128, 112:144].std() > 2 * blurred[128, :32].std()


def test_blurs__mean_the_same_on_a_larger_photo():
    photo = draw_photo((256, 256))
    large = np.asarray(Image.fromarray(photo).resize((1024, 1024), Image.Resampling.BICUBIC))
    for name in ("defocus_blur", "gaussian_blur", "zoom_blur", "pixelate"):
        small = Image.fromarray(corrupt(large, name, 4)).resize((256, 256), Image.Resampling.BOX)
        assert measure_error(np.asarray(small), corrupt(photo, name, 4)) < 4, name


@pytest.mark.parametrize("name", ["glare", "dirt"])
def test_lens__hides_only_part_of_the_photo(name):
    photo = draw_photo((384, 512))
    changed = np.abs(corrupt(photo, name).astype(int) - photo).max(2) > 40
    assert 0.01 < changed.mean() < 0.6


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5])
def test_corrupt__no_such_severity(severity):
    with pytest.raises(InputError, match="whole number from 1 to 5"):
        corrupt(draw_photo(), "fog", severity)


def test_corrupt__no_such_corruption():
    with pytest.raises(InputError, match=r"no corruption 'fogg'. Did you mean 'fog'"):
        corrupt(draw_photo(), "fogg")


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_corrupt__no_photo(image):
    with pytest.raises(ImageError):
        corrupt(image, "fog")
