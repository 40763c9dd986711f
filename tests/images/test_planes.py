"""Planes in bands, and the class that wins a pixel."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bunri.images.decider import Decider, gather_probs
from bunri.images.planes import FramePlanes, StoredPlanes, find_contenders


def planes(*pixels):
    """Return planes of a row of pixels, the probabilities of each given."""
    probs = np.array(pixels, np.float32).T[:, None, :]
    return FramePlanes(np.ascontiguousarray(probs), (1, len(pixels)))


def test_thresholds__take_pixels_in_their_order():
    three = planes((0.7, 0.1, 0.2), (0.5, 0.2, 0.3), (0.4, 0.3, 0.3), (0.1, 0.8, 0.1))
    mask = Decider(range(3), {2: 0.3, 1: 0.2}).choose(three)
    assert mask.tolist() == [[0, 2, 2, 1]]
    np.testing.assert_allclose(gather_probs(three, mask), [[0.7, 0.3, 0.3, 0.8]])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_decider__without_ties_the_order_has_no_say(order):
    pair = planes((0.5, 0.3, 0.2), (0.1, 0.2, 0.7))
    assert Decider(order, {}).choose(pair).tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("maxima", "total", "expected"),
    [
        ((0.9, 0.05, 0.9), 1.0, [0, 2]),  # others share 0.95: the better one has 0.475 or more
        ((0.32, 0.9, 0.33), 1.0, [1]),  # 0.34 or more without the first, 0.35 without both
        ((0.35, 0.9, 0.35), 1.0, [0, 1, 2]),
        ((0.4, 0.4, 0.4), 1.0, [0, 1, 2]),
        ((0.1, 0.9, 0.9), 0.0, [0, 1, 2]),  # probabilities that are nothing somewhere
        ((0.7,), 1.0, [0]),
    ],
)
def test_contenders__by_hand(maxima, total, expected):
    assert find_contenders(np.array(maxima, np.float32), total) == expected


def draw_planes(seed, num_classes, size_hw, photo_hw):
    """Return planes in which some classes are nowhere probable."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (num_classes, *size_hw)) - rng.choice((0, 9), (num_classes, 1, 1))
    probs = np.exp(logits) / np.exp(logits).sum(0)
    return FramePlanes(probs.astype(np.float32), photo_hw)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(st.integers(0, 999), st.integers(1, 12), sizes, sizes)
def test_decider__leaves_out_only_who_wins_nowhere(seed, num_classes, size_hw, photo_hw):
    given_planes = draw_planes(seed, num_classes, size_hw, photo_hw)
    every = np.stack(list(given_planes))
    mask = Decider.plain(num_classes).choose(given_planes)
    chosen = np.take_along_axis(every, mask[np.newaxis].astype(int), 0)[0]
    # Differences are enlarged in place of probabilities: all but equal ones may change places.
    np.testing.assert_allclose(chosen, every.max(0), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(gather_probs(given_planes, mask), chosen)


@pytest.mark.parametrize(("order", "winner"), [([0, 1, 2], 1), ([0, 2, 1], 2)])
def test_decider__equals_stay_equal_when_enlarged(order, winner):
    probs = np.zeros((3, 2, 2), np.float32)
    probs[0, :, 0] = 0.1
    probs[1:] = (1 - probs[0]) / 2
    mask = Decider(order, {}).choose(FramePlanes(probs, (7, 9)))
    assert (mask == winner).all()


def test_select__gives_planes_by_index():
    three = planes((0.7, 0.1, 0.2), (0.5, 0.2, 0.3))
    assert [(i, plane.tolist()) for i, plane in three.select({2, 0})] == [
        (0, [pytest.approx([0.7, 0.5])]),
        (2, [pytest.approx([0.2, 0.3])]),
    ]


def store(probs, photo_hw):
    stored = StoredPlanes(len(probs), probs.shape[1:], photo_hw)
    stored.write_rows(0, probs)
    return stored


def cut(given_planes):
    """Return all planes put together from bands."""
    bands = [(rows, np.stack(list(band))) for rows, band in given_planes.split()]
    assert [rows.start for rows, _ in bands] == [0, *[rows.stop for rows, _ in bands[:-1]]]
    return np.concatenate([band for _, band in bands], axis=1)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 999), sizes, sizes, st.integers(1, 200))
def test_bands__together_are_the_whole(monkeypatch, seed, size_hw, photo_hw, band_pixels):
    monkeypatch.setattr("bunri.images.planes.BAND_PIXELS", band_pixels)
    frame = draw_planes(seed, 3, size_hw, photo_hw)
    probs = np.stack(list(draw_planes(seed, 3, size_hw, size_hw)))
    for planes_of_photo in (frame, store(probs, photo_hw)):
        whole = np.stack(list(planes_of_photo))
        np.testing.assert_allclose(cut(planes_of_photo), whole, atol=1e-3)
        mask = Decider.plain(3).choose(planes_of_photo)
        assert mask.shape == photo_hw
        confidence = gather_probs(planes_of_photo, mask)
        np.testing.assert_allclose(confidence, whole.max(0), atol=1e-3)
    # What needs no interpolation is exact.
    own = store(probs, size_hw)
    np.testing.assert_array_equal(cut(own), np.stack(list(own)))
