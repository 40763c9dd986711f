"""What corruptions cost: drops are paired differences turned around, and the worst is named."""

import json

import numpy as np
import pytest

from bunri.core.errors import InputError
from bunri.scores.confusion import ClassCounts
from bunri.scores.intervals import bootstrap_difference
from bunri.scores.robustness import RobustnessCounts, choose_example, score_robustness
from tests.scores.score_population import (
    compute_global_miou,
    compute_per_image_miou,
    draw_scenes,
    predict_scenes,
)

GAINS = {"fog": -0.4, "dark": -3.0, "jpeg": 0.0, "dirt": -0.8}


def count(matrices):
    """Return the counts of matrices (N, C, C) by corruption, as an evaluation makes them."""
    each = list(matrices.values())
    photos = [
        np.array([(np.diagonal(one[i]), one[i].sum(0)) for one in each])
        for i in range(len(each[0]))
    ]
    return RobustnessCounts.of(3, tuple(matrices), photos)


def draw(num_photos=60, seed=0):
    rng = np.random.default_rng(seed)
    scenes = draw_scenes(rng, num_photos)
    clean = predict_scenes(rng, scenes)
    return clean, {name: predict_scenes(rng, scenes, gain) for name, gain in GAINS.items()}


def test_score_robustness__drops_are_paired_differences():
    clean, under = draw()
    scores = score_robustness(count(under), clean)
    assert [one.name for one in scores.corruptions] == list(GAINS)
    for one in scores.corruptions:
        assert one.global_miou == compute_global_miou(under[one.name])
        assert one.per_image_miou == pytest.approx(compute_per_image_miou(under[one.name]))
        found = bootstrap_difference(clean, under[one.name]).overall
        for key, drop in (("global_miou", one.drop), ("per_image_miou", one.per_image_drop)):
            assert drop.value == -found[key].value
            assert drop.interval.low == -found[key].interval.high
            assert drop.interval.high == -found[key].interval.low


def test_score_robustness__mean_and_worst():
    clean, under = draw()
    scores = score_robustness(count(under), clean)
    drops = [one.drop.value for one in scores.corruptions]
    assert scores.mean.drop.value == pytest.approx(np.mean(drops))
    assert scores.mean.global_miou == pytest.approx(compute_global_miou(clean) - np.mean(drops))
    assert scores.mean.drop.interval.low < scores.mean.drop.value < scores.mean.drop.interval.high
    assert scores.worst.name == "dark"
    ranked = [one.drop.value for one in scores.ranked]
    assert ranked == sorted(drops, reverse=True)


def test_score_robustness__mean_of_corruptions_that_are_all_the_same_is_one_of_them():
    clean, under = draw()
    scores = score_robustness(count(dict.fromkeys("abc", under["fog"])), clean)
    assert scores.mean.drop.value == pytest.approx(scores.corruptions[0].drop.value)
    one, mean = scores.corruptions[0].drop.interval, scores.mean.drop.interval
    assert (mean.low, mean.high) == pytest.approx((one.low, one.high))


def test_score_robustness__nothing_is_lost():
    clean, _ = draw()
    scores = score_robustness(count({"fog": clean, "dark": clean}), clean)
    assert str(scores.mean.drop.value) == "0.0"  # and not -0.0
    assert scores.worst.name == "fog"


def test_score_robustness__without_a_labelled_pixel_there_is_no_data():
    empty = np.zeros((6, 3, 3), np.int64)
    scores = score_robustness(count({"fog": empty}), empty)
    values = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert values["mean"]["drop"]["global"] == {"value": None, "interval": None}
    assert scores.mean.drop.verdict == "no data"


def test_score_robustness__few_photos_have_no_interval():
    clean, under = draw(num_photos=4)
    values = score_robustness(count(under), clean).to_json()
    assert values["worst"] in GAINS
    assert all(one["drop"]["global"]["interval"] is None for one in values["corruptions"])


def test_score_robustness__no_photos():
    counts = RobustnessCounts(3, ("fog",), *np.zeros((2, 1, 0, 3), np.int64))
    with pytest.raises(InputError, match="no photos"):
        score_robustness(counts, np.zeros((0, 3, 3), np.int64))


def test_to_json__by_name():
    clean, under = draw()
    scores = score_robustness(count(under), clean)
    values = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert values["severity"] == 3
    assert values["worst"] == "dark"
    dark = values["corruptions"][list(GAINS).index("dark")]
    assert dark["name"] == "dark"
    assert dark["miou"]["global"] == compute_global_miou(under["dark"])
    low, high = dark["drop"]["global"]["interval"]
    assert low < dark["drop"]["global"]["value"] < high


def test_choose_example__middle_drop_of_the_better_half():
    """Photos of one class and hits of 90, 80, ... of 100 pixels; corruptions cost 1, 5, 30, ..."""

    def make(hits):
        return np.array([[[100, 0], [100 - hit, hit]] for hit in hits], np.int64)

    before, after = [90, 80, 70, 20, 10, 5], [89, 50, 65, 0, 0, 0]
    chosen = choose_example(count({"fog": make(after)}), make(before))
    assert chosen == 2  # of the first three; the others were bad before
    clean = ClassCounts.of(make(before)).miou
    assert clean[2] == sorted(clean)[3]


def test_choose_example__one_photo():
    clean, under = draw(num_photos=1)
    assert choose_example(count(under), clean) == 0
