"""A model whose every answer is known, against labels: counts at both sizes."""

import numpy as np
import pytest

from bunri.core.errors import AnnotationError, InputError, ModelError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.corruptions import NAMES, corrupt
from bunri.evaluation import evaluate_model
from bunri.images.frames import Preprocessing
from bunri.images.photos import read_photo
from bunri.labels.coco import read_coco
from bunri.model.info import BundleInfo
from bunri.predict.predictor import Predictor
from bunri.scores.metrics import count_confusion
from bunri.submission import shrink_mask
from tests.builders import GROUND_RGB, SHAPE_RGB, change_document, write_data

SURE = 0.9
COLORS = {0: GROUND_RGB, **SHAPE_RGB}


class Oracle:
    """Reads the class off the colour, and is as sure as it is told."""

    def __init__(self, sure=SURE, shift_px=0):
        self.sure = sure
        self.shift_px = shift_px

    def predict_probs(self, pixels):
        distances = [
            np.abs(pixels - np.reshape(np.array(rgb) / 255, (3, 1, 1))).sum(0)
            for rgb in COLORS.values()
        ]
        classes = np.array(list(COLORS))[np.argmin(distances, axis=0)]
        classes = np.roll(classes, self.shift_px, axis=1)
        probs = np.full((12, *classes.shape), (1 - self.sure) / 11, np.float32)
        np.put_along_axis(probs, classes[np.newaxis], self.sure, axis=0)
        return probs


def build_predictor(backend):
    """Return a model for which photos of 48 x 64 stay as they are."""
    preprocessing = Preprocessing(64, (0.0,) * 3, (1.0,) * 3)
    return Predictor(BundleInfo(COMPETITION_TABLE, preprocessing, {}), backend)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data", size_hw=(48, 64))


def evaluate(data, backend, advance=lambda: None, **choices):
    dataset = read_coco(data.val, table=COMPETITION_TABLE)
    return evaluate_model(build_predictor(backend), dataset, "largest-first", advance, **choices)


def test_evaluate_model__knows_everything(data):
    evaluation = evaluate(data, Oracle())
    for size, num_pixels in (("photo", 48 * 64), ("submission", 256 * 256)):
        counts = evaluation.sizes[size]
        assert (counts.matrices.sum((1, 2)) == num_pixels).all()
        off_diagonal = counts.matrices.sum(0) * (1 - np.eye(12, dtype=int))
        assert off_diagonal.sum() == 0
        np.testing.assert_array_equal(counts.boundary.hits, counts.boundary.truth)
        assert counts.calibration.pixels[13] == 4 * num_pixels  # 13/15 to 14/15
        assert counts.calibration.error == pytest.approx(1 - SURE, abs=1e-6)
        assert counts.calibration.num_photos == 4
    assert evaluation.photo_s > 0


def test_evaluate_model__errors_are_counted_at_both_sizes(data):
    evaluation = evaluate(data, Oracle(shift_px=1))
    for i, name in enumerate(data.shapes["val"]):
        truth = data.truth("val", name)
        prediction = np.roll(truth, 1, axis=1)
        for size, seen, said in (
            ("photo", truth, prediction),
            ("submission", shrink_mask(truth), shrink_mask(prediction)),
        ):
            counts = evaluation.sizes[size]
            np.testing.assert_array_equal(counts.matrices[i], count_confusion(seen, said, 12))
            assert (counts.boundary.hits[i] <= counts.boundary.truth[i]).all()
    own = evaluation.sizes["photo"]
    right = np.trace(own.matrices.sum(0)) / own.matrices.sum()
    assert own.calibration.error == pytest.approx(abs(right - SURE), abs=1e-6)
    # An outline that is one pixel off is worse along the edge than all over.
    hits, truth = own.boundary.hits.sum(0), own.boundary.truth.sum(0)
    assert hits.sum() / truth.sum() < right


def test_evaluate_model__advances_once_a_photo(data):
    calls = []
    evaluate(data, Oracle(), lambda: calls.append(1))
    assert len(calls) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_evaluate_model__probabilities_that_are_no_numbers(data, value):
    class Broken(Oracle):
        def predict_probs(self, pixels):
            probs = super().predict_probs(pixels)
            probs[3, 5, 5] = value
            return probs

    with pytest.raises(ModelError, match="not all numbers") as caught:
        evaluate(data, Broken())
    assert "diverged" in caught.value.hint


