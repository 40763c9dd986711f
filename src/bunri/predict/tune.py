"""The search behind ``bunri tune``: settings of prediction that help on labelled photos.

Each model predicts every photo once in each view; the probabilities are stored in a temporary
folder with 8 bits each, and all settings are tried on those. Settings are searched one kind after
the other, each starting with what was kept before. A candidate is kept if it beats its start on the
same draws of the same photos. Intervals are widened for the number of candidates (Bonferroni), so
that without any real gain at most one search in 20 keeps something.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, FloatArray, ImageArray
from bunri.core.progress import Advance, Progress, show_nothing
from bunri.images.decider import Decider
from bunri.images.planes import ClassPlanes, FramePlanes
from bunri.labels.coco import require_nonempty
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.model.info import BundleInfo
from bunri.predict.combine import combine_planes
from bunri.predict.ensemble import Member, merge_infos
from bunri.predict.predictor import AnyPredictor
from bunri.predict.settings import PLAIN, ClassThreshold, Combine, PredictionSettings
from bunri.predict.tta import View, list_views
from bunri.scores.confusion import Matrices, count_confusion, stack_matrices
from bunri.scores.intervals import Difference, Draws, bootstrap_difference
from bunri.scores.metrics import compute_scores, list_scores, replace_nan

NUM_DRAWS, CHANCE = 2000, 0.05
REGION_SHARES = (0.0002, 0.001, 0.004)
CLASS_THRESHOLDS = (0.25, 0.35, 0.45)
SCALES = (0.75, 1.25)
SCORES = tuple(score.key for score in list_scores("set", "photos"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings to try."""

    name: str
    settings: PredictionSettings
    weights: tuple[float, ...]
    combine: Combine = "soft"


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and its score.

    Attributes:
        difference: Difference to the start of its stage; None for the first start.
    """

    stage: str
    candidate: Candidate
    score: float
    difference: Difference | None
    is_kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain values."""
        row: dict[str, Any] = {
            "stage": self.stage,
            "name": self.candidate.name,
            "score": replace_nan(self.score),
        }
        if self.difference is not None:
            row["difference"] = replace_nan(self.difference.value)
            row["interval"] = self.difference.interval.to_json()
        return {**row, "kept": self.is_kept}


@dataclass(frozen=True, slots=True)
class Tuning:
    """Result of a search.

    Attributes:
        level: Confidence level of each interval, 0 to 1.
    """

    best: Candidate
    trials: tuple[Trial, ...]
    level: float

    @property
    def helps(self) -> bool:
        """Whether anything beats the start."""
        return any(trial.is_kept for trial in self.trials)


def tune(
    members: Sequence[Member],
    dataset: LabelledSet,
    rule: OverlapRule,
    progress: Progress = show_nothing,
    *,
    score: str = "global_miou",
    tries_crf: bool = False,
) -> Tuning:
    """Search settings of prediction that win on labelled photos beyond chance.

    Args:
        members: Models with one class table; ``dataset`` must have been read with it.
        dataset: Labelled photos.
        rule: Rule by which true masks are drawn.
        progress: Display of progress.
        score: One of ``SCORES``.
        tries_crf: Try the CRF as well, which is slow.
    """
    check_photo_headers(require_nonempty(dataset))
    with tempfile.TemporaryDirectory() as folder:
        replay = _Replay(members, dataset, rule, Path(folder))
        with progress("Predicting all views", len(members) * len(dataset.photos)) as advance:
            replay.fill(advance)
        start = Candidate("nothing", PLAIN, (1.0,) * len(members))
        stages = _list_stages(len(members), dataset.table.names, tries_crf=tries_crf)
        return _search(replay.count, start, stages, progress, score)


_Stage = tuple[str, Callable[[Candidate], list[Candidate]]]


def _search(
    count: Callable[[Candidate], Matrices],
    start: Candidate,
    stages: Sequence[_Stage],
    progress: Progress,
    score: str,
) -> Tuning:
    num_trials = sum(len(propose(start)) for _, propose in stages)
    level = 1 - CHANCE / max(1, num_trials)
    draws = Draws(NUM_DRAWS, level=level)
    best, matrices = start, count(start)
    trials = [Trial("start", start, compute_scores(matrices).overall[score], None)]
    with progress("Trying settings", num_trials) as advance:
        for stage, propose in stages:
            rows: list[Trial] = []
            wins: dict[int, Matrices] = {}
            for candidate in propose(best):
                found = count(candidate)
                all_scores = bootstrap_difference(matrices, found, draws)
                difference = all_scores.overall[score]
                if difference.verdict == "better":
                    wins[len(rows)] = found
                value = compute_scores(found).overall[score]
                rows.append(Trial(stage, candidate, value, difference))
                advance()
            if wins:
                first = max(wins, key=lambda place: rows[place].score)
                best, matrices = rows[first].candidate, wins[first]
                rows[first] = replace(rows[first], is_kept=True)
            trials += rows
    return Tuning(best, tuple(trials), level)


def _list_stages(num_members: int, names: Sequence[str], *, tries_crf: bool) -> list[_Stage]:
    stages: list[_Stage] = []
    if num_members > 1:
        stages.append(("models", _propose_weights))
    stages.append(("views", _propose_views))
    if tries_crf:
        stages.append(("crf", lambda best: [_change(best, "crf", crf={})]))
    stages.append(("class thresholds", lambda best: _propose_class_thresholds(best, names)))
    stages.append(("regions", _propose_regions))
    return stages


