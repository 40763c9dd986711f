"""Training by folds: every photo is validated on once, by a model that never saw its labels.

Owns the layout of a folder of folds and the order of events. Which photo goes into which fold is
``audit.split``'s, a single run is ``loop``'s, and how a model is scored is told by the caller.

A fold is done when its matrices are in place. Until then it is a run like any other and goes on
as one; so a process that dies costs no more than it does in a single run.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.errors import AnnotationError, RunError
from bunri.core.files import lock_folder, replace_atomically, replace_folder, write_json, write_text
from bunri.core.progress import Progress
from bunri.labels.coco import require_labels, require_photos
from bunri.labels.document import read_document, select_photos, write_document
from bunri.labels.records import LabelledSet
from bunri.labels.sources import read_together
from bunri.model.bundle import read_bundle
from bunri.scores.confusion import Matrices
from bunri.scores.intervals import ScoreIntervals, bootstrap_scores
from bunri.scores.metrics import ScoreSheet, compute_scores
from bunri.split.split import deal_into_folds
from bunri.training.config import Config, dump_config, load_config
from bunri.training.listener import TrainingListener
from bunri.training.plan import (
    DataSource,
    RunFolder,
    RunPlan,
    describe_source,
    find_change,
    read_source,
)
from bunri.training.runs import refuse_used, resume_training, start_training

_DOCUMENTS_NAME, _PLAN_NAME, _CONFIG_NAME = "folds", "plan.json", "config.yaml"

OpenListener = Callable[[int], AbstractContextManager[TrainingListener]]
"""Opens whoever is told of the training of a fold, given its number from 1."""
ScoreRun = Callable[[RunFolder, tuple[DataSource, ...]], Matrices]
"""Returns the confusion matrices, int64 (N, C, C), of a run's model on all photos of some files."""


@dataclass(frozen=True, slots=True)
class FoldsFolder:
    """Names of everything in a folder of folds; folds count from 1."""

    path: Path

    @property
    def documents(self) -> Path:
        """What was decided once: who is in which fold, and the settings."""
        return self.path / _DOCUMENTS_NAME

    @property
    def plan(self) -> Path:
        """Which files each fold trains and validates on."""
        return self.documents / _PLAN_NAME

    @property
    def out_of_fold(self) -> Path:
        """The score of all folds together."""
        return self.path / "out_of_fold.json"

    def get_run(self, number: int) -> RunFolder:
        """Return the run of a fold."""
        return RunFolder(self.path / f"fold_{number}")

    def get_matrices(self, number: int) -> Path:
        """Return where a fold's confusion matrices are kept, int64 (N, C, C) as ``.npy``."""
        return self.documents / f"fold_{number}" / "matrices.npy"


@dataclass(frozen=True, slots=True)
class FoldsRequest:
    """What to train by folds.

    Attributes:
        config: Settings of every fold.
        data: Files whose photos are dealt out.
        also_train: Files that every fold trains on, and none validates on.
        num_folds: At least 2.
    """

    config: Config
    data: tuple[DataSource, ...]
    also_train: tuple[DataSource, ...]
    num_folds: int

    def read_sets(self) -> list[LabelledSet]:
        """Return the labelled sets of ``data``, all files checked.

        Raises:
            AnnotationError: A file cannot be used, photos are missing, or pseudo-labels would be
                validated on.
        """
        sources = (*self.data, *self.also_train)
        sets = read_together((source.annotations, source.image_root) for source in sources)
        for dataset in sets:
            require_photos(require_labels(dataset))
        own = sets[: len(self.data)]
        pseudo = [str(dataset.source) for dataset in own if dataset.is_pseudo]
        if pseudo:
            raise AnnotationError(
                "Photos with pseudo-labels would be validated on:",
                problems=pseudo,
                hint="Give such a file by --also-train, not by --data: every fold learns from it.",
            )
        return own


