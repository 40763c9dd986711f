"""Intervals against a bootstrap written out in loops, normal theory and simulated populations."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.scores.calibration import compute_error
from bunri.scores.confusion import ClassCounts
from bunri.scores.intervals import (
    MIN_PHOTOS,
    Draws,
    bootstrap_difference,
    bootstrap_distance,
    bootstrap_scores,
)
from bunri.scores.metrics import compute_scores, list_class_scores, list_scores
from tests.scores.score_population import (
    compute_global_miou,
    compute_per_image_miou,
    draw_matrices,
    draw_scenes,
    predict_scenes,
)

SEEDS = st.integers(0, 2**32 - 1)
OVERALL_SCORES = [score.key for score in list_scores("set", "photos")]
CLASS_SCORES = [score.key for score in list_class_scores("set")]
NAMES = ["a", "b", "c", "d", "e", "f"]


def width(interval):
    return interval.high - interval.low


# --- against a bootstrap in loops ---------------------------------------------------------------

STUDENT_975 = {4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622, 10: 2.2281,
               11: 2.2010}  # fmt: skip
"""Degrees of freedom -> Student's t, from a printed table."""
NORMAL_975 = 1.9600


def reckon_interval(photos, score, num_draws, seed):
    """Return the interval as its definition says, from whole lists of photos."""
    num = len(photos)
    rng = np.random.default_rng(seed)
    draws = [
        score(np.array([photos[i] for i in rng.integers(0, num, num)])) for _ in range(num_draws)
    ]
    left_out = np.array([score(np.delete(photos, i, axis=0)) for i in range(num)])
    error = math.sqrt((num - 1) * np.var(left_out))
    kurtosis = np.mean((left_out - left_out.mean()) ** 4) / np.var(left_out) ** 2
    freedom = min(max(2 * num / (kurtosis - 1), 4), num - 1)
    student = np.interp(freedom, list(STUDENT_975), list(STUDENT_975.values()))
    stretch = max(1.0, error * student / (np.std(draws) * NORMAL_975))
    value = score(photos)
    return tuple(value + stretch * (np.quantile(draws, q) - value) for q in (0.025, 0.975))


@pytest.mark.parametrize("num_photos", [6, 12])
def test_bootstrap_scores__equal_a_bootstrap_in_loops(num_photos):
    photos = draw_matrices(np.random.default_rng(num_photos), num_photos)[:, :3, :3]
    photos[:, 1, 1] += 1  # each draw holds each class
    photos[:, 2, 2] += 1
    found = bootstrap_scores(photos, Draws(200, seed=7))
    for name, score in (
        ("global_miou", compute_global_miou),
        ("per_image_miou", compute_per_image_miou),
        ("pixel_accuracy", lambda m: compute_scores(m).overall["pixel_accuracy"]),
        ("weighted_iou", lambda m: compute_scores(m).overall["weighted_iou"]),
    ):
        low, high = reckon_interval(photos, score, 200, 7)
        assert found.overall[name].low == pytest.approx(low, abs=1e-3), name
        assert found.overall[name].high == pytest.approx(high, abs=1e-3), name
    for name in CLASS_SCORES:
        low, high = reckon_interval(
            photos, lambda m, name=name: compute_scores(m).classes[2].scores[name], 200, 7
        )
        assert found.classes[name][2].low == pytest.approx(max(low, 0), abs=3e-3), name
        assert found.classes[name][2].high == pytest.approx(min(high, 1), abs=3e-3), name


def test_bootstrap_scores__mean_over_photos_has_the_width_of_normal_theory():
    matrices = draw_matrices(np.random.default_rng(3), 400)
    per_photo = [compute_per_image_miou(matrices[i : i + 1]) for i in range(400)]
    expected = 2 * 1.966 * np.std(per_photo, ddof=1) / 20
    found = bootstrap_scores(matrices, Draws(4000)).overall["per_image_miou"]
    assert width(found) == pytest.approx(expected, rel=0.05)


def test_bootstrap_scores__four_times_the_photos_halve_the_width():
    matrices = draw_matrices(np.random.default_rng(5), 200)
    few, many = (bootstrap_scores(np.tile(matrices, (n, 1, 1)), Draws(4000)) for n in (1, 4))
    for name in OVERALL_SCORES:
        assert width(few.overall[name]) / width(many.overall[name]) == pytest.approx(2, rel=0.1)