def _change(best: Candidate, name: str, **values: Any) -> Candidate:  # noqa: ANN401 (any setting)
    settings = best.settings.model_dump() | values
    return replace(best, name=name, settings=PredictionSettings(**settings))


def _propose_weights(best: Candidate) -> list[Candidate]:
    size = len(best.weights)
    proposals = [replace(best, name=how, combine=how) for how in ("hard", "minmax")]
    for number in range(size):
        alone = tuple(float(i == number) for i in range(size))
        double = tuple(1.0 + (i == number) for i in range(size))
        proposals.append(replace(best, name=f"model {number + 1} alone", weights=alone))
        proposals.append(replace(best, name=f"model {number + 1} twice", weights=double))
    return proposals


def _propose_views(best: Candidate) -> list[Candidate]:
    horizontal, both = ("horizontal",), ("horizontal", "vertical")
    return [
        _change(best, "hflip", flips=horizontal),
        _change(best, "hflip, vflip", flips=both),
        _change(best, "turns", turns=True),
        _change(best, "hflip, turns", flips=horizontal, turns=True),
        *(_change(best, f"x{s:g}", scales=(1.0, s)) for s in SCALES),
        _change(best, "scales", scales=(1.0, *SCALES)),
        _change(best, "hflip, scales", flips=horizontal, scales=(1.0, *SCALES)),
    ]


def _propose_class_thresholds(best: Candidate, names: Sequence[str]) -> list[Candidate]:
    return [
        _change(
            best,
            f"{name} from {value:g}",
            class_thresholds=(ClassThreshold(name=name, probability=value),),
        )
        for index, name in enumerate(names)
        if index != BACKGROUND_INDEX
        for value in CLASS_THRESHOLDS
    ]


def _propose_regions(best: Candidate) -> list[Candidate]:
    return [_change(best, f"below {s:g}", min_region_share=s) for s in REGION_SHARES]


def _list_needed_views() -> list[View]:
    """Return every view that a candidate may need, once."""
    start = Candidate("", PLAIN, (1.0,))
    needed = [view for c in (start, *_propose_views(start)) for view in list_views(c.settings)]
    return list(dict.fromkeys(needed))


class _Replay:
    """Probabilities of each model for each photo in each view, on disk, to try settings on."""

    def __init__(
        self, members: Sequence[Member], dataset: LabelledSet, rule: OverlapRule, folder: Path
    ) -> None:
        self._members = members
        self._dataset = dataset
        self._rule = rule
        self._folder = folder

    def fill(self, advance: Advance) -> None:
        """Predict each photo with each model in each view; one model is loaded at a time."""
        views = _list_needed_views()
        for number, member in enumerate(self._members):
            predictor = member.load()
            for photo in self._dataset.photos:
                image = read_photo_as_labelled(self._dataset, photo)
                for view in views:
                    probs = predictor.compute_view(image, view)
                    rounded = np.rint(probs * 255).astype(np.uint8)
                    np.save(self._name(number, photo, view), rounded, allow_pickle=False)
                advance()

    def average(self, number: int, photo: Photo, views: Sequence[View]) -> FloatArray:
        """Return the mean over views of a model's probabilities, float32 (C, h, w)."""
        parts = (np.load(self._name(number, photo, v), allow_pickle=False) for v in views)
        total = sum(part.astype(np.float32) for part in parts)
        return np.asarray(total / (255 * len(views)), np.float32)

    def _name(self, number: int, photo: Photo, view: View) -> Path:
        pose = f"{int(view.is_mirrored)}{view.quarter_turns}x{view.scale:g}"
        return self._folder / f"{number}_{photo.id}_{pose}.npy"

    def count(self, candidate: Candidate) -> Matrices:
        """Return one confusion matrix per photo."""
        num_classes = len(self._dataset.table)
        matrices = []
        predictor = _ReplayPredictor(merge_infos(self._members), candidate, self)
        for photo in self._dataset.photos:
            predictor.photo = photo
            image = np.zeros((*photo.size_hw, 3), np.uint8)
            if candidate.settings.crf is not None:  # nothing else needs the pixels
                image = read_photo_as_labelled(self._dataset, photo)
            truth = draw_mask(self._dataset, photo, self._rule)
            matrices.append(count_confusion(truth, predictor.predict_mask(image), num_classes))
        return stack_matrices(matrices, num_classes)


class _ReplayPredictor(AnyPredictor):
    """Predictor that replays stored probabilities; set ``photo`` first."""

    photo: Photo

    def __init__(self, info: BundleInfo, candidate: Candidate, replay: _Replay) -> None:
        super().__init__(info, candidate.settings)
        self._candidate = candidate
        self._replay = replay
        self._views = list_views(candidate.settings)

    def compute_planes(self, image: ImageArray) -> ClassPlanes:
        """Return the stored probabilities of ``photo``; only the size of the image is used."""
        photo_hw = image.shape[0], image.shape[1]
        used = [(number, w) for number, w in enumerate(self._candidate.weights) if w]
        planes = [
            FramePlanes(self._replay.average(number, self.photo, self._views), photo_hw)
            for number, _ in used
        ]
        if len(self._candidate.weights) == 1:
            return planes[0]
        votes = Decider.plain(len(self.table))
        return combine_planes(planes, [w for _, w in used], self._candidate.combine, votes)
