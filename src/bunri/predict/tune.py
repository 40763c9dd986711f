"""What helps a model on labelled photos: views, weights, claims and region sizes.

Owns which settings are tried, in which order, and when one is kept. Intervals are ``intervals``'.

Every photo is looked at once by each model in each view; what was said is kept in a temporary
folder with 8 bits a probability, and all settings are tried on that. Settings are searched one kind
after the other, each beginning with what was kept before. One is kept if it beats that on the same
draws of the same photos; as many are tried, the intervals are as wide as that many need to be
(Bonferroni), so that with no real gain at all something is kept in at most one of 20 searches.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import BACKGROUND_INDEX, FloatArray, ImageArray
from bunri.core.progress import Progress
from bunri.images.decider import Decider
from bunri.images.planes import ClassPlanes, FramePlanes
from bunri.labels.coco import require_nonempty
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.model.info import BundleInfo
from bunri.predict.ensemble import Member, combine_planes, join_infos
from bunri.predict.predictor import AnyPredictor
from bunri.predict.settings import PLAIN, Claim, Combine, PredictionSettings
from bunri.predict.tta import View, list_views
from bunri.scores.intervals import OVERALL_SCORES, Difference, bootstrap_difference
from bunri.scores.metrics import (
    Matrices,
    compute_scores,
    count_confusion,
    replace_nan,
    stack_matrices,
)

NUM_DRAWS, CHANCE = 2000, 0.05
REGION_SHARES = (0.0002, 0.001, 0.004)
CLAIMED_FROM = (0.25, 0.35, 0.45)
SCALES = (0.75, 1.25)
SCORES = OVERALL_SCORES

_Kept = npt.NDArray[np.uint8]  # (C, h, w), probability times 255, rounded


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to predict.

    Attributes:
        name: What it changes.
        settings: All of them.
        weights: One for each model.
        combine: How models are combined.
    """

    name: str
    settings: PredictionSettings
    weights: tuple[float, ...]
    combine: Combine = "soft"


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and what it did.

    Attributes:
        stage: Kind of setting.
        candidate: What was tried.
        score: Of the candidate.
        difference: To what was kept before its stage; None for the start.
        is_kept: Whether it is part of the result.
    """

    stage: str
    candidate: Candidate
    score: float
    difference: Difference | None
    is_kept: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
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
    """A search and its end.

    Attributes:
        best: What won; the start itself where nothing helps.
        trials: In the order they were made, the start first.
        level: Of each interval.
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
    tracker: Progress,
    *,
    score: str = "global_miou",
    tries_crf: bool = False,
) -> Tuning:
    """Search settings of prediction that win on labelled photos beyond chance.

    Args:
        members: Models with one class table; ``dataset`` must have been read with it.
        dataset: Photos and labels that no model learned from.
        rule: How masks are drawn.
        tracker: Shows progress.
        score: One of ``SCORES``.
        tries_crf: Whether the CRF is tried, which takes most of the time.

    Raises:
        AnnotationError: There are no photos.
        ImageError: A photo cannot be used.
        ModelError: A model gives probabilities that are no numbers.
    """
    check_photo_headers(require_nonempty(dataset))
    with tempfile.TemporaryDirectory() as folder:
        looks = _Looks(Path(folder))
        with tracker("Looking at photos", len(members) * len(dataset.photos)) as advance:
            looks.gather(members, dataset, advance)
        judge = _Judge(members, dataset, rule, looks)
        start = Candidate("nothing", PLAIN, (1.0,) * len(members))
        stages = _list_stages(len(members), dataset.table.names, tries_crf=tries_crf)
        return _search(judge.count, start, stages, tracker, score)


_Stage = tuple[str, Callable[[Candidate], list[Candidate]]]


def _search(
    count: Callable[[Candidate], Matrices],
    start: Candidate,
    stages: Sequence[_Stage],
    tracker: Progress,
    score: str,
) -> Tuning:
    num_trials = sum(len(propose(start)) for _, propose in stages)
    level = 1 - CHANCE / max(1, num_trials)
    best, matrices = start, count(start)
    trials = [Trial("start", start, getattr(compute_scores(matrices), score), None)]
    with tracker("Trying settings", num_trials) as advance:
        for stage, propose in stages:
            rows = []
            for candidate in propose(best):
                found = count(candidate)
                difference = bootstrap_difference(matrices, found, NUM_DRAWS, level=level)
                value = getattr(compute_scores(found), score)
                rows.append((Trial(stage, candidate, value, difference.overall[score]), found))
                advance()
            wins = [i for i, (trial, _) in enumerate(rows) if _wins(trial)]
            if wins:
                first = max(wins, key=lambda i: rows[i][0].score)
                best, matrices = rows[first][0].candidate, rows[first][1]
                rows[first] = (replace(rows[first][0], is_kept=True), matrices)
            trials += [trial for trial, _ in rows]
    return Tuning(best, tuple(trials), level)