def test_bootstrap_scores__chunks_of_draws_change_nothing_but_memory(monkeypatch):
    matrices = draw_matrices(np.random.default_rng(0), 20)
    whole = bootstrap_scores(matrices).to_json(NAMES)
    monkeypatch.setattr("bunri.scores.resampling._MAX_CHUNK_BYTES", 20 * 8 * 7)
    assert bootstrap_scores(matrices).to_json(NAMES) == whole


@given(SEEDS)
def test_bootstrap_scores__hold_the_score_itself(seed):
    matrices = draw_matrices(np.random.default_rng(seed), 12)
    sheet, found = compute_scores(matrices), bootstrap_scores(matrices, Draws(200))
    for name in OVERALL_SCORES:
        interval = found.overall[name]
        assert 0 <= interval.low <= sheet.overall[name] <= interval.high <= 1
    for name in CLASS_SCORES:
        for one, interval in zip(sheet.classes, found.classes[name], strict=True):
            if interval.to_json() is not None:
                assert 0 <= interval.low <= one.scores[name] <= interval.high <= 1


def test_bootstrap_scores__same_seed_same_intervals():
    matrices = draw_matrices(np.random.default_rng(0), 30)
    first, again, other = (
        bootstrap_scores(matrices, Draws(seed=seed)).overall for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_bootstrap_scores__higher_level_is_wider():
    matrices = draw_matrices(np.random.default_rng(0), 30)
    widths = [
        width(bootstrap_scores(matrices, Draws(level=level)).overall["global_miou"])
        for level in (0.5, 0.8, 0.95, 0.99)
    ]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


def test_bootstrap_scores__photos_that_are_all_alike_leave_no_doubt():
    found = bootstrap_scores(np.array([[[6, 2], [0, 8]]] * 9))
    interval = found.overall["pixel_accuracy"]
    assert interval.low == pytest.approx(14 / 16)
    assert interval.high == pytest.approx(14 / 16)


# --- where there is too little ------------------------------------------------------------------


@pytest.mark.parametrize(("num_with_it", "has_interval"), [(0, 0), (MIN_PHOTOS - 1, 0),
                                                           (MIN_PHOTOS, 1)])  # fmt: skip
def test_bootstrap_scores__class_in_few_photos_has_no_interval(num_with_it, has_interval):
    matrices = np.zeros((60, 3, 3), np.int64)
    matrices[:, 0, 0] = np.arange(100, 160)
    matrices[:, 0, 1], matrices[:, 1, 1] = 5, 40
    matrices[:, 0, 2] = 1  # predicted in every photo
    matrices[:num_with_it, 2, 2] = np.arange(num_with_it) + 7
    matrices[:num_with_it, 2, 0] = 3
    found = bootstrap_scores(matrices)
    for name in ("iou", "recall", "f1"):
        assert (found.classes[name][2].to_json() is not None) == has_interval
        assert found.classes[name][1].to_json() is not None
    assert found.overall["global_miou"].to_json() is not None


@pytest.mark.parametrize("num_photos", [1, MIN_PHOTOS - 1])
def test_bootstrap_scores__few_photos_have_no_interval(num_photos):
    found = bootstrap_scores(draw_matrices(np.random.default_rng(0), num_photos))
    values = found.to_json(NAMES)
    assert all(values[name] is None for name in OVERALL_SCORES)
    json.dumps(values, allow_nan=False)


def test_bootstrap_scores__ignored_photos_alone():
    found = bootstrap_scores(np.zeros((8, 2, 2), np.int64))
    assert all(interval.to_json() is None for interval in found.overall.values())


def test_bootstrap_scores__photo_that_is_all_ignored_is_left_out_of_the_mean():
    matrices = np.array([[[6, 2], [0, 8]]] * 9 + [[[0, 0], [0, 0]]] * 3)
    interval = bootstrap_scores(matrices).overall["per_image_miou"]
    expected = (6 / 8 + 8 / 10) / 2
    assert interval.low == pytest.approx(expected)
    assert interval.high == pytest.approx(expected)


@pytest.mark.parametrize("matrices", [np.zeros((0, 3, 3), np.int64), np.zeros((3, 3), np.int64)])
def test_bootstrap_scores__no_photos(matrices):
    with pytest.raises(InputError, match="no photos to score"):
        bootstrap_scores(matrices)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan])
def test_bootstrap_scores__level_out_of_range(level):
    with pytest.raises(InputError, match="between 0 and 1"):
        bootstrap_scores(draw_matrices(np.random.default_rng(0), 6), Draws(level=level))


def test_bootstrap_scores__no_draws():
    with pytest.raises(InputError, match="at least 1 draw, not 0"):
        bootstrap_scores(draw_matrices(np.random.default_rng(0), 6), Draws(0))


