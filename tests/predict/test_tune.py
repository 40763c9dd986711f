"""What a search keeps: real gains, and nothing where there are none."""

from contextlib import contextmanager

import numpy as np
import pytest

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.predict.tune import tune
from tests.builders import GROUND_RGB, SHAPE_RGB, write_data
from tests.predict.fakes import FakeMember, build

COLORS = {0: GROUND_RGB, **SHAPE_RGB}


class SpecklingOracle:
    """Reads the class off the colour, but for pixels that it makes specks of another class."""

    def __init__(self, share, left_only=False, seed=0, sure=0.6):
        self.share = share
        self.sure = sure
        self.left_only = left_only
        self.seed = seed
        self.num_frames = 0

    def predict_probs(self, pixels):
        self.num_frames += 1
        distances = [
            np.abs(pixels - np.reshape(np.array(rgb) / 255, (3, 1, 1))).sum(0)
            for rgb in COLORS.values()
        ]
        classes = np.array(list(COLORS))[np.argmin(distances, axis=0)]
        rng = np.random.default_rng(self.seed + int(pixels.sum() * 10) % 1000)
        specks = rng.random(classes.shape) < self.share
        if self.left_only:
            specks[:, classes.shape[1] // 2 :] = False
        classes = np.where(specks, 4, classes)
        probs = np.full((12, *classes.shape), 0.02, np.float32)
        # Specks are less sure than the rest, so that a mirrored view outvotes them.
        np.put_along_axis(probs, classes[None], np.where(specks, self.sure, 0.78)[None], axis=0)
        return (probs / probs.sum(0)).astype(np.float32)


@contextmanager
def quiet(label, total):
    yield lambda: None


@pytest.fixture
def dataset(tmp_path):
    data = write_data(tmp_path / "data", (1, 12, 1), size_hw=(48, 64))
    return read_coco(data.val, table=COMPETITION_TABLE)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("bunri.predict.tune.NUM_DRAWS", 100)


def search(dataset, *backends):
    members = [FakeMember(f"m{i}", build(backend)) for i, backend in enumerate(backends)]
    return tune(members, dataset, "largest-first", quiet)


def test_tune__a_perfect_model_is_left_alone(dataset):
    backend = SpecklingOracle(0)
    tuning = search(dataset, backend)
    assert not tuning.helps
    assert tuning.best.name == "nothing"
    assert tuning.trials[0].score == 1
    # 8 poses, and two more scales as they are and mirrored: each photo once in each.
    assert backend.num_frames == 12 * 12
    assert len(tuning.trials) == 1 + 8 + 11 * 3 + 3
    assert tuning.level == pytest.approx(1 - 0.05 / 44)


def test_tune__views_and_regions_that_help_are_kept(dataset):
    tuning = search(dataset, SpecklingOracle(0.05, left_only=True))
    assert tuning.helps
    kept = {trial.stage for trial in tuning.trials if trial.is_kept}
    assert kept & {"views", "regions"}
    best = max(trial.score for trial in tuning.trials if trial.is_kept)
    assert best > tuning.trials[0].score + 0.02
    for trial in tuning.trials:
        assert not trial.is_kept or trial.difference.interval.low > 0


def test_tune__a_bad_member_loses_its_weight(dataset):
    tuning = search(dataset, SpecklingOracle(0), SpecklingOracle(0.9, sure=5))
    start = tuning.trials[0]
    alone = next(t for t in tuning.trials if t.candidate.name == "model 1 alone")
    assert alone.score == 1 > start.score
    assert alone.is_kept
    assert tuning.best.weights == (1.0, 0.0)
