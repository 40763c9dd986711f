"""Options of every command that predicts: which models, combined how, and looked at how."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bunri.cli.console import print_note
from bunri.core.errors import InputError, suggest

if TYPE_CHECKING:
    from bunri.predict.predictor import AdjustSettings, AnyPredictor
    from bunri.predict.settings import Combine, PredictionSettings

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...", help="Run or bundle folders, or a file of bunri tune; several: ensemble"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="LIST", help="How much each MODEL counts, such as 2,1."),
]
CombineName = Annotated[
    str | None,
    typer.Option(
        "--combine",
        metavar="HOW",
        help="soft (mean of probabilities), hard (votes) or minmax (mean of stretched logits).",
    ),
]
Tta = Annotated[
    str | None,
    typer.Option(
        "--tta", metavar="LIST", help="Also look at: hflip, vflip, turns, scales such as 1.25; none"
    ),
]
Tiles = Annotated[
    str | None,
    typer.Option(
        "--tiles",
        metavar="SCALE",
        help="Look piece by piece, the photo's longer side being so many frames; own: own size.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of prediction, such as crf={} or min_region_share=0.001; repeatable.",
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="Start from no settings, not from those in the bundle.")
]


@dataclass(frozen=True, slots=True)
class PredictionChoices:
    """What was given on the command line, as text."""

    weights: str | None = None
    combine: str | None = None
    tta: str | None = None
    tiles: str | None = None
    changes: Sequence[str] | None = None
    is_plain: bool = False


def load_chosen(models: Sequence[str], choices: PredictionChoices) -> "AnyPredictor":
    """Return one predictor for what was asked for.

    Raises:
        InputError: Options do not fit.
        ConfigError: A setting is unknown or out of range.
        ModelError: A model cannot be used.
        MissingExtraError: Something is not installed.
    """
    from bunri.predict.ensemble import load_models

    adjust = plan_adjustment(choices)  # before anything is loaded
    return load_models(
        models, parse_weights(choices.weights), _parse_combine(choices.combine), adjust
    )


def plan_adjustment(choices: PredictionChoices) -> "AdjustSettings":
    """Return what makes the settings of a bundle those to predict with.

    Raises:
        InputError: Options do not fit.
        ConfigError: A setting is unknown or out of range.
    """
    from bunri.core.settings import load_settings
    from bunri.predict.settings import PredictionSettings, parse_tiles, parse_tta

    changed: dict[str, Any] = {}
    if choices.tta is not None:
        changed |= parse_tta(choices.tta)
    if choices.tiles is not None:
        changed["tiles"] = parse_tiles(choices.tiles)
    overrides = choices.changes or ()
    load_settings(PredictionSettings, changed, overrides, "options of prediction")

    def adjust(settings: "PredictionSettings") -> "PredictionSettings":
        stored = {} if choices.is_plain else settings.model_dump(mode="json")
        return load_settings(
            PredictionSettings, {**stored, **changed}, overrides, "options of prediction"
        )

    return adjust


def parse_weights(text: str | None) -> list[float] | None:
    """Return weights from ``2,1``; None where nothing was given.

    Raises:
        InputError: Not numbers.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--weights takes numbers, such as 2,1; {text!r} are not.") from error


def _parse_combine(name: str | None) -> "Combine | None":
    from bunri.predict.settings import COMBINES

    if name is None:
        return None
    for known in COMBINES:
        if name == known:
            return known
    raise InputError(f"--combine: there is no {name!r}.{suggest(name, COMBINES)}")


def split_models(arguments: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the models and the photos among arguments.

    Models come first. If the first argument is none, but a folder or the name of a photo, all are
    photos, and the model that ships with bunri predicts them.

    Raises:
        InputError: No photo is left.
        ModelError: The first argument is nothing at all, or a run without a model.
    """
    from bunri.core.files import is_file, is_folder
    from bunri.images.photos import PHOTO_SUFFIXES
    from bunri.model.lookup import DEFAULT_MODEL, find_model, is_model, list_shipped_models
    from bunri.predict.ensemble import is_ensemble_file

    are_models = [is_model(one) or is_ensemble_file(one) for one in arguments]
    count = [*are_models, False].index(False)
    if count == len(arguments):
        raise InputError(
            "There is no photo to predict.",
            hint="Name models first, then photos: bunri predict MODEL photo.jpg",
        )
    if count == 0:
        first = Path(arguments[0])
        is_photo = first.suffix.lower() in PHOTO_SUFFIXES
        is_photo |= is_folder(first) and not is_file(first / "config.yaml")
        if not is_photo or DEFAULT_MODEL not in list_shipped_models():
            find_model(arguments[0])  # says what is wrong with it
        print_note(f"Predicting with {DEFAULT_MODEL}, the model that ships with bunri.")
        return [DEFAULT_MODEL], [Path(argument) for argument in arguments]
    return list(arguments[:count]), [Path(argument) for argument in arguments[count:]]
