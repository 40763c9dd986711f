"""Evaluation folders: what is written is read again, and nothing else is."""

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bunri.core.errors import InputError, OutputError, PathError
from bunri.scores.intervals import bootstrap_scores
from bunri.scores.metrics import compute_scores
from bunri.scores.result_files import (
    COUNTS_NAME,
    RESULT_NAME,
    find_result,
    read_result,
    write_result,
)
from bunri.scores.results import SIZES, UsedModel, describe_result, score_counts
from bunri.scores.robustness import RobustnessCounts, score_robustness
from tests.scores.score_population import draw_matrices, make_result, write_evaluation


@pytest.fixture
def result():
    return make_result(draw_matrices(np.random.default_rng(0), 9))


@pytest.fixture
def folder(tmp_path, result):
    return write_evaluation(tmp_path / "scores", result)


def assert_same_counts(one, other):
    np.testing.assert_array_equal(one.matrices, other.matrices)
    for name in ("hits", "truth", "predicted"):
        np.testing.assert_array_equal(getattr(one.boundary, name), getattr(other.boundary, name))
    assert one.calibration.to_json() == other.calibration.to_json()


def test_read_result__is_what_was_written(folder, result):
    found = read_result(folder)
    for name in ("model", "data", "overlap_rule", "table", "photos", "config", "models", "combine",
                 "prediction", "is_tuned_here", "cost"):  # fmt: skip
        assert getattr(found, name) == getattr(result, name), name
    for size in SIZES:
        assert_same_counts(found.sizes[size], result.sizes[size])
    assert found.sizes["photo"].matrices.dtype == np.int64
    assert sorted(p.name for p in folder.iterdir()) == [RESULT_NAME, COUNTS_NAME]


def test_read_result__of_several_models(tmp_path, result):
    told = {
        "models": (UsedModel("runs/a", "0" * 64, 2.0), UsedModel("runs/b", "1" * 64, 0.5)),
        "combine": "soft",
        "prediction": {"flips": ["horizontal"]},
        "is_tuned_here": True,
    }
    folder = write_evaluation(tmp_path / "both", replace(result, **told))
    found = read_result(folder)
    assert {key: getattr(found, key) for key in told} == told


def test_write_result__twice_gives_the_same_bytes(tmp_path, result):
    one, other = (write_evaluation(tmp_path / name, result) for name in "ab")
    for name in (RESULT_NAME, COUNTS_NAME):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_write_result__replaces_an_earlier_one(folder, result):
    other = make_result(result.sizes["photo"].matrices[:4], model="runs/b")
    write_evaluation(folder, other)
    assert read_result(folder).model == "runs/b"
    assert len(read_result(folder).photos) == 4


def test_write_result__place_is_a_file(tmp_path, result):
    (tmp_path / "scores").write_text("mine")
    with pytest.raises(OutputError, match="scores"):
        write_evaluation(tmp_path / "scores", result)
    assert (tmp_path / "scores").read_text() == "mine"


def test_describe_result__scores_and_intervals(result):
    matrices = result.sizes["photo"].matrices
    scores = {size: score_counts(counts, 4) for size, counts in result.sizes.items()}
    values = json.loads(json.dumps(describe_result(result, scores), allow_nan=False))
    low, high = values["calibration"]["interval"]
    assert low <= values["calibration"]["ece"] <= high
    sheet, names = compute_scores(matrices, 4), result.table.names
    assert values["miou"] == sheet.to_json(names)["miou"]
    assert values["classes"] == sheet.to_json(names)["classes"]
    assert values["intervals"] == bootstrap_scores(matrices).to_json(names)
    assert values["calibration"]["ece"] == pytest.approx(0.1)
    assert values["submission_size"]["miou"] == values["miou"]
    total = result.sizes["photo"].boundary
    hits, truth, predicted = (x.sum(0) for x in (total.hits, total.truth, total.predicted))
    found = values["boundary"]["classes"][0]
    assert found["iou"] == hits[0] / (truth[0] + predicted[0] - hits[0])
    assert found["interval"][0] < found["iou"] < found["interval"][1]
    assert (found["photos"], found["pixels"]) == (9, truth[0])
    low, high = values["boundary"]["interval"]
    assert low < values["boundary"]["miou"] < high


@pytest.fixture
def corrupted(tmp_path, result):
    """An evaluation with counts under two corruptions, and these."""
    rng = np.random.default_rng(1)
    counts = RobustnessCounts(4, ("fog", "dark"), *rng.integers(0, 99, (2, 2, 9, 6)))
    result = make_result(result.sizes["photo"].matrices, robustness=counts)
    scores = {size: score_counts(one) for size, one in result.sizes.items()}
    under = score_robustness(counts, result.sizes["photo"].matrices)
    write_result(tmp_path / "corrupted", result, scores, under)
    return tmp_path / "corrupted", counts, under


def test_read_result__counts_under_corruptions(corrupted):
    folder, counts, scores = corrupted
    found = read_result(folder).robustness
    assert found is not None
    assert (found.severity, found.names) == (4, ("fog", "dark"))
    np.testing.assert_array_equal(found.hits, counts.hits)
    np.testing.assert_array_equal(found.predicted, counts.predicted)
    kept = json.loads((folder / RESULT_NAME).read_text("utf-8"))["robustness"]
    assert kept == json.loads(json.dumps(scores.to_json()))


