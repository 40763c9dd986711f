"""Training by folds: every photo is validated on once, by a model that never saw its labels.

A fold is done when its confusion matrices are stored. Until then it is a run like any other and is
resumed as one, so that a process that dies costs no more than in a single run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.errors import AnnotationError, RunError
from bunri.core.files import lock_folder, replace_atomically, replace_folder, write_json, write_text
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.core.progress import Progress, show_nothing
from bunri.labels.document import read_document, select_photos, write_document
from bunri.labels.records import LabelledSet
from bunri.model.bundle import read_bundle
from bunri.scores.confusion import Matrices
from bunri.scores.intervals import ScoreIntervals, bootstrap_scores
from bunri.scores.metrics import ScoreSheet, compute_scores
from bunri.split.split import deal_into_folds
from bunri.training.config import Config, dump_config
from bunri.training.listener import TrainingListener
from bunri.training.plan import (
    MAX_PLAN_BYTES,
    NEW_RUN_HINT,
    DataSource,
    RunFolder,
    RunPlan,
    SourceRecord,
    SourcesRecord,
    read_labelled,
    refuse_used,
    restore_plans,
)
from bunri.training.runs import resume_training, start_training
from bunri.training.termination import Termination

ScoreRun = Callable[[RunFolder, tuple[DataSource, ...]], Matrices]
"""Function that returns the confusion matrices, int64 (N, C, C), of a run's model on all photos of
some files."""


class FoldsRecord(JsonRecord):
    """Content of ``plan.json``: the files of each fold, and the fold of each photo, from 1."""

    data: tuple[SourceRecord, ...]
    folds: tuple[tuple[int, ...], ...]
    runs: tuple[SourcesRecord, ...]


class FoldsFolder:
    """Paths of everything in a folder of folds; folds count from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.documents = path / "folds"  # written once: annotations of each fold, settings
        self.config = self.documents / "config.yaml"
        self.plan = self.documents / "plan.json"
        self.out_of_fold = path / "out_of_fold.json"  # score of all folds together

    def get_run(self, number: int) -> RunFolder:
        """Return the run of a fold."""
        return RunFolder(self.path / f"fold_{number}")

    def get_matrices(self, number: int) -> Path:
        """Return the file of a fold's confusion matrices, int64 (N, C, C) as ``.npy``."""
        return self.documents / f"fold_{number}" / "matrices.npy"


@dataclass(frozen=True, slots=True)
class FoldsRequest:
    """Request to train by folds."""

    config: Config
    data: tuple[DataSource, ...]  # whose photos are distributed over the folds
    also_train: tuple[DataSource, ...]  # that every fold trains on, and none validates on
    num_folds: int  # at least 2


