"""One predictor from models and options of prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError
from bunri.core.files import is_file, is_folder
from bunri.core.settings import load_settings
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.model.lookup import DEFAULT_MODEL, find_model, is_model, list_shipped_models
from bunri.predict.ensemble import (
    Ensemble,
    EnsembleFile,
    Member,
    check_weights,
    is_ensemble_file,
    read_ensemble,
)
from bunri.predict.predictor import AdjustSettings, AnyPredictor, load_predictor
from bunri.predict.settings import Combine, PredictionSettings, parse_tiles, parse_tta

Models = AnyPredictor | str | Path | Sequence[str | Path]
"""A predictor, or one or several models as on the command line; several form an ensemble."""


@dataclass(frozen=True, slots=True)
class PredictionChoices:
    """Options of prediction; what is left out is up to the models.

    Attributes:
        weights: Weight of each model, from 0 up; None: all the same.
        combine: Way to combine several models; None: ``soft``, or as ``bunri tune`` found.
        tta: Views in the syntax of ``--tta``; see :func:`bunri.predict.settings.parse_tta`.
        tiles: Tiles in the syntax of ``--tiles``; see :func:`bunri.predict.settings.parse_tiles`.
        overrides: Other settings, ``key=value`` each; they win over all the rest.
    """

    weights: Sequence[float] | None = None
    combine: Combine | None = None
    tta: str | None = None
    tiles: str | None = None
    overrides: Sequence[str] = ()
    is_plain: bool = False

    def plan_adjustment(self) -> AdjustSettings:
        """Return the function from a model's stored settings to those to predict with."""
        changed: dict[str, Any] = {}
        if self.tta is not None:
            changed |= parse_tta(self.tta)
        if self.tiles is not None:
            changed["tiles"] = parse_tiles(self.tiles)

        def adjust(settings: PredictionSettings) -> PredictionSettings:
            stored = {} if self.is_plain else settings.model_dump(mode="json")
            return load_settings(
                PredictionSettings, {**stored, **changed}, self.overrides, "options of prediction"
            )

        adjust(PredictionSettings())  # faults are raised here, before any model is loaded
        return adjust


DEFAULT_CHOICES = PredictionChoices()


def open_predictor(models: Models, choices: PredictionChoices = DEFAULT_CHOICES) -> AnyPredictor:
    """Return one predictor for one or several models.

    Args:
        models: Run folders, bundle folders, ONNX files, names of shipped models, or one file of
            ``bunri tune``; a predictor is returned as it is.
        choices: Options of prediction; unused where ``models`` is a predictor.

    Raises InputError, ConfigError, ModelError, MissingExtraError.
    """
    if isinstance(models, AnyPredictor):
        return models
    names = [models] if isinstance(models, str | Path) else models
    given = tuple(map(str, names))
    adjust = choices.plan_adjustment()
    if len(given) > 1:
        described = EnsembleFile(
            ensemble=given, weights=(1.0,) * len(given), combine="soft", prediction={}
        )
    elif is_ensemble_file(given[0]):
        described = read_ensemble(Path(given[0]))
    else:
        check_weights(choices.weights or [1], 1)
        predictor = load_predictor(given[0], adjust)
        if choices.is_plain:  # weights of an ensemble file still hold
            predictor.info = replace(predictor.info, prediction={})
        return predictor
    # Several models adjust each member's own settings, for its views and tiles, and plain ones,
    # for what follows; the settings of a file of bunri tune hold for both.
    stored = described.prediction.get("settings", {})
    common = adjust(load_settings(PredictionSettings, stored, (), "prediction"))
    members = [Member(model, (lambda _: common) if stored else adjust)
               for model in described.ensemble]  # fmt: skip
    ensemble = Ensemble(
        members,
        choices.weights or described.weights,
        choices.combine or described.combine,
        common,
        prediction=described.prediction,
    )
    ensemble.given, ensemble.stored = given, tuple(member.stored for member in members)
    return ensemble


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the models and the photos among the arguments of ``bunri predict``.

    Models come first. If the first argument is not a model, but a folder or a photo's file name,
    all arguments are photos, and the shipped model predicts them.

    Raises InputError, ModelError.
    """
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
            find_model(arguments[0])  # raises the error that explains what is wrong with it
        return [DEFAULT_MODEL], [Path(argument) for argument in arguments]
    return list(arguments[:count]), [Path(argument) for argument in arguments[count:]]