def test_bootstrap_counts__equal_those_of_the_matrices():
    matrices = draw_matrices(np.random.default_rng(0), 30)
    along, whole = bootstrap_scores(ClassCounts.of(matrices)), bootstrap_scores(matrices)
    assert along.to_json(NAMES) == whole.to_json(NAMES)


def test_to_json__by_name():
    matrices = np.array([[[6, 2], [0, 8]]] * 9)
    values = bootstrap_scores(matrices, Draws(50, seed=3, level=0.9)).to_json(["a", "b"])
    assert (values["level"], values["draws"], values["seed"]) == (0.9, 50, 3)
    assert values["pixel_accuracy"] == pytest.approx([14 / 16, 14 / 16])
    assert [row["name"] for row in values["classes"]] == ["a", "b"]
    assert values["classes"][1]["iou"] == pytest.approx([0.8, 0.8])
    assert values["classes"][1]["recall"] == pytest.approx([1, 1])


# --- pairs --------------------------------------------------------------------------------------

GAIN = 0.163
"""On the logit of every recall; what it comes to is checked below."""


def draw_pair(seed, num_photos, gain=0.0):
    """Return two models on the same photos, the second better by ``gain``."""
    rng = np.random.default_rng(seed)
    scenes = draw_scenes(rng, num_photos)
    return predict_scenes(rng, scenes), predict_scenes(rng, scenes, gain)


def test_bootstrap_difference__planted_gain_of_3_points_is_found():
    old, new = draw_pair(1, 50_000, GAIN)
    assert compute_global_miou(new) - compute_global_miou(old) == pytest.approx(0.03, abs=0.002)
    for seed in range(5):
        old, new = draw_pair(seed, 655, GAIN)
        found = bootstrap_difference(old, new).overall["global_miou"]
        assert found.value == compute_global_miou(new) - compute_global_miou(old)
        assert found.verdict == "better"
        assert bootstrap_difference(new, old).overall["global_miou"].verdict == "worse"


def test_bootstrap_difference__two_seeds_of_one_recipe():
    """At 95 %, one pair in twenty is called different by chance; 100 pairs, at most 9."""
    verdicts = []
    for seed in range(100):
        old, new = draw_pair(seed, 200)
        overall = bootstrap_difference(old, new, Draws(300)).overall
        verdicts.append(overall["global_miou"].verdict)
    assert verdicts[0] == "no evidence"
    assert verdicts.count("no evidence") >= 91


def test_bootstrap_difference__pairing_sees_what_single_intervals_do_not():
    old, new = draw_pair(2, 655, GAIN)
    alone = [bootstrap_scores(m).overall["per_image_miou"] for m in (old, new)]
    paired = bootstrap_difference(old, new).overall["per_image_miou"].interval
    assert width(paired) < 0.85 * math.hypot(*map(width, alone))


def test_bootstrap_difference__of_a_model_to_itself_is_nothing():
    matrices = draw_matrices(np.random.default_rng(0), 40)
    found = bootstrap_difference(matrices, matrices)
    for one in (*found.overall.values(), *(d for row in found.classes.values() for d in row)):
        assert (one.value, one.verdict) == (0, "no evidence")


@given(SEEDS)
def test_bootstrap_difference__turns_around_with_the_order(seed):
    old, new = draw_pair(seed, 20)
    ways = [bootstrap_difference(*pair, Draws(100)) for pair in ((old, new), (new, old))]
    for name in OVERALL_SCORES:
        one, other = (way.overall[name] for way in ways)
        assert one.value == -other.value
        assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-12)


def test_bootstrap_difference__class_that_one_model_never_found():
    old = np.array([[[50, 0], [10, 0]]] * 8)
    new = np.array([[[50, 0], [4, 6]]] * 8)
    found = bootstrap_difference(old, new)
    assert found.classes["recall"][1].value == pytest.approx(0.6)
    assert found.classes["recall"][1].verdict == "better"
    assert found.classes["precision"][1].verdict == "no data"  # nothing was predicted before


def test_bootstrap_difference__few_photos_are_no_evidence():
    old, new = np.array([[[5, 5], [0, 9]]] * 3), np.array([[[10, 0], [0, 9]]] * 3)
    found = bootstrap_difference(old, new).overall["global_miou"]
    assert found.value > 0
    assert found.verdict == "no evidence"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m[:-1],
        lambda m: m[::-1],
        lambda m: m + np.eye(6, dtype=np.int64),
        lambda m: m[:, :5, :5],
    ],
)
def test_bootstrap_difference__other_photos_or_labels(spoil):
    matrices = draw_matrices(np.random.default_rng(0), 12)
    with pytest.raises(InputError, match="same photos against the same labels"):
        bootstrap_difference(matrices, spoil(matrices))


