"""Every score against tables counted by hand, and against the notebook's own formula."""

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.scores import metrics
from bunri.scores.confusion import ClassCounts, count_confusion, stack_matrices
from bunri.scores.metrics import ClassScores, compute_scores, replace_nan
from tests.scores.score_population import compute_global_miou, compute_per_image_miou

NAN = float("nan")


def compute_per_batch_miou(matrices: Any, batch_size: int) -> float:
    return compute_scores(matrices, batch_size).per_batch_miou


def compute_class_scores(counts: ClassCounts) -> dict[str, Any]:
    return {score.key: score.compute(counts) for score in metrics.list_class_scores("set")}


def compute_overall(counts: ClassCounts) -> dict[str, Any]:
    return {score.key: score.compute(counts) for score in metrics.list_scores("set")}


def mask(*rows: list[int]) -> Any:
    return np.array(rows, np.uint8)


# --- the notebook's own formula -----------------------------------------------------------------


def count_as_notebook(truth: Any, prediction: Any, num_classes: int) -> Any:
    """``_fast_hist`` of wkentaro/pytorch-fcn."""
    t, p = truth.ravel().astype(int), prediction.ravel().astype(int)
    valid = (t >= 0) & (t < num_classes)
    return np.bincount(num_classes * t[valid] + p[valid], minlength=num_classes**2).reshape(
        num_classes, num_classes
    )


def score_as_notebook(hist: Any) -> float:
    """``label_accuracy_score`` of wkentaro/pytorch-fcn."""
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing
        iu = np.diag(hist) / (hist.sum(axis=1) + hist.sum(axis=0) - np.diag(hist))
        return float(np.nanmean(iu))


# --- one photo ----------------------------------------------------------------------------------


def test_count_confusion__rows_are_truth_and_columns_prediction():
    truth = mask([0, 0, 1, 1], [2, 2, 2, 0])
    prediction = mask([0, 1, 1, 1], [2, 0, 2, 2])
    matrix = count_confusion(truth, prediction, 3)
    assert matrix.tolist() == [[1, 1, 1], [0, 2, 0], [1, 0, 2]]
    assert matrix.dtype == np.int64


def test_count_confusion__ignored_truth_is_not_counted_whatever_is_predicted():
    truth = mask([255, 255, 255, 1])
    prediction = mask([0, 2, 255, 1])
    assert count_confusion(truth, prediction, 3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_count_confusion__as_many_classes_as_fit():
    truth = np.arange(255, dtype=np.uint8).reshape(1, 255)
    np.testing.assert_array_equal(count_confusion(truth, truth, 255), np.eye(255))


def test_count_confusion__arrays_that_are_views():
    truth = np.zeros((4, 6), np.uint8)[:, ::2]
    prediction = np.asfortranarray(np.ones((4, 3), np.uint8))
    assert count_confusion(truth, prediction, 2).tolist() == [[0, 12], [0, 0]]


@pytest.mark.parametrize("size_hw", [(4, 3), (3, 5), (12,), (1, 3, 4)])
def test_count_confusion__sizes_differ(size_hw):
    with pytest.raises(InputError, match="sizes differ"):
        count_confusion(np.zeros((3, 4), np.uint8), np.zeros(size_hw, np.uint8), 3)


@pytest.mark.parametrize("value", [3, 100, 254])
def test_count_confusion__value_outside_of_the_table(value):
    with pytest.raises(InputError, match=rf"found \[{value}\]"):
        count_confusion(mask([0, value]), mask([0, 0]), 3)
    with pytest.raises(InputError, match=rf"found \[{value}\]"):
        count_confusion(mask([0, 0]), mask([0, value]), 3)


def test_count_confusion__ignore_in_the_prediction():
    with pytest.raises(InputError, match=r"255 \(ignore\) where the truth has a class"):
        count_confusion(mask([0, 1]), mask([0, 255]), 3)


MASKS = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 5))


def make_pair(rng: np.random.Generator, num_classes: int) -> tuple[Any, Any]:
    """Return truth and prediction, often without some classes, sometimes with ignored pixels."""
    known = rng.integers(0, num_classes, int(rng.integers(1, num_classes + 1)))
    truth, prediction = (rng.choice(known, (6, 7)).astype(np.uint8) for _ in range(2))
    num_right = int(rng.integers(0, 7))
    prediction[:num_right] = truth[:num_right]
    truth[rng.random((6, 7)) < rng.choice([0, 0.2, 1], p=[0.6, 0.3, 0.1])] = 255
    return truth, prediction


