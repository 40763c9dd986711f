"""Several models as one.

Owns how members agree on classes, how they are combined, and how many lie in memory. What one
model does with a photo is ``predictor``'s.

Views and tiles are each member's own; CRF, claims and small regions come after the combination.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bunri.core.classes import ClassTable
from bunri.core.contracts import ImageArray
from bunri.core.errors import InputError, ModelError
from bunri.core.files import is_file, join_under, write_json
from bunri.core.settings import load_settings
from bunri.images.decider import Decider
from bunri.images.planes import ClassPlanes, MeanPlanes, MinMaxPlanes, VotePlanes
from bunri.model.info import BundleInfo
from bunri.model.lookup import StoredModel, open_model
from bunri.predict.predictor import (
    AdjustSettings,
    AnyPredictor,
    Predictor,
    load_predictor,
    load_stored_predictor,
)
from bunri.predict.settings import COMBINES, PLAIN, Combine, PredictionSettings, order_classes

FORMAT_VERSION = 1
_HEAD_BYTES = 200
MAX_LOADED_BYTES = 2 * 2**30
"""Weights of members beyond this are read anew for each photo, one member at a time."""


class Member:
    """A model that is loaded when it is needed.

    Args:
        model: As on the command line.
        adjust: See :func:`bunri.predict.predictor.load_predictor`.
    """

    def __init__(self, model: str, adjust: AdjustSettings) -> None:
        self.model = model
        self.stored = open_model(model)
        self.info: BundleInfo = self.stored.info
        self.num_bytes = self.stored.num_bytes
        self._adjust = adjust

    def load(self) -> Predictor:
        """Return the model, ready; steps after the combination are left out."""
        return load_stored_predictor(
            self.stored, lambda settings: _keep_looks(self._adjust(settings))
        )


def _keep_looks(settings: PredictionSettings) -> PredictionSettings:
    off = {key: getattr(PLAIN, key) for key in ("crf", "claims", "min_region_share")}
    return settings.model_copy(update=off)


class Ensemble(AnyPredictor):
    """Several models that predict together.

    Args:
        members: At least one.
        weights: How much each counts, not negative, sum above 0.
        combine: ``soft``: mean of probabilities; ``hard``: votes, ties go by
            ``settings.priority``; ``minmax``: mean of logits stretched to 0..1.
        settings: Of what follows the combination.
        max_loaded_bytes: See ``MAX_LOADED_BYTES``.
        prediction: What ``bunri tune`` found, as in a bundle.

    Raises:
        InputError: Weights do not fit.
        ModelError: Members have different classes; the difference is listed.
    """

    def __init__(
        self,
        members: Sequence[Member],
        weights: Sequence[float],
        combine: Combine = "soft",
        settings: PredictionSettings = PLAIN,
        max_loaded_bytes: int = MAX_LOADED_BYTES,
        prediction: Mapping[str, Any] | None = None,
    ) -> None:
        check_weights(weights, len(members))
        problems = list_differences([(member.model, member.info.table) for member in members])
        if problems:
            raise ModelError(
                "Models that predict together must have one class table; these differ:",
                problems=problems,
            )
        super().__init__(replace(join_infos(members), prediction=prediction or {}), settings)
        self.members = tuple(members)
        self.weights = tuple(weights)
        self.combine = combine
        self._votes = Decider(order_classes(settings, self.table), {})
        self._loaded = _load_what_fits(members, max_loaded_bytes)

    def look(self, image: ImageArray) -> ClassPlanes:
        """Return what all say of a photo together; see :class:`AnyPredictor`."""
        planes = []
        for number, member in enumerate(self.members):
            predictor = self._loaded.get(number) or member.load()
            planes.append(predictor.look(image))
        return combine_planes(planes, self.weights, self.combine, self._votes)


def combine_planes(
    planes: Sequence[ClassPlanes], weights: Sequence[float], combine: Combine, votes: Decider
) -> ClassPlanes:
    """Return what several models say of a photo together.

    Args:
        planes: At least one.
        weights: One each, sum above 0.
        combine: See :class:`Ensemble`.
        votes: How a single model decides where they vote.
    """
    if combine == "hard":
        masks = [votes.choose(one) for one in planes]
        return VotePlanes(masks, weights, len(planes[0]))
    return (MeanPlanes if combine == "soft" else MinMaxPlanes)(planes, weights)


def _load_what_fits(members: Sequence[Member], max_bytes: int) -> dict[int, Predictor]:
    loaded: dict[int, Predictor] = {}
    left = max_bytes
    for number, member in enumerate(members):
        if member.num_bytes <= left:
            loaded[number] = member.load()
            left -= member.num_bytes
    return loaded


def list_differences(tables: Sequence[tuple[str, ClassTable]]) -> list[str]:
    """Return how class tables differ from the first one; names decide, colours do not.

    Args:
        tables: Whose, and what; at least one.
    """
    (first, table), *others = tables
    names = table.names
    problems = []
    for other, its_table in others:
        for index in range(max(len(names), len(its_table))):
            mine, theirs = (
                repr(n[index]) if index < len(n) else "absent" for n in (names, its_table.names)
            )
            if mine != theirs:
                problems.append(f"class {index} is {mine} in {first}, {theirs} in {other}")
    return problems


def check_weights(weights: Sequence[float], num_members: int) -> None:
    """Refuse weights that are not one for each model, negative, or 0 in sum.

    Raises:
        InputError: They are.
    """
    shown = ", ".join(f"{weight:g}" for weight in weights)
    if len(weights) != num_members:
        raise InputError(f"--weights: {shown} are {len(weights)}, for {num_members} model(s).")
    if not all(0 <= weight < float("inf") for weight in weights):
        raise InputError(f"--weights: {shown}: each must be a number from 0 up.")
    if sum(weights) <= 0:
        raise InputError(
            f"--weights: {shown} sum to 0, so that no model would count.",
            hint="Leave out models that shall not count.",
        )


def join_infos(members: Sequence[Member]) -> BundleInfo:
    """Return one description; what they learned from is what any of them did."""
    infos = [member.info for member in members]
    hashes = [info.photo_hashes for info in infos]
    known = [some for some in hashes if some is not None]
    return BundleInfo(
        table=infos[0].table,
        preprocessing=infos[0].preprocessing,
        architecture={"name": "ensemble", "members": [dict(i.architecture) for i in infos]},
        photo_hashes=frozenset().union(*known) if len(known) == len(hashes) else None,
    )


@dataclass(frozen=True, slots=True)
class EnsembleFile:
    """An ensemble as ``bunri tune`` writes it.

    Attributes:
        models: Folders of the members.
        weights: One each.
        combine: How.
        prediction: ``settings`` for members and what follows, and ``evidence``.
    """

    models: tuple[str, ...]
    weights: tuple[float, ...]
    combine: Combine
    prediction: dict[str, Any]


def write_ensemble(path: Path, ensemble: EnsembleFile) -> None:
    """Write an ensemble's description; members must lie below its folder, and are named from there.

    Raises:
        InputError: A member lies elsewhere.
        OutputError: It cannot be written.
    """
    names = name_members(path, ensemble.models)
    content = {
        "format": FORMAT_VERSION,
        "ensemble": names,
        "weights": list(ensemble.weights),
        "combine": ensemble.combine,
        "prediction": ensemble.prediction,
    }
    write_json(path, content)


def name_members(path: Path, models: Sequence[str]) -> list[str]:
    """Return how a file at ``path`` names its members.

    Raises:
        InputError: One lies not below the file's folder.
    """
    root = path.parent.resolve()
    folders = [Path(model).resolve() for model in models]
    problems = [f"{m} is not below {root}" for m, f in zip(models, folders, strict=True)
                if root not in f.parents]  # fmt: skip
    if problems:
        raise InputError(
            f"{path} can only name models below its own folder, so that both move together:",
            problems=problems,
        )
    return [folder.relative_to(root).as_posix() for folder in folders]


def is_ensemble_file(model: str) -> bool:
    """Return whether MODEL is a file that says it describes an ensemble."""
    path = Path(model)
    if not (model.endswith(".json") and is_file(path)):
        return False
    with path.open("rb") as file:
        return b'"ensemble"' in file.read(_HEAD_BYTES)


def read_ensemble(path: Path) -> EnsembleFile:
    """Read an ensemble's description.

    Raises:
        ModelError: It is none.
        PathError: It names a member outside of its folder.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT_VERSION or content["combine"] not in COMBINES:
            raise ValueError("its format or its way to combine is not known")
        names, weights = content["ensemble"], content["weights"]
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError("'ensemble' must list models")
        prediction = dict(content["prediction"])
        load_settings(PredictionSettings, prediction.get("settings", {}), (), f"{path}: prediction")
        models = tuple(str(join_under(path.parent, name)) for name in names)
        return EnsembleFile(models, tuple(map(float, weights)), content["combine"], prediction)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path} does not describe an ensemble: {error}.",
            hint="A MODEL is a run folder, a bundle folder, or a file that bunri tune wrote.",
        ) from error


