"""Tiles that blend: the whole photo again where the network looks at pixels alone."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.predict.settings import TileSettings
from bunri.predict.tiles import place_tiles, weigh_side
from tests.predict.fakes import ColorBackend, build, paint

OWN = TileSettings()


@given(st.integers(1, 500), st.integers(1, 100), st.floats(0, 0.75))
def test_place_tiles__cover_from_end_to_end_with_the_overlap(length, tile, overlap):
    starts = place_tiles(length, tile, overlap)
    assert starts[0] == 0
    assert len(starts) == 1 or starts[-1] + tile == length
    assert len(starts) > 1 or length <= tile
    assert (np.diff(starts) >= 1).all()
    # Rounding the places may cost a pixel.
    assert (np.diff(starts) <= max(1, tile * (1 - overlap)) + 1).all()


@given(st.integers(1, 300))
def test_weigh_side__positive_symmetric_most_in_the_middle(length):
    weights = weigh_side(length)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-4)
    assert weights.argmax() in ((length - 1) // 2, length // 2)


@settings(max_examples=30)
@given(
    st.integers(1, 90), st.integers(1, 90), st.floats(0, 0.75), st.booleans(), st.integers(0, 99)
)
def test_predict__tiles_equal_the_whole(height, width, overlap, is_mirrored, seed):
    mask = np.random.default_rng(seed).integers(0, 12, (height, width)).astype(np.uint8)
    whole = build(ColorBackend(), size_px=max(height, width))
    flips = ("horizontal",) if is_mirrored else ()
    tiled = build(ColorBackend(), size_px=32, tiles=TileSettings(overlap=overlap), flips=flips)
    image = paint(mask)
    for one, other in zip(
        tiled.predict_winners(image), whole.predict_winners(image), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(tiled.predict_mask(image), mask)


def test_predict__tiles_blend_without_a_seam():
    class Ramp:
        """Says left of a tile one thing, right another: the worst seams there are."""

        def predict_probs(self, pixels):
            ramp = np.linspace(0, 1, pixels.shape[2], dtype=np.float32)
            plane = np.broadcast_to(ramp, pixels.shape[1:])
            return np.stack([plane, 1 - plane, *[plane * 0] * 10])

    image = np.zeros((32, 200, 3), np.uint8)
    plane = build(Ramp(), size_px=64, tiles=TileSettings(overlap=0.5)).predict_probs(image)[0]
    assert np.abs(np.diff(plane, axis=1)).max() < 0.1  # butted tiles would jump by 1
    np.testing.assert_allclose(plane.std(axis=0), 0, atol=1e-6)


def test_predict__tiles_never_get_more_than_a_frame():
    backend = ColorBackend()
    build(backend, size_px=64, tiles=TileSettings(scale=3.0)).predict_mask(
        np.zeros((50, 100, 3), np.uint8)
    )
    assert set(backend.sizes_hw) == {(64, 64)}
    assert len(backend.sizes_hw) == 2 * 4  # 96 x 192 with steps of at most 48


def test_predict__a_scale_beyond_all_memory_is_refused():
    predictor = build(ColorBackend(), tiles=TileSettings(scale=1000.0))
    with pytest.raises(InputError, match=r"resized to 64000x64000; the limit is 120000000"):
        predictor.predict_mask(np.zeros((8, 8, 3), np.uint8))


PROGRAM = r"""
import re
from pathlib import Path

import numpy as np
from bunri.predict.settings import TileSettings
from tests.predict.fakes import ColorBackend, build

rng = np.random.default_rng(0)
image = np.repeat((rng.integers(0, 12, (300, 400), np.uint8) * 20).repeat(10, 0).repeat(10, 1)
                  [:, :, None], 3, 2)
predictor = build(ColorBackend(), size_px=512, tiles=TileSettings(), min_region_share=1e-6)
mask = predictor.predict_mask(image)
assert (mask == image[:, :, 0] // 20).all()
# Not getrusage, which begins with what the process that started this one held.
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_predict__twelve_megapixels_in_tiles_stay_small():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Twelve planes alone would be 0.58 GB.
    assert int(done.stdout) * 1024 < 550e6