def test_read_result__without_corruptions_as_older_ones_are(folder):
    assert "robustness" not in json.loads((folder / RESULT_NAME).read_text("utf-8"))
    assert read_result(folder).robustness is None


@pytest.mark.parametrize(
    "described", [{"severity": 4, "corruptions": [{"name": "fog"}]}, {"severity": 4}]
)
def test_read_result__corruptions_are_damaged(corrupted, described):
    change_json(corrupted[0], robustness=described)
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(corrupted[0])


@pytest.mark.parametrize(
    "array", [None, np.zeros((2, 9, 2, 5), np.int64), np.full((2, 9, 2, 6), -1)]
)
def test_read_result__counts_under_corruptions_are_damaged(corrupted, array):
    change_counts(corrupted[0], robustness=array)
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(corrupted[0])


def test_find_result__evaluation_or_run(tmp_path, folder):
    run = tmp_path / "run"
    run.mkdir()
    folder.rename(run / "evaluation")
    assert find_result(run) == find_result(run / "evaluation") == run / "evaluation"


@pytest.mark.parametrize("exists", [False, True])
def test_find_result__none_there(tmp_path, exists):
    if exists:
        (tmp_path / "run").mkdir()
    with pytest.raises(PathError, match="holds no evaluation" if exists else "no folder") as caught:
        find_result(tmp_path / "run")
    assert "bunri evaluate" in caught.value.hint


# --- damage -------------------------------------------------------------------------------------


def change_json(folder, **changes):
    path = folder / RESULT_NAME
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, **changes}), "utf-8")


def change_counts(folder, **changes):
    """Change arrays; the JSON names the new file, as a forger would."""
    with np.load(folder / COUNTS_NAME) as arrays:
        kept = dict(arrays) | changes
    packed = io.BytesIO()
    np.savez_compressed(packed, **{k: v for k, v in kept.items() if v is not None})
    write_counts(folder, packed.getvalue())


def write_counts(folder, content):
    (folder / COUNTS_NAME).write_bytes(content)
    change_json(folder, matrices_sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_read_result__json_is_no_evaluation(folder, text):
    (folder / RESULT_NAME).write_text(text)
    with pytest.raises(InputError, match="incomplete or damaged") as caught:
        read_result(folder)
    assert "bunri evaluate" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "match", "hint"), [(3, "newer", "upgrade"), (1, "format", "again")]
)
def test_read_result__of_another_format(folder, number, match, hint):
    change_json(folder, format=number, bunri="9.0")
    with pytest.raises(InputError, match=match) as caught:
        read_result(folder)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"photos": ["0000.jpg"] * 9},
        {"photos": [f"{i}.jpg" for i in range(8)]},
        {"photos": list(range(9))},
        {"class_table": [{"name": "a"}]},
        {"models": [{"model": "a", "weights_sha256": "b", "weight": float("nan")}]},
        {"matrices_sha256": "0" * 64},
    ],
)
def test_read_result__json_is_damaged(folder, changes):
    change_json(folder, **changes)
    with pytest.raises(InputError, match="incomplete or damaged") as caught:
        read_result(folder)
    assert "again" in caught.value.hint


@pytest.mark.parametrize(
    "array",
    [
        None,
        np.zeros((9, 6, 5), np.int64),
        np.zeros((8, 6, 6), np.int64),
        np.zeros((9, 6, 6), np.float64),
        np.full((9, 6, 6), -1),
    ],
)
def test_read_result__matrices_are_damaged(folder, array):
    change_counts(folder, photo_confusion=array)
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)


def test_read_result__calibration_is_not_a_number(folder):
    change_counts(folder, submission_calibration=np.full((9, 3, 15), np.nan))
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)


def test_read_result__pair_of_files_that_do_not_belong_together(folder, tmp_path, result):
    """As after a crash between the two."""
    other = write_evaluation(tmp_path / "b", make_result(result.sizes["photo"].matrices[:4]))
    (other / COUNTS_NAME).replace(folder / COUNTS_NAME)
    with pytest.raises(InputError, match=f"{COUNTS_NAME} is not the file"):
        read_result(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"nonsense"])
def test_read_result__counts_are_no_archive(folder, content):
    write_counts(folder, content)
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)


def test_read_result__counts_are_missing(folder):
    (folder / COUNTS_NAME).unlink()
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)


class Bomb:
    """Tells if it was ever unpickled."""

    def __reduce__(self) -> Any:
        return print, ("boom",)


def test_read_result__never_unpickles(folder, capsys):
    change_counts(folder, photo_confusion=np.array([Bomb()], object))
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)
    write_counts(folder, pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="incomplete or damaged"):
        read_result(folder)
    assert "boom" not in capsys.readouterr().out


def test_read_result__archive_that_would_fill_the_memory(folder, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo_confusion.npy", bytes(100_000))
    write_counts(folder, packed.getvalue())
    monkeypatch.setattr("bunri.scores.result_files._MAX_COUNTS_BYTES", 99_999)
    with pytest.raises(InputError, match="unpacks to over 99999 bytes"):
        read_result(folder)