@given(MASKS)
def test_count_confusion__equals_the_notebook(case):
    seed, num_classes, _ = case
    truth, prediction = make_pair(np.random.default_rng(seed), num_classes)
    expected = count_as_notebook(truth, prediction, num_classes)
    np.testing.assert_array_equal(count_confusion(truth, prediction, num_classes), expected)


@given(MASKS, st.sampled_from([1, 2, 5, 40]), st.sampled_from([1, 3, 40]))
def test_count_confusion__areas_and_noise_alike(case, height, width):
    """Areas are counted by their runs, noise pixel by pixel."""
    seed, num_classes, _ = case
    truth, prediction = make_pair(np.random.default_rng(seed), num_classes)
    big_truth, big_prediction = (
        np.kron(m, np.ones((height, width), np.uint8)) for m in (truth, prediction)
    )
    np.testing.assert_array_equal(
        count_confusion(big_truth, big_prediction, num_classes),
        count_confusion(truth, prediction, num_classes) * height * width,
    )


def test_count_confusion__one_pixel():
    assert count_confusion(mask([1]), mask([0]), 2).tolist() == [[0, 0], [1, 0]]


def test_compute_iou__by_hand():
    # Class 1: 2 hits, 1 wrongly predicted. Class 2: 2 hits, 1 missed, 1 wrongly predicted.
    matrix = np.array([[1, 1, 1], [0, 2, 0], [1, 0, 2]])
    assert ClassCounts.of(matrix).iou.tolist() == [1 / 4, 2 / 3, 2 / 4]


def test_compute_iou__absent_class_has_no_data():
    iou = ClassCounts.of(np.array([[5, 0, 0], [0, 0, 0], [0, 0, 2]])).iou
    assert iou[[0, 2]].tolist() == [1, 1]
    assert math.isnan(iou[1])


def test_compute_iou__invented_class_is_0():
    assert ClassCounts.of(np.array([[3, 1], [0, 0]])).iou.tolist() == [3 / 4, 0]


def test_compute_iou__missed_class_is_0():
    assert ClassCounts.of(np.array([[3, 0], [1, 0]])).iou.tolist() == [3 / 4, 0]


def test_compute_iou__stack_of_matrices():
    stack = np.array([[[3, 1], [0, 0]], [[1, 0], [1, 2]]])
    assert ClassCounts.of(stack).iou.tolist() == [[3 / 4, 0], [1 / 2, 2 / 3]]


# --- classes ------------------------------------------------------------------------------------


def test_class_counts__by_hand():
    # Class 0 is missed once, class 1 is found whole, class 2 is invented, class 3 is nowhere.
    counts = ClassCounts.of(
        np.array([[2, 1, 1, 0], [0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.int64)
    )
    np.testing.assert_array_equal(counts.iou, [2 / 4, 4 / 5, 0, NAN])
    found = compute_class_scores(counts)
    np.testing.assert_array_equal(found["precision"], [1, 4 / 5, 0, NAN])
    np.testing.assert_array_equal(found["recall"], [2 / 4, 1, NAN, NAN])
    np.testing.assert_array_equal(found["f1"], [4 / 6, 8 / 9, 0, NAN])
    assert counts.miou == pytest.approx((2 / 4 + 4 / 5 + 0) / 3)
    overall = compute_overall(counts)
    assert overall["pixel_accuracy"] == 6 / 8
    assert overall["mean_accuracy"] == pytest.approx((2 / 4 + 1) / 2)
    assert overall["weighted_iou"] == pytest.approx((4 * 2 / 4 + 4 * 4 / 5) / 8)


@given(MASKS)
def test_class_counts__equal_pixels_counted_one_by_one(case):
    seed, num_classes, _ = case
    truth, prediction = make_pair(np.random.default_rng(seed), num_classes)
    scores = compute_class_scores(ClassCounts.of(count_confusion(truth, prediction, num_classes)))
    pairs = [(t, p) for t, p in zip(truth.flat, prediction.flat, strict=True) if t != 255]
    for index in range(num_classes):
        right = sum(t == p == index for t, p in pairs)
        missed = sum(t == index != p for t, p in pairs)
        invented = sum(p == index != t for t, p in pairs)
        for key, part, rest in (
            ("iou", right, missed + invented),
            ("precision", right, invented),
            ("recall", right, missed),
            ("f1", 2 * right, missed + invented),
        ):
            expected = part / (part + rest) if part + rest else NAN
            np.testing.assert_allclose(scores[key][index], expected, rtol=1e-12)


def test_class_counts__equal_the_notebooks_formula():
    hist = np.array([[6, 1, 0], [1, 1, 0], [1, 0, 3]])
    found = compute_overall(ClassCounts.of(hist))
    frequency = hist.sum(1) / hist.sum()
    iu = np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))
    assert found["pixel_accuracy"] == np.diag(hist).sum() / hist.sum()
    assert found["mean_accuracy"] == pytest.approx(np.nanmean(np.diag(hist) / hist.sum(1)))
    assert found["weighted_iou"] == pytest.approx((frequency[frequency > 0] * iu).sum())