@dataclass(frozen=True, slots=True)
class FoldsPlan:
    """What was decided: the settings, each fold's files, and each photo's fold.

    Attributes:
        config: Settings of every fold.
        runs: (trained on, validated on) of each fold.
        fold_of: Of each file that was dealt out, the fold of each photo, from 0.
    """

    config: Config
    runs: tuple[tuple[tuple[DataSource, ...], tuple[DataSource, ...]], ...]
    fold_of: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, folder: FoldsFolder) -> Self:
        """Read what :func:`start_folds` decided.

        Raises:
            RunError: It is damaged, or a file has changed since.
            ConfigError: The settings were edited into something invalid.
        """
        try:
            path = folder.documents / _CONFIG_NAME
            config = load_config(path.read_text("utf-8"), source=str(path))
            content = json.loads(folder.plan.read_text("utf-8"))
            rows = [row for run in content["runs"] for row in (*run["train"], *run["val"])]
            problems = [problem for row in rows if (problem := find_change(row))]
            runs = tuple(
                (tuple(map(read_source, run["train"])), tuple(map(read_source, run["val"])))
                for run in content["runs"]
            )
            fold_of = tuple(tuple(int(number) - 1 for number in row) for row in content["folds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{folder.plan} is not as bunri wrote it: {error!r}.",
                hint="Start again in another folder.",
            ) from error
        if problems:
            unique = list(dict.fromkeys(problems))
            raise RunError("The data changed since the folds were made:", problems=unique)
        return cls(config, runs, fold_of)


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What all folds came to, each photo scored by the model that never saw its labels.

    Attributes:
        table: The classes.
        scores: Over all photos, in the order of the files.
        intervals: Of each score of ``scores``, over photos.
        folds: The scores of each fold alone.
    """

    table: ClassTable
    scores: ScoreSheet
    intervals: ScoreIntervals
    folds: tuple[ScoreSheet, ...]


def start_folds(request: FoldsRequest, folder: FoldsFolder, track: Progress) -> None:
    """Deal out the photos and write each fold's files; :func:`run_folds` trains.

    Raises:
        BunriError: Whatever is wrong with data, photos or the folder; nothing is written then.
    """
    refuse_used(folder.path, "folds")
    sets = request.read_sets()
    config = request.config
    fold_of = deal_into_folds(sets, request.num_folds, config.data.overlap_rule, config.seed, track)
    with lock_folder(folder.path):
        # Looking at photos takes long: another run may have come first.
        refuse_used(folder.path, "folds")
        with replace_folder(folder.documents) as temporary:
            runs = [
                _write_fold(request, folder, temporary, number, sets, fold_of)
                for number in range(1, request.num_folds + 1)
            ]
            write_text(temporary / _CONFIG_NAME, dump_config(config))
            content = {
                "data": [describe_source(source) for source in request.data],
                "folds": [[fold + 1 for fold in row] for row in fold_of],
                "runs": runs,
            }
            write_json(temporary / _PLAN_NAME, content)


def _write_fold(
    request: FoldsRequest,
    folder: FoldsFolder,
    temporary: Path,
    number: int,
    sets: Sequence[LabelledSet],
    fold_of: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Write one fold's files below ``temporary``; return what the plan says of them."""
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for place, (source, dataset, folds) in enumerate(
        zip(request.data, sets, fold_of, strict=True), start=1
    ):
        document = read_document(source.annotations)
        for part, listed in rows.items():
            ids = [
                photo.id
                for photo, fold in zip(dataset.photos, folds, strict=True)
                if (fold == number - 1) == (part == "val")
            ]
            if not ids:  # of a small file, among several
                continue
            name = f"{part}.json" if len(sets) == 1 else f"{part}_{place}.json"
            relative = Path(f"fold_{number}") / name
            write_document(temporary / relative, select_photos(document, ids))
            final = replace(source, annotations=(folder.documents / relative).absolute())
            listed.append(describe_source(final, temporary / relative))
    rows["train"] += [describe_source(source) for source in request.also_train]
    return dict(rows)


def run_folds(folder: FoldsFolder, open_listener: OpenListener, score_run: ScoreRun) -> OutOfFold:
    """Train and score every fold that is not done yet, and write the score of all together.

    Args:
        folder: Where :func:`start_folds` was.
        open_listener: Who is told.
        score_run: How a fold's model is scored on its own photos.

    Raises:
        BunriError: As :func:`bunri.training.runs.start_training`.
    """
    plan = FoldsPlan.read(folder)
    fold_of = np.array([fold for row in plan.fold_of for fold in row], np.int64)
    with lock_folder(folder.path):
        parts = []
        for number, (train, val) in enumerate(plan.runs, start=1):
            path, count = folder.get_matrices(number), int((fold_of == number - 1).sum())
            matrices = _read_matrices(path, count)
            if matrices is None:
                with open_listener(number) as listener:
                    _train_fold(folder.get_run(number), RunPlan(plan.config, train, val), listener)
                matrices = score_run(folder.get_run(number), val)
                with replace_atomically(path) as temporary:
                    np.save(temporary, matrices, allow_pickle=False)
            parts.append(matrices)
        table = read_bundle(folder.get_run(1).bundle).table
        whole = np.zeros((len(fold_of), len(table), len(table)), np.int64)
        for number, matrices in enumerate(parts):
            whole[fold_of == number] = matrices
        batch_size = plan.config.train.batch_size
        result = OutOfFold(
            table=table,
            scores=compute_scores(whole, batch_size),
            intervals=bootstrap_scores(whole),
            folds=tuple(compute_scores(matrices, batch_size) for matrices in parts),
        )
        _write_result(folder, result)
    return result


def _train_fold(run: RunFolder, plan: RunPlan, listener: TrainingListener) -> None:
    """Train a fold from its beginning, or go on with it."""
    if run.config.is_file():
        resume_training(run, listener)
    else:
        # Of a run whose plan was being written when the process died; config comes last.
        run.data.unlink(missing_ok=True)
        start_training(plan, run, listener)


def _read_matrices(path: Path, count: int) -> Matrices | None:
    """Return the matrices of a fold that is done; None for one that is not, or is damaged."""
    try:
        matrices: Matrices = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_sound = matrices.dtype == np.int64 and matrices.ndim == 3 and len(matrices) == count
    return matrices if is_sound else None


def _write_result(folder: FoldsFolder, result: OutOfFold) -> None:
    names = result.table.names
    content = {
        **result.scores.to_json(names),
        "intervals": result.intervals.to_json(names),
        "folds": [
            {"run": folder.get_run(number).path.name, **scores.to_json(names)}
            for number, scores in enumerate(result.folds, start=1)
        ],
    }
    write_json(folder.out_of_fold, content)