def test_predictor__refuses_probabilities_that_are_no_numbers_everywhere():
    class Broken:
        def predict_probs(self, pixels):
            return np.full((12, *pixels.shape[1:]), np.nan, np.float32)

    predictor, image = build_predictor(Broken()), np.zeros((48, 64, 3), np.uint8)
    for predict in (predictor.predict_probs, predictor.predict_mask, predictor.predict_winners):
        with pytest.raises(ModelError, match="not all numbers"):
            predict(image)


def test_predict_winners__equal_argmax_and_max_of_the_probabilities():
    class Noise:
        def predict_probs(self, pixels):
            rng = np.random.default_rng(0)
            return rng.dirichlet(np.ones(12), pixels.shape[1:]).transpose(2, 0, 1).astype("f4")

    predictor, image = build_predictor(Noise()), np.zeros((31, 90, 3), np.uint8)
    mask, confidence = predictor.predict_winners(image)
    probs = predictor.predict_probs(image)
    np.testing.assert_array_equal(mask, probs.argmax(0))
    np.testing.assert_array_equal(confidence, probs.max(0))
    np.testing.assert_array_equal(mask, predictor.predict_mask(image))


def test_evaluate_model__no_photos(data):
    change_document(data.val, lambda document: document.update(images=[], annotations=[]))
    with pytest.raises(AnnotationError, match="has no photos"):
        evaluate(data, Oracle())


def test_evaluate_model__watcher_sees_each_photo_once(data):
    """In order, at its own size, with the truth that is known by construction."""
    seen = []

    def watch(photo, image, truth, prediction):
        seen.append(photo.file_name)
        assert image.shape == (48, 64, 3)
        np.testing.assert_array_equal(truth, data.truth("val", photo.file_name))
        np.testing.assert_array_equal(prediction, truth)

    dataset = read_coco(data.val, table=COMPETITION_TABLE)
    predictor = build_predictor(Oracle())
    evaluate_model(predictor, dataset, "largest-first", lambda: None, watch)
    assert seen == list(data.shapes["val"])


# --- under corruptions --------------------------------------------------------------------------


def test_evaluate_model__counts_every_photo_under_every_corruption(data):
    calls = []
    evaluation = evaluate(data, Oracle(), lambda: calls.append(1), severity=2)
    counts = evaluation.robustness
    assert len(calls) == 4 * 16
    assert (counts.severity, counts.names) == (2, NAMES)
    predictor = build_predictor(Oracle())
    for i, name in enumerate(data.shapes["val"]):
        image = read_photo(data.folder / name)
        for k, corruption in enumerate(NAMES):
            prediction = predictor.predict_mask(corrupt(image, corruption, 2))
            matrix = count_confusion(data.truth("val", name), prediction, 12)
            np.testing.assert_array_equal(counts.hits[k, i], np.diagonal(matrix))
            np.testing.assert_array_equal(counts.predicted[k, i], matrix.sum(0))


def test_evaluate_model__clean_counts_are_those_without_corruptions(data):
    plain, both = evaluate(data, Oracle()), evaluate(data, Oracle(), severity=3)
    assert plain.robustness is None
    np.testing.assert_array_equal(plain.sizes["photo"].matrices, both.sizes["photo"].matrices)
    assert both.sizes["photo"].calibration.num_photos == 4


def test_evaluate_model__corruptions_in_another_order_of_photos(data):
    forth = evaluate(data, Oracle(), severity=3).robustness
    change_document(data.val, lambda document: document["images"].reverse())
    back = evaluate(data, Oracle(), severity=3).robustness
    np.testing.assert_array_equal(forth.hits, back.hits[:, ::-1])
    np.testing.assert_array_equal(forth.predicted, back.predicted[:, ::-1])


def test_evaluate_model__no_such_severity(data):
    with pytest.raises(InputError, match="from 1 to 5, not 9"):
        evaluate(data, Oracle(), severity=9)
