"""The page that ``bunri evaluate --report`` writes: what it needs, kept while photos are predicted.

Owns when it is looked for and written. What stands in it is ``report``'s.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bunri.labels.records import LabelledSet
    from bunri.predict.predictor import AnyPredictor
    from bunri.report.pages.robustness import RobustnessSection
    from bunri.scores.results import Result, SizeScores
    from bunri.scores.robustness import RobustnessScores


class EvaluationReport:
    """The page of an evaluation: what it needs, looked at before the work is done.

    Args:
        page: Where it shall be.
        model: As on the command line.
        dataset: The photos.
        predictor: The model.

    Raises:
        InputError: The run's ``metrics.jsonl`` is damaged.
    """

    def __init__(
        self, page: Path, model: str, dataset: "LabelledSet", predictor: "AnyPredictor"
    ) -> None:
        from bunri.report.picture_choice import PictureKeeper
        from bunri.report.records import read_history

        self._page = page
        self._dataset = dataset
        self._predictor = predictor
        self._history = read_history(Path(model))
        self._keeper = PictureKeeper(len(dataset.photos), len(dataset.table))
        self.watch = self._keeper.watch

    def write(
        self,
        result: "Result",
        scores: "dict[str, SizeScores]",
        folder: Path | None,
        robustness: "RobustnessScores | None" = None,
    ) -> None:
        """Write the page, and the worst photos into the evaluation folder if there is one.

        Raises:
            ImageError: The photo to show under corruptions cannot be read any more.
            OutputError: They cannot be written.
        """
        from bunri.report.pages.evaluation import write_evaluation_page
        from bunri.report.picture_files import write_pictures

        pictures = self._keeper.list_pictures()
        section = None if robustness is None else self._show_corruptions(result, robustness)
        write_evaluation_page(
            self._page, result, scores, pictures, self._keeper.mistakes, self._history, section
        )
        if folder is not None:
            write_pictures(folder, pictures)

    def _show_corruptions(
        self, result: "Result", scores: "RobustnessScores"
    ) -> "RobustnessSection":
        """Predict one photo under all corruptions again.

        None were kept, since only now is it known which photo tells most.
        """
        from bunri.evaluation import predict_corrupted
        from bunri.labels.photos import read_photo_as_labelled
        from bunri.report.pages.robustness import Example, RobustnessSection, Tile
        from bunri.scores.robustness import choose_example

        number = choose_example(scores.counts, result.sizes["photo"].matrices)
        photo = self._dataset.photos[number]
        image = read_photo_as_labelled(self._dataset, photo)
        tiles = [Tile.of("clean", image, self._predictor.predict_mask(image), result.table)]
        for name, corrupted, mask in predict_corrupted(
            self._predictor, image, scores.counts.severity
        ):
            tiles.append(Tile.of(name, corrupted, mask, result.table))
        return RobustnessSection(scores, Example(photo.file_name, photo.size_hw, tiles))