def _wins(trial: Trial) -> bool:
    return trial.difference is not None and trial.difference.verdict == "better"


def _list_stages(num_members: int, names: Sequence[str], *, tries_crf: bool) -> list[_Stage]:
    stages: list[_Stage] = []
    if num_members > 1:
        stages.append(("models", _propose_weights))
    stages.append(("views", _propose_views))
    if tries_crf:
        stages.append(("crf", lambda best: [_change(best, "crf", crf={})]))
    stages.append(("claims", lambda best: _propose_claims(best, names)))
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


def _propose_claims(best: Candidate, names: Sequence[str]) -> list[Candidate]:
    objects = [name for index, name in enumerate(names) if index != BACKGROUND_INDEX]
    return [
        _change(best, f"{name} from {value:g}", claims=(Claim(name=name, probability=value),))
        for name in objects
        for value in CLAIMED_FROM
    ]


def _propose_regions(best: Candidate) -> list[Candidate]:
    return [_change(best, f"below {s:g}", min_region_share=s) for s in REGION_SHARES]


def _list_needed_views() -> list[View]:
    """Return every view that a candidate may ask for, once."""
    start = Candidate("", PLAIN, (1.0,))
    needed = [view for c in (start, *_propose_views(start)) for view in list_views(c.settings)]
    return list(dict.fromkeys(needed))


class _Looks:
    """What models say of photos, on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def gather(
        self, members: Sequence[Member], dataset: LabelledSet, advance: Callable[[], None]
    ) -> None:
        """Look at each photo once with each model in each view; one model is loaded at a time."""
        views = _list_needed_views()
        for number, member in enumerate(members):
            predictor = member.load()
            for photo in dataset.photos:
                image = read_photo_as_labelled(dataset, photo)
                for view in views:
                    probs = predictor.look_once(image, view)
                    kept: _Kept = np.rint(probs * 255).astype(np.uint8)
                    np.save(self._name(number, photo, view), kept, allow_pickle=False)
                advance()

    def recall(self, number: int, photo: Photo, views: Sequence[View]) -> FloatArray:
        """Return the mean over views of what a model said, float32 (C, h, w), sums to about 1."""
        parts = (np.load(self._name(number, photo, v), allow_pickle=False) for v in views)
        total = sum(part.astype(np.float32) for part in parts)
        return np.asarray(total / (255 * len(views)), np.float32)

    def _name(self, number: int, photo: Photo, view: View) -> Path:
        pose = f"{int(view.is_mirrored)}{view.quarter_turns}x{view.scale:g}"
        return self._folder / f"{number}_{photo.id}_{pose}.npy"


class _Judge:
    """Counts what a candidate makes of all photos."""

    def __init__(
        self, members: Sequence[Member], dataset: LabelledSet, rule: OverlapRule, looks: _Looks
    ) -> None:
        self._info = join_infos(members)
        self._dataset = dataset
        self._rule = rule
        self._looks = looks

    def count(self, candidate: Candidate) -> Matrices:
        """Return one confusion matrix a photo."""
        num_classes = len(self._dataset.table)
        matrices = []
        recalled = _Recalled(self._info, candidate, self._looks)
        for photo, image in self._read(needs_pixels=candidate.settings.crf is not None):
            recalled.photo = photo
            mask = recalled.predict_mask(image)
            truth = draw_mask(self._dataset, photo, self._rule)
            matrices.append(count_confusion(truth, mask, num_classes))
        return stack_matrices(matrices, num_classes)

    def _read(self, *, needs_pixels: bool) -> Iterator[tuple[Photo, ImageArray]]:
        for photo in self._dataset.photos:
            if needs_pixels:
                yield photo, read_photo_as_labelled(self._dataset, photo)
            else:
                yield photo, np.zeros((*photo.size_hw, 3), np.uint8)


class _Recalled(AnyPredictor):
    """Models whose answers are recalled; which photo is meant is told beforehand."""

    photo: Photo

    def __init__(self, info: BundleInfo, candidate: Candidate, looks: _Looks) -> None:
        super().__init__(info, candidate.settings)
        self._candidate = candidate
        self._looks = looks
        self._views = list_views(candidate.settings)

    def look(self, image: ImageArray) -> ClassPlanes:
        """Return what was said of ``photo``; of the image only its size is used."""
        weights = self._candidate.weights
        numbers = [number for number, weight in enumerate(weights) if weight]
        planes = [
            FramePlanes(
                self._looks.recall(number, self.photo, self._views),
                (image.shape[0], image.shape[1]),
            )
            for number in numbers
        ]
        if len(weights) == 1:
            return planes[0]
        chosen = [weights[number] for number in numbers]
        return combine_planes(
            planes, chosen, self._candidate.combine, Decider.plain(len(self.table))
        )
