"""The whole job in one go, on rendered scenes: data, training, scores, submission, page.

Owns the demo's budget and its story. Every step is the very one that the commands take.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bunri.core.errors import RunError
from bunri.evaluation import evaluate_model, predict_submission, score_submission
from bunri.images.drawing import Comparison, draw_comparisons
from bunri.labels.coco import read_coco, require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.predict.predictor import Predictor, load_predictor
from bunri.report.page import embed_picture, write_page
from bunri.scenes import SampleDataset, write_sample_dataset
from bunri.scores.metrics import compute_scores
from bunri.submission import check_submission, write_submission
from bunri.training.config import DEFAULT_RECIPE, load_config, read_recipe
from bunri.training.listener import TrainingListener
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.runs import start_training

NUM_SCENES = 120
NUM_PICTURES = 6
# The default recipe, cut down to about two minutes on two cores.
OVERRIDES = (
    "input.size_px=256",
    "augment.crop_size_px=192",
    "train.epochs=8",
    "train.samples_per_epoch=288",
    "train.num_sample_pictures=0",
)


class DemoListener(Protocol):
    """Who is told how the demo goes."""

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Open a progress bar; what it gives is called after each item."""

    def open_training(self) -> AbstractContextManager[TrainingListener]:
        """Open what is told of the training."""

    def end_stage(self, text: str) -> None:
        """One stage is done; ``text`` is its line."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Where everything is, and the figures of the test scenes.

    Attributes:
        page: The HTML page.
        submission: The submission.csv.
        run: The run folder.
        scores: Scores of the test scenes as plain values.
    """

    page: Path
    submission: Path
    run: Path
    scores: dict[str, Any]


def run_demo(folder: Path, listener: DemoListener, *, num_scenes: int = NUM_SCENES) -> DemoResult:
    """Render, check, train, evaluate, submit, score, and write one page.

    Args:
        folder: New or empty; everything goes below it.
        listener: Who is told.
        num_scenes: How many scenes to render.

    Raises:
        RunError: ``folder`` is not empty.
        OutputError: The disk is full, or the folder cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint=f"Remove it, or choose another folder: bunri demo --out {folder}-2",
        )
    data = _render(folder, listener, num_scenes)
    sets = _check(data, listener)
    run = _train(folder, data, listener)
    predictor = load_predictor(str(run.path))
    with listener.track("Evaluating", len(sets["val"].photos)) as advance:
        evaluation = evaluate_model(predictor, sets["val"], "largest-first", advance)
    val = compute_scores(evaluation.sizes["photo"].matrices).to_json(predictor.table.names)
    listener.end_stage(f"evaluated  {_tell_mious(val)} on {val['num_photos']} validation scenes")
    submission, test = _submit(folder, predictor, sets, data, listener)
    page = folder / "index.html"
    history = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    _write_page(page, predictor, sets["val"], num_scenes, history, test)
    listener.end_stage(f"page       {page}")
    return DemoResult(page, submission, run.path, test)


def _render(folder: Path, listener: DemoListener, num_scenes: int) -> SampleDataset:
    with listener.track("Rendering scenes", num_scenes) as advance:
        data = write_sample_dataset(
            folder / "data", num_scenes, progress=lambda _done, _total: advance()
        )
    listener.end_stage(f"rendered   {num_scenes} scenes in the competition's layout: {data.root}")
    return data


def _check(data: SampleDataset, listener: DemoListener) -> dict[str, LabelledSet]:
    """Read every file as a user's would be, decode every photo, draw every mask."""
    files = {"train": data.train_json, "val": data.val_json, "test": data.test_json}
    sets = {name: require_photos(read_coco(path)) for name, path in files.items()}
    total = sum(len(d.photos) for d in sets.values())
    present: set[int] = set()
    with listener.track("Checking photos", total) as advance:
        for dataset in sets.values():
            for photo in dataset.photos:
                read_photo_as_labelled(dataset, photo)
                mask = draw_mask(dataset, photo, "largest-first")
                present |= set(np.unique(mask).tolist())
                advance()
    names = sets["train"].table.names
    listener.end_stage(f"checked    {total} photos, {len(present)} of {len(names)} classes present")
    return sets


