"""Views and their inverse, on arrays whose every pixel differs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.predict.settings import PredictionSettings
from bunri.predict.tta import View, list_views
from tests.predict.fakes import ColorBackend, build, paint

VIEWS = st.builds(View, st.booleans(), st.integers(0, 3))


@given(VIEWS, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_view__undo_is_the_inverse_of_apply(view, height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    seen = view.apply(image)
    planes = np.ascontiguousarray(seen.transpose(2, 0, 1), np.float32)
    np.testing.assert_array_equal(view.undo(planes), image.transpose(2, 0, 1))


def test_view__by_hand():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert View(is_mirrored=True).apply(image).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert View(quarter_turns=1).apply(image).tolist() == [[2, 5], [1, 4], [0, 3]]
    assert View(is_mirrored=True, quarter_turns=2).apply(image).tolist() == [[3, 4, 5], [0, 1, 2]]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"flips": ("horizontal",)}, 2),
        ({"flips": ("horizontal", "vertical")}, 4),
        ({"turns": True}, 4),
        ({"flips": ("vertical",), "turns": True}, 8),
        ({"flips": ("horizontal",), "scales": (1.0, 1.5, 0.5)}, 6),
    ],
)
def test_list_views__each_once_and_all_different(settings, count):
    views = list_views(PredictionSettings(**settings))
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    seen = {(view.scale, view.apply(image).tobytes()) for view in views}
    assert len(views) == len(seen) == count
    assert views[0] == View()


@settings(max_examples=30)
@given(st.integers(0, 999), st.booleans(), st.sampled_from([(48, 64), (64, 33), (1, 64), (64, 64)]))
def test_predict__all_views_of_a_pattern_say_it_exactly(seed, turns, size_hw):
    mask = np.random.default_rng(seed).integers(0, 12, size_hw).astype(np.uint8)
    predictor = build(ColorBackend(), flips=("horizontal", "vertical"), turns=turns)
    found, confidence = predictor.predict_winners(paint(mask))
    np.testing.assert_array_equal(found, mask)
    assert (confidence == 1).all()


@settings(max_examples=20)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_predict__a_shifted_pattern_gives_the_shifted_mask(down, right):
    mask = np.random.default_rng(1).integers(0, 12, (48, 64)).astype(np.uint8)
    predictor = build(ColorBackend(), flips=("horizontal",), turns=True)
    shifted = np.roll(mask, (down, right), (0, 1))
    np.testing.assert_array_equal(predictor.predict_mask(paint(shifted)), shifted)


def test_predict__scales_are_looked_at_and_come_back():
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 3
    backend = ColorBackend()
    probs = build(backend, scales=(1.0, 0.5, 2.0)).predict_probs(paint(mask))
    assert backend.sizes_hw == [(64, 64), (32, 32), (96, 128)]
    assert probs.shape == (12, 48, 64)
    np.testing.assert_allclose(probs.sum(0), 1, atol=1e-6)
    found = probs.argmax(0)
    np.testing.assert_array_equal(found[:, :30], mask[:, :30])
    np.testing.assert_array_equal(found[:, 34:], mask[:, 34:])


def test_predict__one_scale_alone_is_a_frame_of_that_size():
    photo = np.random.default_rng(0).integers(0, 256, (100, 130, 3), np.uint8)
    found = build(ColorBackend(), size_px=64, scales=(1.5,)).predict_probs(photo)
    np.testing.assert_array_equal(found, build(ColorBackend(), size_px=96).predict_probs(photo))
