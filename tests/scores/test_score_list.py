"""A score that is added to the list shows up everywhere without another line of code."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bunri.cli import score_display
from bunri.predict import tune
from bunri.scores import metrics
from bunri.scores.comparison import compare_results
from bunri.scores.confusion import ClassCounts, Scores, divide
from bunri.scores.intervals import bootstrap_scores
from bunri.scores.metrics import Score, compute_scores
from bunri.scores.results import describe_result, score_counts
from tests.report.made import make_evaluation, write_page_of


def compute_accuracy(counts: ClassCounts) -> Scores:
    return divide(counts.hits.sum(-1), counts.truth.sum(-1))


ACCURACY = Score("photo_accuracy", "photo accuracy", "사진 정확도", "mean over photos",
                 "사진별 평균", compute_accuracy, "photos")  # fmt: skip
MISSES = Score("misses", "misses", "미탐률", compute=lambda counts: 1 - counts.recall)


@pytest.fixture(autouse=True)
def longer_list(monkeypatch):
    monkeypatch.setattr(metrics, "OVERALL_SCORES", (*metrics.OVERALL_SCORES, ACCURACY))
    monkeypatch.setattr(metrics, "CLASS_SCORES", (*metrics.CLASS_SCORES, MISSES))


@pytest.fixture
def evaluation():
    return make_evaluation(8)


def test_added_score__in_json_and_intervals(evaluation):
    result, _, _ = evaluation
    scores = {size: score_counts(counts) for size, counts in result.sizes.items()}
    values = json.loads(json.dumps(describe_result(result, scores), allow_nan=False))
    matrices = result.sizes["photo"].matrices
    expected = np.mean([compute_accuracy(ClassCounts.of(matrix)) for matrix in matrices])
    assert values["photo_accuracy"] == pytest.approx(expected)
    low, high = values["intervals"]["photo_accuracy"]
    assert low < expected < high
    assert values["classes"][0]["misses"] == pytest.approx(1 - values["classes"][0]["recall"])
    low, high = values["intervals"]["classes"][0]["misses"]
    assert low <= values["classes"][0]["misses"] <= high


def test_added_score__is_compared(evaluation):
    result, _, _ = evaluation
    values = compare_results({"a": result, "b": replace(result, model="b")}).to_json()
    differences = values["runs"][1]["differences"]
    assert differences["photo_accuracy"]["value"] == 0
    assert differences["classes"][0]["misses"]["verdict"] == "no evidence"


def test_added_score__on_the_console(evaluation, monkeypatch):
    result, _, _ = evaluation
    screen = io.StringIO()
    monkeypatch.setattr(score_display, "out", Console(file=screen, width=120, highlight=False))
    matrices = result.sizes["photo"].matrices
    sheet = compute_scores(matrices)
    score_display.print_scores(sheet, bootstrap_scores(matrices), result.table, "model")
    shown = screen.getvalue()
    value = sheet.overall["photo_accuracy"]
    assert f"photo accuracy    {value:.4f}" in shown
    assert "misses" in shown


def test_added_score__on_the_page(evaluation, tmp_path):
    result, keeper, _ = evaluation
    page = write_page_of(tmp_path / "page.html", result, keeper)
    assert '<bdi lang="ko">사진 정확도</bdi>' in page
    assert '<bdi lang="ko">미탐률</bdi>' in page
    value = compute_scores(result.sizes["photo"].matrices).overall["photo_accuracy"]
    assert f"<b>{value:.3f}</b>" in page


def test_scores__have_keys_of_their_own():
    keys = [score.key for score in (*metrics.list_scores(), *metrics.list_class_scores())]
    assert len(keys) == len(set(keys))
    assert "global_miou" in tune.SCORES
    assert "per_batch_miou" not in tune.SCORES  # has no interval