@dataclass(frozen=True, slots=True)
class FoldsPlan:
    """Run of each fold; the fold of each photo, from 0, by distributed file."""

    runs: tuple[RunPlan, ...]
    fold_of: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, folder: FoldsFolder) -> Self:
        """Read the plan that :func:`start_folds` wrote."""
        record = read_json_record(
            folder.plan, FoldsRecord, max_bytes=MAX_PLAN_BYTES, error=RunError, hint=NEW_RUN_HINT
        )
        fold_of = tuple(tuple(number - 1 for number in row) for row in record.folds)
        return cls(restore_plans(folder.config, record.runs), fold_of)


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Scores of all folds, each photo predicted by the model that never saw its labels."""

    table: ClassTable
    scores: ScoreSheet  # over all photos
    intervals: ScoreIntervals  # of scores, over photos
    folds: tuple[ScoreSheet, ...]  # of each fold alone


def start_folds(
    request: FoldsRequest, folder: FoldsFolder, progress: Progress = show_nothing
) -> None:
    """Distribute the photos and write each fold's files; :func:`run_folds` trains.

    Raises:
        BunriError: Data, photos or the folder cannot be used; nothing is written then.
    """
    refuse_used(folder.path, "folds")
    config, num_sets = request.config, len(request.data)
    sets = read_labelled((*request.data, *request.also_train))[:num_sets]
    pseudo = [str(dataset.source) for dataset in sets if dataset.is_pseudo]
    if pseudo:
        raise AnnotationError(
            "Photos with pseudo-labels would be validated on:",
            problems=pseudo,
            hint="Give such a file by --also-train, not by --data: every fold learns from it.",
        )
    fold_of = deal_into_folds(
        sets, request.num_folds, config.data.overlap_rule, config.seed, progress
    )
    with lock_folder(folder.path):
        # Reading photos takes long: another run may have come first.
        refuse_used(folder.path, "folds")
        with replace_folder(folder.documents) as temporary:
            record = FoldsRecord(
                data=tuple(map(SourceRecord.describe, request.data)),
                folds=tuple(tuple(fold + 1 for fold in row) for row in fold_of),
                runs=tuple(
                    _write_fold(request, folder, temporary, number, sets, fold_of)
                    for number in range(1, request.num_folds + 1)
                ),
            )
            write_text(temporary / folder.config.name, dump_config(config))
            content = record.model_dump(mode="json", exclude_defaults=True)
            write_json(temporary / folder.plan.name, content)


def _write_fold(
    request: FoldsRequest,
    folder: FoldsFolder,
    temporary: Path,
    number: int,
    sets: Sequence[LabelledSet],
    fold_of: Sequence[Sequence[int]],
) -> SourcesRecord:
    """Write one fold's files below ``temporary``; return their record."""
    records: dict[str, list[SourceRecord]] = {"train": [], "val": []}
    rows = zip(request.data, sets, fold_of, strict=True)
    for place, (source, dataset, folds) in enumerate(rows, start=1):
        document = read_document(source.annotations)
        for part, listed in records.items():
            ids = [
                photo.id
                for photo, fold in zip(dataset.photos, folds, strict=True)
                if (fold == number - 1) == (part == "val")
            ]
            if not ids:  # in a small file among several
                continue
            name = f"{part}.json" if len(sets) == 1 else f"{part}_{place}.json"
            relative = Path(f"fold_{number}") / name
            write_document(temporary / relative, select_photos(document, ids))
            final = replace(source, annotations=(folder.documents / relative).absolute())
            listed.append(SourceRecord.describe(final, temporary / relative))
    also = map(SourceRecord.describe, request.also_train)
    return SourcesRecord(train=(*records["train"], *also), val=tuple(records["val"]))


def run_folds(
    folder: FoldsFolder,
    score_run: ScoreRun,
    listener: TrainingListener | None = None,
    stop: Termination | None = None,
) -> OutOfFold:
    """Train and score every fold that is not done yet, and write the score of all together.

    Raises:
        BunriError: Same as :func:`bunri.training.runs.start_training`.
    """
    plan = FoldsPlan.read(folder)
    fold_of = np.array([fold for row in plan.fold_of for fold in row], np.int64)
    listener = listener or TrainingListener()
    with lock_folder(folder.path):
        parts = []
        for number, run in enumerate(plan.runs, start=1):
            run_folder = folder.get_run(number)
            path, count = folder.get_matrices(number), int((fold_of == number - 1).sum())
            matrices = _read_matrices(path, count)
            if matrices is None:
                listener.start_fold(number)
                if run_folder.config.is_file():
                    resume_training(run_folder, listener, stop=stop)
                else:
                    # Left by a process that died while it wrote the plan; config comes last.
                    run_folder.data.unlink(missing_ok=True)
                    start_training(run, run_folder, listener, stop=stop)
                matrices = score_run(run_folder, run.val)
                with replace_atomically(path) as temporary:
                    np.save(temporary, matrices, allow_pickle=False)
            parts.append(matrices)
        table = read_bundle(folder.get_run(1).bundle).table
        whole = np.zeros((len(fold_of), len(table), len(table)), np.int64)
        for number, matrices in enumerate(parts):
            whole[fold_of == number] = matrices
        batch_size = plan.runs[0].config.train.batch_size
        result = OutOfFold(
            table=table,
            scores=compute_scores(whole, batch_size),
            intervals=bootstrap_scores(whole),
            folds=tuple(compute_scores(matrices, batch_size) for matrices in parts),
        )
        names = table.names
        rows = [
            {"run": folder.get_run(number).path.name, **scores.to_json(names)}
            for number, scores in enumerate(result.folds, start=1)
        ]
        intervals = result.intervals.to_json(names)
        content = {**result.scores.to_json(names), "intervals": intervals, "folds": rows}
        write_json(folder.out_of_fold, content)
    return result


def _read_matrices(path: Path, count: int) -> Matrices | None:
    """Return the matrices of a fold that is done; None for one that is not, or is damaged."""
    try:
        matrices: Matrices = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_sound = matrices.dtype == np.int64 and matrices.ndim == 3 and len(matrices) == count
    return matrices if is_sound else None