def load_models(
    models: Sequence[str],
    weights: Sequence[float] | None = None,
    combine: Combine | None = None,
    adjust: AdjustSettings = lambda settings: settings,
) -> AnyPredictor:
    """Return one predictor for one or several MODELs.

    Args:
        models: Run folders and bundle folders, or a single file of ``bunri tune``.
        weights: One each; all the same if not given.
        combine: ``soft`` if not given.
        adjust: Changes settings of prediction; of several models it starts from none, for what
            follows the combination, and from each member's own, for its views and tiles.

    Raises:
        InputError: Weights do not fit.
        ModelError: A model is none or damaged, or classes differ.
        MissingExtraError: torch is not installed.
    """
    prediction: dict[str, Any] = {}
    given = tuple(models)
    if len(models) == 1 and is_ensemble_file(models[0]):
        described = read_ensemble(Path(models[0]))
        prediction = described.prediction
        models = described.models
        weights = weights or described.weights
        combine = combine or described.combine
    elif len(models) == 1:
        check_weights(weights or [1], 1)
        return load_predictor(models[0], adjust)
    stored = prediction.get("settings", {})
    common = adjust(load_settings(PredictionSettings, stored, (), "prediction"))
    members = [Member(model, (lambda _: common) if stored else adjust) for model in models]
    weights = weights or [1.0] * len(members)
    ensemble = Ensemble(members, weights, combine or "soft", common, prediction=prediction)
    ensemble.given, ensemble.stored = given, tuple(member.stored for member in members)
    return ensemble


def list_members(models: Sequence[str]) -> list[StoredModel]:
    """Return each single model behind MODELs.

    Raises:
        ModelError: A model is none or damaged.
    """
    if len(models) == 1 and is_ensemble_file(models[0]):
        models = read_ensemble(Path(models[0])).models
    return [open_model(model) for model in models]
