"""The public Python API: the names that ``import bunri`` offers.

Each function calls what the command of the same name calls, and raises the same errors.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bunri.core.contracts import MaskArray, check_mask
from bunri.core.errors import BunriError, ModelError
from bunri.core.progress import Progress, show_nothing
from bunri.core.settings import write_overrides
from bunri.evaluation import Evaluation
from bunri.evaluation import evaluate as _evaluate
from bunri.labels.coco import read_coco as _read_coco
from bunri.labels.overlap import draw_mask as _draw_mask
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.predict.model import Model, Prediction, load_model
from bunri.scores.comparison import Comparison, compare_results
from bunri.scores.result_files import find_result, read_result
from bunri.submission.check import SubmissionCheck
from bunri.submission.check import check_submission as _check_submission
from bunri.submission.format import shrink_mask
from bunri.submission.stream import write_submission as _write_submission
from bunri.training.config import DEFAULT_RECIPE, Config, dump_config, load_config, read_recipe

if TYPE_CHECKING:
    from bunri.exporting.parity import ParityReport

__all__ = [
    "BunriError",
    "Model",
    "Prediction",
    "check_submission",
    "compare",
    "draw_mask",
    "evaluate",
    "export",
    "load_model",
    "read_coco",
    "read_config",
    "train",
    "write_submission",
]

PathLike = str | Path


def read_coco(path: PathLike, images: PathLike | None = None) -> LabelledSet:
    """Read a COCO file: photos, objects and classes; pixels are read later.

    Args:
        path: The JSON file.
        images: Folder that ``file_name`` is relative to; the folder of the JSON by default.

    Returns:
        A data set with ``photos`` (id, file name, height, width), ``table`` (the classes) and
        ``annotations`` by photo id.

    Raises:
        PathError: The file or the folder does not exist.
        AnnotationError: The file is not COCO or is inconsistent; all faults at once.

    Example:
        >>> dataset = bunri.read_coco("data/val.json")
        >>> dataset.table.names[:3]
        ('Background', 'UNKNOWN', 'General trash')
    """
    return _read_coco(Path(path), image_root=None if images is None else Path(images))


def draw_mask(
    dataset: LabelledSet, photo: Photo, overlap_rule: OverlapRule = "largest-first"
) -> MaskArray:
    """Draw the true mask of a photo from its annotations.

    Args:
        dataset: Data set from :func:`read_coco`.
        photo: One of ``dataset.photos``.
        overlap_rule: Rule for pixels of several objects: ``largest-first``, ``highest-class`` or
            ``longest-polygon-first``.

    Returns:
        ``uint8 (H, W)``, indices into ``dataset.table``, 255 where pixels count for nothing;
        polygons are rasterised bit for bit as by pycocotools.

    Raises:
        AnnotationError: An outline is too long to be drawn.

    Example:
        >>> dataset = bunri.read_coco("data/val.json")
        >>> bunri.draw_mask(dataset, dataset.photos[0]).dtype
        dtype('uint8')
    """
    return _draw_mask(dataset, photo, overlap_rule)


def evaluate(
    model: Model | PathLike | Sequence[PathLike],
    data: PathLike | LabelledSet,
    *,
    images: PathLike | None = None,
    overlap_rule: OverlapRule = "largest-first",
    batch_size: int = 16,
    corruptions: int | None = None,
    allow_pseudo: bool = False,
    allow_trained: bool = False,
    progress: Progress = show_nothing,
) -> Evaluation:
    """Score a model on labelled photos, with 95 % intervals over photos.

    Args:
        model: Model from :func:`load_model`, or what that takes.
        data: COCO file with labels, or a data set from :func:`read_coco`.
        images: Folder of the photos; the folder of the JSON by default.
        overlap_rule: Rule by which true masks are drawn, see :func:`draw_mask`.
        batch_size: Photos per batch of the per-batch mIoU.
        corruptions: Severity, 1 to 5, of 15 corruptions to score under as well; None for none.
        allow_pseudo: Accept pseudo-labels as truth.
        allow_trained: Accept photos that the model was trained on.
        progress: Display of progress, see ``bunri.core.progress``.

    Returns:
        Scores: ``scores["photo"]`` at the photos' own size, ``scores["submission"]`` at 256 x 256,
        each with ``sheet`` and ``intervals``; ``to_json()`` and ``save(folder)``.

    Raises:
        InputError: The model was trained on some of the photos, or a value is out of range.
        AnnotationError: The file cannot be used, or holds pseudo-labels.
        ModelError: There is no such model, or it is damaged.

    Example:
        >>> evaluation = bunri.evaluate("bunri-small", "data/val.json")
        >>> 0 <= evaluation.scores["photo"].sheet.global_miou <= 1
        True
    """
    return _evaluate(
        model.predictor if isinstance(model, Model) else model,
        data,
        images=None if images is None else Path(images),
        overlap_rule=overlap_rule,
        batch_size=batch_size,
        severity=corruptions,
        allow_pseudo=allow_pseudo,
        allow_trained=allow_trained,
        progress=progress,
    )


def compare(*evaluations: Evaluation | PathLike, batch_size: int = 16) -> Comparison:
    """Compare evaluations on the photos that they share, photo by photo.

    Args:
        *evaluations: At least two results of :func:`evaluate`, or folders with saved ones (a run
            folder counts); the first is the baseline.
        batch_size: Photos per batch of the per-batch mIoU.

    Returns:
        For each of ``runs`` its scores and the paired differences to the first, with intervals
        and verdicts.

    Raises:
        InputError: Fewer than two, other classes or labels, or no photo in common.
        PathError: A folder holds no evaluation.

    Example:
        >>> first = bunri.evaluate("bunri-small", "data/val.json")
        >>> second = bunri.evaluate(bunri.load_model(scales=[1.2]), "data/val.json")
        >>> bunri.compare(first, second).runs[1].differences.overall["global_miou"].verdict
        'no evidence'
    """
    results = {}
    for number, one in enumerate(evaluations, start=1):
        if isinstance(one, Evaluation):
            results[f"{number}: {one.result.model}"] = one.result
        else:
            results[str(one)] = read_result(find_result(Path(one)))
    return compare_results(results, batch_size)


def read_config(
    recipe: PathLike = DEFAULT_RECIPE, settings: Mapping[str, Any] | None = None
) -> Config:
    """Return the settings of a training, checked.

    Args:
        recipe: Name of a recipe in the package, or a YAML file.
        settings: Values by ``section.name`` in place of the recipe's.

    Raises:
        ConfigError: There is no such recipe, or settings are unknown or out of range; all faults
            at once.

    Example:
        >>> bunri.read_config("fpn-lite0", {"train.epochs": 3}).train.epochs
        3
    """
    return load_config(
        read_recipe(str(recipe)), write_overrides(settings or {}), source=str(recipe)
    )


def train(
    data: PathLike | Sequence[PathLike],
    val: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    config: Config | PathLike = DEFAULT_RECIPE,
    settings: Mapping[str, Any] | None = None,
    weights: PathLike | None = None,
    images: PathLike | Sequence[PathLike] = (),
    val_images: PathLike | Sequence[PathLike] = (),
    progress: Progress = show_nothing,
) -> Model:
    """Train a model and return the best epoch's. Needs the extra ``[train]``.

    Args:
        data: COCO file, or several, to train on.
        val: COCO file, or several, to select the best epoch on.
        out: Folder of the run, new or empty; a run that was stopped is resumed by the command
            ``bunri train --resume --out OUT``.
        config: Recipe, YAML file, or settings from :func:`read_config`.
        settings: Values by ``section.name`` in place of the recipe's.
        weights: A model to fine-tune: a run or bundle folder. Its network is trained further, on
            the classes of ``data``.
        images: Folder of the photos of each file of ``data``; beside the file by default.
        val_images: Folder of the photos of each file of ``val``; beside the file by default.
        progress: Display of progress, see ``bunri.core.progress``.

    Raises:
        ConfigError: A setting is unknown or out of range; all faults at once.
        AnnotationError: A file cannot be used, or photos are in ``data`` and ``val``.
        RunError: The folder is in use or not empty.
        MissingExtraError: torch is not installed.

    Example:
        >>> quick = {"train.epochs": 1, "train.samples_per_epoch": 8, "train.batch_size": 4,
        ...          "input.size_px": 64, "augment.crop_size_px": 64}
        >>> model = bunri.train("data/train.json", "data/val.json", "runs/api", settings=quick)
        >>> model.predict("data/photo.jpg").mask.ndim
        2
    """
    from bunri.training.listener import ProgressListener
    from bunri.training.plan import DataSource, RunFolder, RunPlan
    from bunri.training.runs import start_training

    changed = dict(settings or {}) | ({} if weights is None else {"model.weights": str(weights)})
    if isinstance(config, Config):
        config = load_config(dump_config(config), write_overrides(changed))
    else:
        config = read_config(config, changed)
    plan = RunPlan(
        config,
        DataSource.pair(_list_paths(data), _list_paths(images), "images"),
        DataSource.pair(_list_paths(val), _list_paths(val_images), "val_images"),
    )
    folder = RunFolder(Path(out))
    with ProgressListener(progress) as listener:
        start_training(plan, folder, listener)
    return load_model(folder.path)


def export(
    model: PathLike,
    out: PathLike,
    *,
    calibration: PathLike | LabelledSet | None = None,
    val: PathLike | LabelledSet | None = None,
    images: PathLike | None = None,
    frame_px: int | None = None,
    with_probs: bool = False,
    progress: Progress = show_nothing,
) -> "ParityReport":
    """Write a trained model as one ONNX file, if it agrees with torch. Needs ``[train]``.

    Args:
        model: Run or bundle folder with torch weights.
        out: Folder of the new bundle; must not exist.
        calibration: COCO file with at least 16 photos: the model becomes int8, calibrated on
            them. None for float32.
        val: COCO file with labels to compare and score on.
        images: Folder of the photos of both; the folder of each JSON by default.
        frame_px: Longer side of photos in the network's frame, in pixels; the model's own by
            default.
        with_probs: Whether the graph also gives probabilities.
        progress: Display of progress, see ``bunri.core.progress``.

    Returns:
        For each engine the share of pixels equal to torch's, mIoU and latency.

    Raises:
        ModelError: The file misses its bound (99.9 % of pixels; in int8 0.5 points of mIoU, or
            97 % of pixels without labels) and is not written.
        OutputError: The folder exists, or cannot be written.
        MissingExtraError: torch is not installed.

    Example:
        >>> report = bunri.export("runs/first", "first-onnx")  # doctest: +SKIP
        >>> report.faults  # doctest: +SKIP
        ()
    """
    from bunri.exporting.bundle import export_bundle  # imports torch

    written = export_bundle(
        str(model),
        Path(out),
        calibration=calibration,
        val=val,
        images=None if images is None else Path(images),
        has_probs=with_probs,
        frame_px=frame_px,
        progress=progress,
    )
    if written.report.faults:
        raise ModelError(f"{out} is not written:", problems=written.report.faults)
    return written.report


def write_submission(
    path: PathLike, masks: Iterable[tuple[str, MaskArray]], num_classes: int = 12
) -> int:
    """Write a submission.csv, whole or not at all.

    Args:
        path: The file; compressed if it ends in ``.gz``.
        masks: File name of each photo, as in the JSON and in its order, with its mask,
            ``uint8 (H, W)``; masks of another size than 256 x 256 are reduced to it, as in the
            competition.
        num_classes: Number of classes, background included.

    Returns:
        Number of rows.

    Raises:
        SubmissionError: A mask or a name does not fit, or a name comes twice.
        OutputError: The file cannot be written.

    Example:
        >>> dataset, model = bunri.read_coco("data/test.json"), bunri.load_model()
        >>> masks = ((p.file_name, model.predict(dataset.path_of(p)).mask) for p in dataset.photos)
        >>> bunri.write_submission("submission.csv", masks) == len(dataset.photos)
        True
    """
    rows = ((name, shrink_mask(check_mask(mask, num_classes))) for name, mask in masks)
    return _write_submission(Path(path), rows, num_classes)


def check_submission(
    path: PathLike, data: PathLike | LabelledSet | None = None, num_classes: int = 12
) -> SubmissionCheck:
    """Check a submission.csv.

    Args:
        path: The file, plain or ``.gz``.
        data: COCO file whose photos the rows must be, in its order; None for the format alone.
        num_classes: Number of classes, background included.

    Returns:
        ``ok``, ``num_rows``, ``num_faults`` and the first ten ``faults`` with row and column.

    Raises:
        PathError: A file cannot be opened.

    Example:
        >>> bunri.check_submission("submission.csv", "data/test.json").ok
        True
    """
    dataset = data if isinstance(data, LabelledSet) or data is None else read_coco(data)
    expected = None if dataset is None else [photo.file_name for photo in dataset.photos]
    return _check_submission(Path(path), expected, num_classes)


def _list_paths(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
