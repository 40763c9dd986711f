"""The page of an evaluation: its pictures are collected while photos are predicted."""

from pathlib import Path

from bunri.core.contracts import ImageArray, MaskArray
from bunri.evaluation import Evaluation, predict_corrupted
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.predict.predictor import AnyPredictor
from bunri.report.pages.evaluation import write_evaluation_page
from bunri.report.pages.robustness import RobustnessSection, Tile
from bunri.report.picture_choice import PictureKeeper
from bunri.report.pictures import write_pictures
from bunri.report.records import read_history
from bunri.scores.robustness import choose_example


class EvaluationReport:
    """Page of an evaluation; the ``watcher`` of :func:`bunri.evaluation.evaluate`."""

    def __init__(self, page: Path) -> None:
        self._page = page

    def start(self, predictor: AnyPredictor, dataset: LabelledSet) -> None:
        """Prepare for the photos of ``dataset``.

        Raises:
            InputError: The file ``metrics.jsonl`` of the run is damaged.
        """
        self._predictor, self._dataset = predictor, dataset
        self._history = read_history(Path(predictor.name))
        self._keeper = PictureKeeper(len(dataset.photos), len(dataset.table))

    def watch(
        self, photo: Photo, image: ImageArray, truth: MaskArray, prediction: MaskArray
    ) -> None:
        """Take the next photo, uint8 (H, W, 3) RGB, and its masks, uint8 (H, W)."""
        self._keeper.watch(photo, image, truth, prediction)

    def write(self, evaluation: Evaluation, folder: Path | None = None) -> None:
        """Write the page, and the worst photos into the evaluation folder for ``bunri report``.

        Raises:
            ImageError: The photo to show under corruptions cannot be read any more.
            OutputError: A file cannot be written.
        """
        pictures = self._keeper.list_pictures()
        write_evaluation_page(
            self._page,
            evaluation.result,
            evaluation.scores,
            pictures,
            self._keeper.mistakes,
            self._history,
            self._show_corruptions(evaluation),
        )
        if folder is not None:
            write_pictures(folder, pictures)

    def _show_corruptions(self, evaluation: Evaluation) -> RobustnessSection | None:
        """Predict one photo under all corruptions again: which one to show is known only now."""
        scores, result = evaluation.robustness, evaluation.result
        if scores is None:
            return None
        photo = self._dataset.photos[choose_example(scores.counts, result.sizes["photo"].matrices)]
        image = read_photo_as_labelled(self._dataset, photo)
        tiles = [Tile.of("clean", image, self._predictor.predict_mask(image), result.table)]
        tiles += [
            Tile.of(name, corrupted, mask, result.table)
            for name, corrupted, mask in predict_corrupted(
                self._predictor, image, scores.counts.severity
            )
        ]
        return RobustnessSection(scores, photo.file_name, photo.size_hw, tiles)
