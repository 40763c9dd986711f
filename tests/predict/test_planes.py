"""Means, votes, claims and ties, reckoned by hand."""

import numpy as np
import pytest

from bunri.predict.decider import Decider
from bunri.predict.planes import FramePlanes, MeanPlanes, MinMaxPlanes, VotePlanes
from tests.predict.fakes import SMALL_TABLE, ColorBackend, FixedBackend, build


def planes(*pixels):
    """Return planes of a row of pixels, the probabilities of each given."""
    probs = np.array(pixels, np.float32).T[:, None, :]
    return FramePlanes(np.ascontiguousarray(probs), (1, len(pixels)))


def stack(given):
    return np.stack(list(given))[:, 0].T


def test_mean__weights_count():
    mean = MeanPlanes([planes((1, 0, 0)), planes((0.1, 0.5, 0.4))], [2, 1])
    np.testing.assert_allclose(stack(mean), [(0.7, 0.5 / 3, 0.4 / 3)], rtol=1e-6)


def test_votes__shares_and_ties_by_priority():
    masks = [np.array([[0, 1, 2]], np.uint8), np.array([[0, 2, 2]], np.uint8)]
    votes = VotePlanes(masks, [1, 1], 3)
    np.testing.assert_array_equal(stack(votes), [(1, 0, 0), (0, 0.5, 0.5), (0, 0, 1)])
    assert Decider.plain(3).choose(votes)[0].tolist() == [[0, 1, 2]]
    mask, confidence = Decider([2, 0, 1], {}).choose(votes)
    assert mask.tolist() == [[0, 2, 2]]
    assert confidence.tolist() == [[1, 0.5, 1]]


def test_votes__thirds_are_ties_however_they_are_summed():
    masks = [np.array([[index]], np.uint8) for index in (2, 1, 1)]
    votes = VotePlanes(masks, [0.3, 0.1, 0.2], 3)
    assert Decider([2, 1, 0], {}).choose(votes)[0].tolist() == [[2]]


def test_min_max__each_model_has_the_same_span():
    sure = planes((0.98, 0.01, 0.01), (0.01, 0.98, 0.01))
    unsure = planes((0.4, 0.3, 0.3), (0.3, 0.3, 0.4))
    alone = stack(MinMaxPlanes([unsure], [1]))
    np.testing.assert_allclose(alone, [(1, 0, 0), (0, 0, 1)], atol=1e-6)
    both = stack(MinMaxPlanes([sure, unsure], [1, 1]))
    # The second pixel: 1 and 0 of class 1 against 0 and 1 of class 2, so both are as probable.
    np.testing.assert_allclose(both, [(1, 0, 0), (0, 0.5, 0.5)], atol=1e-6)


def test_claims__take_pixels_in_their_order():
    given = planes((0.7, 0.1, 0.2), (0.5, 0.2, 0.3), (0.4, 0.3, 0.3), (0.1, 0.8, 0.1))
    mask, confidence = Decider(range(3), {2: 0.3, 1: 0.2}).choose(given)
    assert mask.tolist() == [[0, 2, 2, 1]]
    np.testing.assert_allclose(confidence, [[0.7, 0.3, 0.3, 0.8]])


def test_predictor__claims_and_regions_give_the_chosen_class_probability():
    predictor = build(
        FixedBackend(0.6, 0.3, 0.1),
        table=SMALL_TABLE,
        claims=({"name": "tin", "probability": 0.3},),
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


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_decider__without_ties_the_order_has_no_say(order):
    given = planes((0.5, 0.3, 0.2), (0.1, 0.2, 0.7))
    assert Decider(order, {}).choose(given)[0].tolist() == [[0, 2]]