# --- traps of the three mIoUs -------------------------------------------------------------------

PERFECT = [[8, 0, 0], [0, 8, 0], [0, 0, 0]]


def test_trap__absent_class_is_neither_0_nor_1():
    """Half of class 1 is missed; class 2 is nowhere."""
    matrix = np.array([[[8, 0, 0], [4, 4, 0], [0, 0, 0]]])
    expected = (8 / 12 + 4 / 8) / 2
    assert compute_global_miou(matrix) == compute_per_image_miou(matrix) == pytest.approx(expected)
    counted_as_1, counted_as_0 = (2 * expected + 1) / 3, 2 * expected / 3
    assert counted_as_0 < expected < counted_as_1


def test_trap__one_spurious_pixel_costs_a_photo_a_full_class():
    clean = np.array([PERFECT] * 4)
    spurious = clean.copy()
    spurious[0, 0] = [7, 0, 1]  # one pixel of background is called class 2
    lost_per_image = compute_per_image_miou(clean) - compute_per_image_miou(spurious)
    assert lost_per_image == pytest.approx((1 - (7 / 8 + 1 + 0) / 3) / 4)
    # Where the class is elsewhere in the set, the global one hardly moves.
    clean[1:, 2, 2] = spurious[1:, 2, 2] = 8
    lost_globally = compute_global_miou(clean) - compute_global_miou(spurious)
    assert lost_globally == pytest.approx((1 / 32 + 1 / 25) / 3)
    assert lost_globally < lost_per_image / 3


def test_trap__per_batch_moves_with_the_batch_size_and_the_others_do_not():
    matrices = np.array([A, B, C, B, A, C] * 5)
    found = {size: compute_scores(matrices, size) for size in (1, 2, 4, 8, 16, 30)}
    assert len({sheet.per_batch_miou for sheet in found.values()}) == 6
    assert len({(s.global_miou, s.per_image_miou) for s in found.values()}) == 1
    # The global one is that of one matrix, the per-image one that of batches of one.
    assert found[4].global_miou == found[30].per_batch_miou
    assert found[4].per_image_miou == found[1].per_batch_miou


def test_trap__photo_of_background_alone_scores_1():
    """And the classes that it lacks take no part, be it alone or among others."""
    empty = np.array([[[9, 0, 0], [0, 0, 0], [0, 0, 0]]])
    assert compute_per_image_miou(empty) == compute_global_miou(empty) == 1
    half = np.array([[[4, 4, 0], [0, 0, 0], [0, 0, 0]]])
    assert compute_per_image_miou(np.concatenate((empty, half))) == (1 + 0.25) / 2


def test_trap__last_batch_weighs_as_much_as_a_whole_one():
    good, bad = [[4, 0], [0, 4]], [[0, 4], [4, 0]]
    matrices = np.array([good] * 4 + [bad])  # batches of 4 and of 1
    assert compute_per_batch_miou(matrices, 4) == 0.5
    assert compute_per_image_miou(matrices) == 0.8


# --- a set --------------------------------------------------------------------------------------

