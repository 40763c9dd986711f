"""Means, votes and stretched logits of several models, with answers known by hand."""

import numpy as np

from bunri.images.decider import Decider, gather_probs
from bunri.images.planes import FramePlanes
from bunri.predict.combine import MeanPlanes, MinMaxPlanes, VotePlanes
from tests.predict.fakes import SMALL_TABLE, ColorBackend, FixedBackend, build


def planes(*pixels):
    """Return planes of a row of pixels, the probabilities of each given."""
    probs = np.array(pixels, np.float32).T[:, None, :]
    return FramePlanes(np.ascontiguousarray(probs), (1, len(pixels)))


def stack(some):
    return np.stack(list(some))[:, 0].T


def test_mean__weights_count():
    mean = MeanPlanes([planes((1, 0, 0)), planes((0.1, 0.5, 0.4))], [2, 1])
    np.testing.assert_allclose(stack(mean), [(0.7, 0.5 / 3, 0.4 / 3)], rtol=1e-6)


def test_votes__shares_and_ties_by_priority():
    masks = [np.array([[0, 1, 2]], np.uint8), np.array([[0, 2, 2]], np.uint8)]
    votes = VotePlanes(masks, [1, 1], 3)
    np.testing.assert_array_equal(stack(votes), [(1, 0, 0), (0, 0.5, 0.5), (0, 0, 1)])
    assert Decider.plain(3).choose(votes).tolist() == [[0, 1, 2]]
    mask = Decider([2, 0, 1], {}).choose(votes)
    assert mask.tolist() == [[0, 2, 2]]
    assert gather_probs(votes, mask).tolist() == [[1, 0.5, 1]]


def test_votes__thirds_are_ties_however_they_are_summed():
    masks = [np.array([[index]], np.uint8) for index in (2, 1, 1)]
    votes = VotePlanes(masks, [0.3, 0.1, 0.2], 3)
    assert Decider([2, 1, 0], {}).choose(votes).tolist() == [[2]]


def test_min_max__each_model_has_the_same_span():
    sure = planes((0.98, 0.01, 0.01), (0.01, 0.98, 0.01))
    unsure = planes((0.4, 0.3, 0.3), (0.3, 0.3, 0.4))
    alone = stack(MinMaxPlanes([unsure], [1]))
    np.testing.assert_allclose(alone, [(1, 0, 0), (0, 0, 1)], atol=1e-6)
    both = stack(MinMaxPlanes([sure, unsure], [1, 1]))
    # The second pixel: 1 and 0 of class 1 against 0 and 1 of class 2, so both are as probable.
    np.testing.assert_allclose(both, [(1, 0, 0), (0, 0.5, 0.5)], atol=1e-6)


def test_predictor__class_thresholds_and_specks_give_the_chosen_class_probability():
    predictor = build(
        FixedBackend(0.6, 0.3, 0.1),
        table=SMALL_TABLE,
        class_thresholds=({"name": "tin", "probability": 0.3},),
    )
    mask, confidence = predictor.predict_winners(np.zeros((40, 40, 3), np.uint8))
    assert (mask == 1).all()
    np.testing.assert_allclose(confidence, 0.3)
    image = np.zeros((64, 64, 3), np.uint8)
    image[5, 5] = 40
    cleaned, confidence = build(ColorBackend(), min_region_share=0.01).predict_winners(image)
    assert not cleaned.any()
    assert confidence[5, 5] == 0
    assert confidence[5, 6] == 1


def test_combined__bands_together_are_the_whole(monkeypatch):
    monkeypatch.setattr("bunri.images.planes.BAND_PIXELS", 20)
    rng = np.random.default_rng(0)
    probs = rng.dirichlet((0.5,) * 3, (7, 9)).astype(np.float32).transpose(2, 0, 1)
    frame = FramePlanes(np.ascontiguousarray(probs), (7, 9))
    other = FramePlanes(np.ascontiguousarray(probs[:, ::-1]), (7, 9))
    votes = VotePlanes([Decider.plain(3).choose(one) for one in (frame, other)], [2, 1], 3)
    for combined in (MeanPlanes([frame, other], [2, 1]), votes):
        bands = [(rows.start, np.stack(list(band))) for rows, band in combined.split()]
        assert [start for start, _ in bands] == [0, 2, 4, 6]
        whole = np.concatenate([band for _, band in bands], axis=1)
        np.testing.assert_array_equal(whole, np.stack(list(combined)))
