"""The whole job in one call, on rendered scenes: data, training, scores, submission, page.

Every step is the one that the command of its name takes.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.errors import RunError
from bunri.core.progress import Progress
from bunri.evaluation import count_predictions
from bunri.images.drawing import Comparison, draw_comparisons
from bunri.labels.coco import read_coco, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.predict.predictor import Predictor, load_predictor
from bunri.predict.submissions import submit
from bunri.report.page import embed_picture, write_page
from bunri.scenes import SampleDataset, write_sample_dataset
from bunri.scores.metrics import compute_scores
from bunri.submission.check import check_submission
from bunri.submission.score import score_submission
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
_RULE: OverlapRule = "largest-first"


@dataclass(frozen=True, slots=True)
class DemoDisplay:
    """Functions that show the demo's progress."""

    progress: Progress
    open_training: Callable[[], AbstractContextManager[TrainingListener]]
    end_stage: Callable[[str], None]  # prints the line of a stage that is done


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Files that the demo wrote, and the scores of the test scenes as plain values."""

    page: Path
    submission: Path
    run: Path
    scores: dict[str, Any]


def run_demo(folder: Path, display: DemoDisplay, *, num_scenes: int = NUM_SCENES) -> DemoResult:
    """Render, check, train, evaluate, submit, score, and write one page.

    Raises:
        RunError: ``folder`` is not empty.
        OutputError: The disk is full, or the folder cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint=f"Remove it, or choose another folder: bunri demo --out {folder}-2",
        )
    data = write_sample_dataset(folder / "data", num_scenes, progress=display.progress)
    display.end_stage(f"rendered   {num_scenes} scenes in the competition's layout: {data.root}")
    sets = _check(data, display)
    run = _train(folder, data, display)
    predictor = load_predictor(str(run.path))
    counts = count_predictions(predictor, sets["val"], _RULE, progress=display.progress)
    val = compute_scores(counts.sizes["photo"].matrices).to_json(predictor.table.names)
    display.end_stage(f"evaluated  {_format_mious(val)} on {val['num_photos']} validation scenes")
    submission, test = _submit(folder, predictor, sets["test"], data, display)
    page = folder / "index.html"
    history = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    _write_page(page, predictor, sets["val"], num_scenes, history, test)
    display.end_stage(f"page       {page}")
    return DemoResult(page, submission, run.path, test)


def _check(data: SampleDataset, display: DemoDisplay) -> dict[str, LabelledSet]:
    """Read every file as a user's would be, decode every photo, draw every mask."""
    files = {"train": data.train_json, "val": data.val_json, "test": data.test_json}
    sets = {name: require_photos(read_coco(path)) for name, path in files.items()}
    total = sum(len(d.photos) for d in sets.values())
    present: set[int] = set()
    with display.progress("Checking photos", total) as advance:
        for dataset in sets.values():
            for photo in dataset.photos:
                read_photo_as_labelled(dataset, photo)
                present |= set(np.unique(draw_mask(dataset, photo, _RULE)).tolist())
                advance()
    num_classes = len(sets["train"].table)
    display.end_stage(f"checked    {total} photos, {len(present)} of {num_classes} classes present")
    return sets


def _train(folder: Path, data: SampleDataset, display: DemoDisplay) -> RunFolder:
    started = time.monotonic()
    config = load_config(read_recipe(DEFAULT_RECIPE), OVERRIDES, source=DEFAULT_RECIPE)
    train, val = (
        DataSource.pair([path], [], "--images") for path in (data.train_json, data.val_json)
    )
    run = RunFolder(folder / "run")
    with display.open_training() as training:
        result = start_training(RunPlan(config, train, val), run, training)
    display.end_stage(
        f"trained    {DEFAULT_RECIPE}, {result.num_epochs} epochs "
        f"in {time.monotonic() - started:.0f} s; "
        f"best is epoch {result.best['epoch']}"
    )
    return run


def _submit(
    folder: Path, predictor: Predictor, test: LabelledSet, data: SampleDataset, display: DemoDisplay
) -> tuple[Path, dict[str, Any]]:
    """Write, check and score the submission; the labels of the test scenes are known."""
    path = folder / "submission.csv"
    submit(predictor, test, path, progress=display.progress)
    check = check_submission(path, [photo.file_name for photo in test.photos])
    if not check.ok:
        raise RunError(
            f"{path} is not valid; please report this.", problems=[str(f) for f in check.faults]
        )
    display.end_stage(f"submitted  {path}: {check.num_rows} rows, valid")
    sheet = score_submission(path, data.test_labelled_json).sheet
    scores = sheet.to_json(predictor.table.names)
    display.end_stage(f"scored     {_format_mious(scores)} on {scores['num_photos']} test scenes")
    return path, scores


def _format_mious(scores: dict[str, Any]) -> str:
    miou = scores["miou"]
    return (
        f"mIoU global {miou['global']:.3f}, per-image {miou['per_image']:.3f}, "
        f"per-batch({miou['batch_size']}) {miou['per_batch']:.3f}"
    )


def list_next_commands(run: Path) -> list[str]:
    """Return commands to try after the demo."""
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
        truth = draw_mask(val, photo, _RULE)
        comparisons.append(Comparison(image, truth, predictor.predict_mask(image)))
    rows = [
        {**row, "color": "#{:02x}{:02x}{:02x}".format(*info.color_rgb), "name_ko": info.name_ko}
        for row, info in zip(test["classes"], predictor.table.classes, strict=True)
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