def _train(folder: Path, data: SampleDataset, listener: DemoListener) -> RunFolder:
    started = time.monotonic()
    config = load_config(read_recipe(DEFAULT_RECIPE), OVERRIDES, source=DEFAULT_RECIPE)
    train, val = (
        DataSource.pair([path], [], "--images") for path in (data.train_json, data.val_json)
    )
    run = RunFolder(folder / "run")
    with listener.open_training() as training:
        result = start_training(RunPlan(config, train, val), run, training)
    listener.end_stage(
        f"trained    {DEFAULT_RECIPE}, {result.num_epochs} epochs "
        f"in {time.monotonic() - started:.0f} s; "
        f"best is epoch {result.best['epoch']}"
    )
    return run


def _submit(
    folder: Path,
    predictor: Predictor,
    sets: dict[str, LabelledSet],
    data: SampleDataset,
    listener: DemoListener,
) -> tuple[Path, dict[str, Any]]:
    """Write, check and score the submission; the truth of the test scenes is known."""
    path, photos = folder / "submission.csv", sets["test"].photos
    with listener.track("Predicting", len(photos)) as advance:
        write_submission(path, predict_submission(predictor, sets["test"], advance))
    check = check_submission(path, [photo.file_name for photo in photos])
    if not check.ok:
        raise RunError(
            f"{path} is not valid; please report this.", problems=[str(f) for f in check.faults]
        )
    listener.end_stage(f"submitted  {path}: {check.num_rows} rows, valid")
    labels = require_labels(read_coco(data.test_labelled_json))
    matrices = score_submission(path, labels, "largest-first", lambda: None)
    scores = compute_scores(matrices).to_json(predictor.table.names)
    listener.end_stage(f"scored     {_tell_mious(scores)} on {scores['num_photos']} test scenes")
    return path, scores


def _tell_mious(scores: dict[str, Any]) -> str:
    miou = scores["miou"]
    return (
        f"mIoU global {miou['global']:.3f}, per-image {miou['per_image']:.3f}, "
        f"per-batch({miou['batch_size']}) {miou['per_batch']:.3f}"
    )


def list_next_commands(run: Path) -> list[str]:
    """Return what a user may want to type after the demo."""
    return [
        f"bunri predict {run} photo.jpg --out out",
        "bunri train --data train.json --val val.json --out runs/first",
        "bunri evaluate runs/first val.json",
        "bunri submit runs/first test.json --out submission.csv",
        "bunri check-submission submission.csv test.json",
    ]


def _write_page(
    path: Path,
    predictor: Predictor,
    val: LabelledSet,
    num_scenes: int,
    history: list[dict[str, Any]],
    test: dict[str, Any],
) -> None:
    comparisons = []
    for photo in val.photos[:NUM_PICTURES]:
        image = read_photo_as_labelled(val, photo)
        truth = draw_mask(val, photo, "largest-first")
        comparisons.append(Comparison(image, truth, predictor.predict_mask(image)))
    colors = ["#{:02x}{:02x}{:02x}".format(*info.color_rgb) for info in predictor.table.classes]
    names_ko = [info.name_ko for info in predictor.table.classes]
    rows = [
        {**row, "color": color, "name_ko": name_ko}
        for row, color, name_ko in zip(test["classes"], colors, names_ko, strict=True)
    ]
    values = {
        "num_scenes": num_scenes,
        "num_rows": test["num_photos"],
        "test": test,
        "rows": rows,
        "history": history,
        "predictions": embed_picture(draw_comparisons(comparisons, predictor.table)),
        "commands": list_next_commands(path.parent / "run"),
    }
    write_page(path, "demo.html", values)
