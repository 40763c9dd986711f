"""A model whose every answer is known, against labels: counts at both sizes."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from bunri.core.errors import AnnotationError, InputError, ModelError
from bunri.core.files import hash_file
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.corruptions import NAMES, corrupt
from bunri.evaluation import Evaluation, count_predictions, evaluate
from bunri.images.frames import Preprocessing
from bunri.images.photos import read_photo
from bunri.images.similarity import hash_pixels
from bunri.labels.coco import read_coco
from bunri.labels.pseudo import shorten_hash
from bunri.model.bundle import write_bundle
from bunri.model.info import BundleInfo
from bunri.predict.predictor import Predictor
from bunri.scores.confusion import count_confusion
from bunri.scores.result_files import read_result
from bunri.submission.format import shrink_mask
from tests.builders import GROUND_RGB, SHAPE_RGB, change_document, write_data
from tests.onnx_models import INFO, make_bytes, write_stripes

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


def count(data, backend, **choices):
    dataset = read_coco(data.val, table=COMPETITION_TABLE)
    return count_predictions(build_predictor(backend), dataset, "largest-first", **choices)


class Steps:
    """A progress display that counts its steps."""

    def __init__(self):
        self.steps = []

    @contextmanager
    def __call__(self, label, total):
        yield lambda: self.steps.append((label, total))


def test_count_predictions__knows_everything(data):
    evaluation = count(data, Oracle())
    for size, num_pixels in (("photo", 48 * 64), ("submission", 256 * 256)):
        counts = evaluation.sizes[size]
        assert (counts.matrices.sum((1, 2)) == num_pixels).all()
        off_diagonal = counts.matrices.sum(0) * (1 - np.eye(12, dtype=int))
        assert off_diagonal.sum() == 0
        np.testing.assert_array_equal(counts.boundary.hits, counts.boundary.truth)
        assert counts.calibration.pixels[13] == 4 * num_pixels  # 13/15 to 14/15
        assert counts.calibration.error == pytest.approx(1 - SURE, abs=1e-6)
        assert len(counts.calibration.photos) == 4
    assert evaluation.photo_s > 0


def test_count_predictions__errors_are_counted_at_both_sizes(data):
    evaluation = count(data, Oracle(shift_px=1))
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


def test_count_predictions__advances_once_a_photo(data):
    progress = Steps()
    count(data, Oracle(), progress=progress)
    assert progress.steps == [("Predicting photos", 4)] * 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_count_predictions__probabilities_that_are_no_numbers(data, value):
    class Broken(Oracle):
        def predict_probs(self, pixels):
            probs = super().predict_probs(pixels)
            probs[3, 5, 5] = value
            return probs

    with pytest.raises(ModelError, match="not all numbers") as caught:
        count(data, Broken())
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


def test_count_predictions__no_photos(data):
    change_document(data.val, lambda document: document.update(images=[], annotations=[]))
    with pytest.raises(AnnotationError, match="has no photos"):
        count(data, Oracle())


def test_count_predictions__watcher_sees_each_photo_once(data):
    """In order, at its own size, with the truth that is known by construction."""
    seen = []

    class Watcher:
        def start(self, predictor, dataset):
            seen.append(len(dataset.photos))

        def watch(self, photo, image, truth, prediction):
            seen.append(photo.file_name)
            assert image.shape == (48, 64, 3)
            np.testing.assert_array_equal(truth, data.truth("val", photo.file_name))
            np.testing.assert_array_equal(prediction, truth)

    evaluate(build_predictor(Oracle()), data.val, watcher=Watcher())
    assert seen == [4, *data.shapes["val"]]


# --- under corruptions --------------------------------------------------------------------------


def test_count_predictions__counts_every_photo_under_every_corruption(data):
    progress = Steps()
    counts = count(data, Oracle(), severity=2, progress=progress).robustness
    assert progress.steps == [("Predicting photos, clean and corrupted", 64)] * 64
    assert (counts.severity, counts.names) == (2, NAMES)
    predictor = build_predictor(Oracle())
    for i, name in enumerate(data.shapes["val"]):
        image = read_photo(data.folder / name)
        for k, corruption in enumerate(NAMES):
            prediction = predictor.predict_mask(corrupt(image, corruption, 2))
            matrix = count_confusion(data.truth("val", name), prediction, 12)
            np.testing.assert_array_equal(counts.hits[k, i], np.diagonal(matrix))
            np.testing.assert_array_equal(counts.predicted[k, i], matrix.sum(0))


def test_count_predictions__clean_counts_are_those_without_corruptions(data):
    plain, both = count(data, Oracle()), count(data, Oracle(), severity=3)
    assert plain.robustness is None
    np.testing.assert_array_equal(plain.sizes["photo"].matrices, both.sizes["photo"].matrices)
    assert len(both.sizes["photo"].calibration.photos) == 4


def test_count_predictions__corruptions_in_another_order_of_photos(data):
    forth = count(data, Oracle(), severity=3).robustness
    change_document(data.val, lambda document: document["images"].reverse())
    back = count(data, Oracle(), severity=3).robustness
    np.testing.assert_array_equal(forth.hits, back.hits[:, ::-1])
    np.testing.assert_array_equal(forth.predicted, back.predicted[:, ::-1])


def test_count_predictions__no_such_severity(data):
    with pytest.raises(InputError, match="from 1 to 5, not 9"):
        count(data, Oracle(), severity=9)


# --- the whole job ------------------------------------------------------------------------------


def test_evaluate__a_loaded_predictor_and_a_set_that_was_read(data, tmp_path):
    dataset = read_coco(data.val)
    evaluation = evaluate(build_predictor(Oracle()), dataset, batch_size=2)
    assert evaluation.scores["photo"].sheet.global_miou == 1
    assert evaluation.scores["photo"].sheet.batch_size == 2
    assert evaluation.result.data == str(data.val)
    assert evaluation.result.cost["file_bytes"] is None  # nothing on disk
    assert "does not record its training photos" in evaluation.warnings[0]
    evaluation.save(tmp_path / "kept")
    kept = read_result(tmp_path / "kept")
    np.testing.assert_array_equal(
        kept.sizes["photo"].matrices, evaluation.result.sizes["photo"].matrices
    )
    assert isinstance(evaluation, Evaluation)


def test_evaluate__photos_that_the_model_was_trained_on(data):
    predictor = build_predictor(Oracle())
    name = next(iter(data.shapes["val"]))
    seen = frozenset({shorten_hash(hash_pixels(read_photo(data.folder / name)))})
    predictor.info = replace(predictor.info, photo_hashes=seen)
    with pytest.raises(InputError, match="1 of 4 photos") as caught:
        evaluate(predictor, data.val)
    assert caught.value.problems == (repr(name),)
    evaluation = evaluate(predictor, data.val, allow_trained=True)
    assert "not a score on unseen photos" in evaluation.warnings[0]


def test_evaluate__pseudo_labels(data):
    change_document(data.val, lambda document: document["annotations"][0].update(pseudo=True))
    with pytest.raises(AnnotationError, match="pseudo-labels"):
        evaluate(build_predictor(Oracle()), data.val)
    assert evaluate(build_predictor(Oracle()), data.val, allow_pseudo=True).scores


def test_evaluate__settings_that_were_tuned_on_these_photos(data):
    predictor = build_predictor(Oracle())
    evidence = {"helps": True, "data_sha256": hash_file(data.val)}
    predictor.info = replace(predictor.info, prediction={"evidence": evidence})
    evaluation = evaluate(predictor, data.val)
    assert evaluation.result.is_tuned_here
    assert "scores are too high" in evaluation.warnings[-1]
    other = replace(predictor.info, prediction={"evidence": {**evidence, "data_sha256": "0"}})
    predictor.info = other
    assert not evaluate(predictor, data.val).result.is_tuned_here


def test_evaluate__hashes_a_model_once(tmp_path, monkeypatch):
    write_bundle(tmp_path / "model", INFO, None, make_bytes())
    hashed = []

    def count_and_hash(path):
        hashed.append(path)
        return hash_file(path)

    monkeypatch.setattr("bunri.model.bundle.hash_file", count_and_hash)
    data = write_stripes(tmp_path)
    evaluation = evaluate(tmp_path / "model", data)
    assert [path.name for path in hashed] == ["model.onnx"]
    assert evaluation.result.cost["file_bytes"] == len(make_bytes())
    assert evaluation.scores["photo"].sheet.global_miou == 1
