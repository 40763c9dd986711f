"""Comparing evaluations: planted gains, what is compared and what is refused."""

import json

import numpy as np
import pytest

from bunri.core.errors import InputError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.scores.comparison import compare_results, find_changes
from bunri.scores.intervals import bootstrap_difference
from bunri.scores.metrics import compute_scores
from tests.scores.score_population import draw_scenes, make_result, predict_scenes

GAIN = 0.163
"""On the logit of every recall: 3 points of global mIoU (see test_intervals)."""


@pytest.fixture
def pair():
    """Two models on the same 300 photos; the second is 3 points better."""
    rng = np.random.default_rng(0)
    scenes = draw_scenes(rng, 300)
    return predict_scenes(rng, scenes), predict_scenes(rng, scenes, GAIN)


def test_compare_results__planted_gain_is_found(pair):
    old, new = pair
    comparison = compare_results({"old": make_result(old), "new": make_result(new)})
    first, second = comparison.runs
    assert first.differences is None
    assert second.differences == bootstrap_difference(old, new)
    assert second.differences.overall["global_miou"].verdict == "better"
    assert [run.sheet for run in comparison.runs] == [compute_scores(m) for m in pair]


def test_compare_results__at_the_submissions_size_too(pair):
    """At 256 x 256 the two have changed places here."""
    counts = [make_result(matrices).sizes["photo"] for matrices in pair]
    old, new = (
        make_result(pair[0], sizes={"photo": own, "submission": small})
        for own, small in (counts, counts[::-1])
    )
    _, run = compare_results({"old": old, "new": new}).runs
    assert run.own.differences == bootstrap_difference(*pair)
    assert run.small.differences == bootstrap_difference(*pair[::-1])
    assert run.small.sheet == compute_scores(pair[0])


def test_compare_results__settings_of_prediction_and_of_ensembles(pair):
    one = make_result(pair[0], prediction={})
    views = make_result(pair[1], prediction={"flips": ["horizontal"], "tiles": {"scale": 2.0}})
    both = make_result(pair[1], config={}, combine="soft")
    runs = compare_results({"one": one, "views": views, "both": both}).runs
    assert runs[1].settings == {
        "prediction.flips": (None, ["horizontal"]),
        "prediction.tiles.scale": (None, 2.0),
    }
    assert (runs[1].has_settings, runs[2].has_settings) == (True, False)
    assert runs[2].settings == {}


def test_compare_results__two_seeds_are_no_evidence():
    rng = np.random.default_rng(0)
    scenes = draw_scenes(rng, 300)
    results = {name: make_result(predict_scenes(rng, scenes)) for name in "ab"}
    (_, second) = compare_results(results).runs
    assert second.differences is not None
    assert second.differences.overall["global_miou"].verdict == "no evidence"


def test_compare_results__only_common_photos_matched_by_name(pair):
    """The second run has other photos too, and all in another order."""
    old, new = pair
    names = [f"{i}.jpg" for i in range(300)]
    order = np.random.default_rng(1).permutation(250)
    results = {
        "old": make_result(old[:200], names[:200]),
        "new": make_result(new[order], [names[i] for i in order]),
        "third": make_result(old[50:], names[50:]),
    }
    comparison = compare_results(results, batch_size=7)
    assert comparison.photos == tuple(names[50:200])
    assert comparison.left_out == (50, 100, 100)
    shared = slice(50, 200)
    assert comparison.runs[0].sheet == compute_scores(old[shared], 7)
    assert comparison.runs[1].sheet == compute_scores(new[shared], 7)
    assert comparison.runs[1].differences == bootstrap_difference(old[shared], new[shared])
    assert comparison.runs[2].differences is not None
    assert comparison.runs[2].differences.overall["global_miou"].value == 0


def test_compare_results__as_json(pair):
    config = {"seed": 2, "optim": {"lr": 0.002, "name": "adamw"}}
    results = {"old": make_result(pair[0]), "new": make_result(pair[1], config=config)}
    values = json.loads(json.dumps(compare_results(results).to_json(), allow_nan=False))
    assert values["num_photos"] == 300
    first, second = values["runs"]
    assert first["differences"] is None
    assert first["settings"] == {}
    assert second["settings"] == {
        "optim.lr": {"first": 0.001, "this": 0.002},
        "seed": {"first": 1, "this": 2},
    }
    difference = second["differences"]["global_miou"]
    assert difference["verdict"] == "better"
    assert difference["value"] == second["miou"]["global"] - first["miou"]["global"]
    assert 0 < difference["interval"][0] < difference["value"] < difference["interval"][1]
    assert [row["name"] for row in second["differences"]["classes"]] == [
        f"class {i}" for i in range(6)
    ]
    assert second["cost"]["photo_s"] == 0.25
    assert second["cost"]["peak_memory_bytes"] is None


def test_compare_results__no_common_photo(pair):
    results = {
        "a": make_result(pair[0][:2], ["1.jpg", "2.jpg"]),
        "b": make_result(pair[0][:2], ["3.jpg", "4.jpg"]),
    }
    with pytest.raises(InputError, match="a, b have no photo in common"):
        compare_results(results)


def test_compare_results__other_classes(pair):
    matrices = np.zeros((300, 12, 12), np.int64)
    results = {"a": make_result(pair[0]), "b": make_result(matrices, table=COMPETITION_TABLE)}
    with pytest.raises(InputError, match=r"same classes can be compared; a has class 0,") as caught:
        compare_results(results)
    assert caught.value.problems[0].startswith("b has Background, UNKNOWN,")


def test_compare_results__classes_in_another_order(pair):
    result = make_result(pair[0])
    turned = type(result.table)(result.table.classes[:1] + result.table.classes[:0:-1])
    with pytest.raises(InputError, match="same classes"):
        compare_results({"a": result, "b": make_result(pair[0], table=turned)})


def test_compare_results__other_labels(pair):
    other = pair[1].copy()
    other[[4, 9]] = other[[9, 4]]
    results = {"a": make_result(pair[0]), "b": make_result(other, overlap_rule="highest-class")}
    with pytest.raises(InputError, match="labels are not those of a") as caught:
        compare_results(results)
    assert caught.value.problems == (
        "b (val.json, highest-class): 2 of 300 photos, first '0004.jpg'",
    )


@pytest.mark.parametrize("num_results", [0, 1])
def test_compare_results__too_few(pair, num_results):
    results = {"a": make_result(pair[0])} if num_results else {}
    with pytest.raises(InputError, match=f"two evaluations or more, not {num_results}"):
        compare_results(results)


def test_find_changes__nested_and_missing():
    first = {"a": {"b": 1, "c": {"d": [1]}}, "same": None}
    second = {"a": {"b": 2, "c": {"d": [1]}}, "same": None, "new": True}
    assert find_changes(first, second) == {"a.b": (1, 2), "new": (None, True)}