# Three photos of three classes.
#   A: IoU 1, -, -             mean 1
#   B: IoU 2/4, 1/3, -         mean 5/12
#   C: IoU 0, -, 3/4           mean 3/8 (class 0 is invented)
A = [[4, 0, 0], [0, 0, 0], [0, 0, 0]]
B = [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
C = [[0, 0, 0], [0, 0, 0], [1, 0, 3]]
SET = np.array([A, B, C], np.int64)
ALL_IGNORED = np.zeros((3, 3), np.int64)


def test_compute_per_image_miou__by_hand():
    assert compute_per_image_miou(SET) == pytest.approx((1 + 5 / 12 + 3 / 8) / 3, abs=1e-15)


def test_compute_global_miou__by_hand():
    # Summed: [[6, 1, 0], [1, 1, 0], [1, 0, 3]].
    assert compute_global_miou(SET) == pytest.approx((6 / 9 + 1 / 3 + 3 / 4) / 3, abs=1e-15)


def test_compute_per_batch_miou__last_batch_is_smaller_and_weighs_the_same():
    # A + B: [[6, 1], [1, 1]]: 6/8 and 1/3.
    expected = ((6 / 8 + 1 / 3) / 2 + 3 / 8) / 2
    assert compute_per_batch_miou(SET, 2) == pytest.approx(expected, abs=1e-15)


def test_compute_per_batch_miou__batch_of_one_is_per_image():
    assert compute_per_batch_miou(SET, 1) == compute_per_image_miou(SET)


@pytest.mark.parametrize("batch_size", [3, 4, 16, 1000])
def test_compute_per_batch_miou__one_batch_is_global(batch_size):
    assert compute_per_batch_miou(SET, batch_size) == compute_global_miou(SET)


def test_compute_per_batch_miou__order_of_photos_matters():
    assert compute_per_batch_miou(SET, 2) != compute_per_batch_miou(SET[[0, 2, 1]], 2)
    assert compute_per_image_miou(SET) == pytest.approx(compute_per_image_miou(SET[[0, 2, 1]]))


def test_mious__photo_of_background_alone_scores_1():
    only = np.array([A])
    assert compute_per_image_miou(only) == 1
    assert compute_global_miou(only) == 1
    assert compute_per_batch_miou(only, 16) == 1


def test_mious__photo_with_every_pixel_ignored_is_left_out():
    with_ignored = np.array([A, ALL_IGNORED, B, C])
    assert compute_per_image_miou(with_ignored) == compute_per_image_miou(SET)
    assert compute_global_miou(with_ignored) == compute_global_miou(SET)
    # Batches are made before: A and the ignored one, B and C.
    b_and_c = (2 / 5 + 1 / 3 + 3 / 4) / 3
    assert compute_per_batch_miou(with_ignored, 2) == pytest.approx((1 + b_and_c) / 2, abs=1e-15)


def test_mious__batch_with_every_pixel_ignored_is_left_out():
    matrices = np.array([A, B, ALL_IGNORED, ALL_IGNORED, C])
    assert compute_per_batch_miou(matrices, 2) == compute_per_batch_miou(SET, 2)


def test_mious__nothing_to_score_is_no_data_without_a_warning():
    matrices = np.array([ALL_IGNORED] * 2)
    assert math.isnan(compute_global_miou(matrices))
    assert math.isnan(compute_per_image_miou(matrices))
    assert math.isnan(compute_per_batch_miou(matrices, 2))


@given(MASKS, st.integers(1, 12))
def test_mious__equal_the_notebooks_formula(case, num_photos):
    seed, num_classes, batch_size = case
    rng = np.random.default_rng(seed)
    pairs = [make_pair(rng, num_classes) for _ in range(num_photos)]
    matrices = stack_matrices([count_confusion(t, p, num_classes) for t, p in pairs], num_classes)

    def score(chosen: list[tuple[Any, Any]]) -> float:
        truth, prediction = (np.stack(masks) for masks in zip(*chosen, strict=True))
        return score_as_notebook(count_as_notebook(truth, prediction, num_classes))

    def average(values: list[float]) -> float:
        known = [value for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else NAN

    batches = [pairs[i : i + batch_size] for i in range(0, num_photos, batch_size)]
    expected = [average([score(pairs)]), average([score([p]) for p in pairs])]
    expected.append(average([score(batch) for batch in batches]))
    found = [
        compute_global_miou(matrices),
        compute_per_image_miou(matrices),
        compute_per_batch_miou(matrices, batch_size),
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_mious__counts_beyond_32_bits():
    huge = np.array([[2**40, 2**40], [0, 2**41]])
    assert ClassCounts.of(huge).iou.tolist() == [1 / 2, 2 / 3]


# --- the sheet ----------------------------------------------------------------------------------


def test_compute_scores__everything_by_hand():
    sheet = compute_scores(SET, batch_size=2)
    assert sheet.num_photos == 3
    assert sheet.overall["pixel_accuracy"] == pytest.approx(10 / 13)
    assert sheet.global_miou == compute_global_miou(SET)
    assert sheet.per_image_miou == compute_per_image_miou(SET)
    assert sheet.per_batch_miou == compute_per_batch_miou(SET, 2)
    assert sheet.batch_size == 2
    assert sheet.num_pixels == 13
    # Rows of the sum [[6, 1, 0], [1, 1, 0], [1, 0, 3]]: 7, 2, 4; columns: 8, 2, 3.
    assert sheet.overall["mean_accuracy"] == pytest.approx((6 / 7 + 1 / 2 + 3 / 4) / 3)
    assert sheet.overall["weighted_iou"] == pytest.approx((7 * 6 / 9 + 2 / 3 + 4 * 3 / 4) / 13)

    def make(iou: float, precision: float, recall: float, f1: float, *counts: int) -> ClassScores:
        scores = {"iou": iou, "precision": precision, "recall": recall, "f1": f1}
        return ClassScores(scores, *counts)

    assert sheet.classes == (
        make(6 / 9, 6 / 8, 6 / 7, 12 / 15, 2, 7, 3, 8),
        make(1 / 3, 1 / 2, 1 / 2, 2 / 4, 1, 2, 1, 2),
        make(3 / 4, 1.0, 3 / 4, 6 / 7, 1, 4, 1, 3),
    )


def test_compute_scores__batches_are_of_16_unless_said():
    many = np.concatenate([SET] * 6)
    sheet = compute_scores(many)
    assert sheet.batch_size == 16
    assert sheet.per_batch_miou == compute_per_batch_miou(many, 16)


@pytest.mark.parametrize("matrices", [np.zeros((0, 3, 3), np.int64), np.zeros((3, 3), np.int64)])
def test_compute_scores__no_photos(matrices):
    with pytest.raises(InputError, match="no photos to score"):
        compute_scores(matrices)


def test_compute_scores__batch_size_below_1():
    with pytest.raises(InputError, match="at least 1 photo"):
        compute_scores(SET, batch_size=0)


def test_to_json__no_data_is_null_and_never_nan():
    sheet = compute_scores(np.array([[[4, 0], [0, 0]]]))
    values = sheet.to_json(["Background", "Paper"])
    text = json.dumps(values, allow_nan=False)
    scores = ("iou", "precision", "recall", "f1")
    counts = ("photos", "pixels", "predicted_photos", "predicted_pixels")
    assert json.loads(text) == {
        "num_photos": 1,
        "num_pixels": 4,
        "pixel_accuracy": 1.0,
        "mean_accuracy": 1.0,
        "weighted_iou": 1.0,
        "miou": {"global": 1.0, "per_image": 1.0, "per_batch": 1.0, "batch_size": 16},
        "classes": [
            {"name": "Background"}
            | dict.fromkeys(scores, 1.0)
            | dict(zip(counts, (1, 4, 1, 4), strict=True)),
            {"name": "Paper"} | dict.fromkeys(scores, None) | dict.fromkeys(counts, 0),
        ],
    }


def test_to_json__nothing_known_at_all():
    values = compute_scores(np.array([ALL_IGNORED])).to_json(["a", "b", "c"])
    assert values["pixel_accuracy"] is None
    assert values["miou"] == {
        "global": None, "per_image": None, "per_batch": None, "batch_size": 16,
    }  # fmt: skip
    json.dumps(values, allow_nan=False)


def test_to_json__another_number_of_names():
    with pytest.raises(ValueError, match="zip"):
        compute_scores(SET).to_json(["a", "b"])


def test_stack_matrices__none_at_all():
    assert stack_matrices([], 5).shape == (0, 5, 5)
    assert stack_matrices([], 5).dtype == np.int64


def test_stack_matrices__keeps_the_order():
    np.testing.assert_array_equal(stack_matrices(list(SET), 3), SET)


def test_replace_nan__values_stay():
    assert replace_nan(0.0) == 0.0
    assert replace_nan(NAN) is None
    assert replace_nan(np.float64("nan")) is None