# --- of a distance ------------------------------------------------------------------------------


def draw_bins(seed, num_photos, gap):
    """Return pixels, right ones and confidences of photos in 15 bins, float64 (N, 3, 15).

    The photos' confidence is off by ``gap`` in the mean, and by more or less in each of them.
    """
    rng = np.random.default_rng(seed)
    pixels = np.floor(rng.lognormal(6, 1, (num_photos, 15)))
    confidence = (np.arange(15) + 0.5) / 15
    right = np.clip(confidence - gap + rng.normal(0, 0.08, (num_photos, 1)), 0, 1)
    return np.stack((pixels, np.floor(pixels * right), pixels * confidence), axis=1)


def test_bootstrap_distance__photos_that_are_all_alike_leave_no_doubt():
    photos = np.repeat(draw_bins(0, 1, 0.1), 20, axis=0)
    found = bootstrap_distance(photos, compute_error)
    error = float(compute_error(photos.sum(0)))
    assert found.to_json() == pytest.approx([error, error])


@pytest.mark.parametrize(("num_photos", "has_interval"), [(1, False), (4, False), (5, True)])
def test_bootstrap_distance__few_photos_have_no_interval(num_photos, has_interval):
    found = bootstrap_distance(draw_bins(0, num_photos, 0.1), compute_error)
    assert (found.to_json() is not None) == has_interval


def test_bootstrap_distance__no_photos():
    with pytest.raises(InputError, match="no photos"):
        bootstrap_distance(np.zeros((0, 3, 15)), compute_error)


@given(SEEDS, st.integers(5, 40), st.sampled_from([0.0, 0.05, 0.3]))
def test_bootstrap_distance__holds_the_score_and_stays_a_share(seed, num_photos, gap):
    photos = draw_bins(seed, num_photos, gap)
    found = bootstrap_distance(photos, compute_error, Draws(100))
    assert 0 <= found.low <= float(compute_error(photos.sum(0))) <= found.high <= 1


# --- do they hold the truth ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("num_photos", "least"), [(42, 0.91), (100, 0.93), (655, 0.93)])
def test_bootstrap_scores__95_percent_hold_the_truth(num_photos, least):
    """Of 500 sets. On 42 photos, where some classes are in five of them, a little fewer do."""
    rng = np.random.default_rng(2021)
    parts = [draw_matrices(rng, 20_000) for _ in range(20)]
    total = sum(part.sum(0) for part in parts)
    truth = {
        "global_miou": compute_global_miou(total[np.newaxis]),
        "per_image_miou": float(np.mean([compute_per_image_miou(part) for part in parts])),
        "pixel_accuracy": compute_scores(total[np.newaxis]).overall["pixel_accuracy"],
    }
    class_truth = ClassCounts.of(total).iou
    held: dict[str, list[bool]] = {name: [] for name in (*truth, "class")}
    for seed in range(500):
        found = bootstrap_scores(draw_matrices(np.random.default_rng(seed), num_photos))
        for name, value in truth.items():
            interval = found.overall[name]
            held[name].append(interval.low <= value <= interval.high)
        for interval, value in zip(found.classes["iou"], class_truth, strict=True):
            if interval.to_json() is not None:
                held["class"].append(interval.low <= value <= interval.high)
    for name, answers in held.items():
        assert least <= np.mean(answers) <= 0.97, (name, np.mean(answers))


@pytest.mark.slow
@pytest.mark.parametrize(("gap", "least"), [(0.15, 0.93), (0.05, 0.93), (0.0, 0.8)])
def test_bootstrap_distance__95_percent_hold_the_truth(gap, least):
    """A model whose confidence is just right lies at the end of the scale: fewer hold it."""
    truth = float(compute_error(draw_bins(2021, 200_000, gap).sum(0)))
    held = 0
    for seed in range(500):
        found = bootstrap_distance(draw_bins(seed, 42, gap), compute_error)
        held += found.low <= truth <= found.high
    assert least <= held / 500 <= 0.98


@pytest.mark.slow
def test_bootstrap_difference__95_percent_hold_the_truth():
    old, new = draw_pair(2021, 200_000, GAIN)
    truth = compute_global_miou(new) - compute_global_miou(old)
    held = 0
    for seed in range(500):
        found = bootstrap_difference(*draw_pair(seed, 200, GAIN)).overall["global_miou"].interval
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 500 <= 0.97
