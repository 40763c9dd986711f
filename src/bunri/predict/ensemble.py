"""Several models as one predictor, and the file in which ``bunri tune`` describes them.

Views and tiles are each member's own; CRF, class thresholds and the removal of small regions follow
the combination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bunri.core.classes import ClassTable
from bunri.core.contracts import ImageArray
from bunri.core.errors import InputError, ModelError
from bunri.core.files import is_file, join_under, write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.core.settings import load_settings
from bunri.images.decider import Decider
from bunri.images.planes import ClassPlanes
from bunri.model.info import BundleInfo
from bunri.model.lookup import open_model
from bunri.predict.combine import combine_planes
from bunri.predict.predictor import (
    AdjustSettings,
    AnyPredictor,
    Predictor,
    load_stored_predictor,
    read_settings,
)
from bunri.predict.settings import PLAIN, Combine, PredictionSettings, order_classes

MAX_LOADED_BYTES = 2 * 2**30
"""Members whose weights exceed this in sum are loaded anew for each photo, one at a time."""
_HEAD_BYTES = 200
_MAX_FILE_BYTES = 16 * 2**20


class Member:
    """A model of an ensemble, loaded when it is needed."""

    def __init__(self, model: str, adjust: AdjustSettings) -> None:
        self.model = model
        self.stored = open_model(model)
        self.info: BundleInfo = self.stored.info
        self.num_bytes = self.stored.num_bytes
        # What follows the combination is the ensemble's.
        later = {key: getattr(PLAIN, key) for key in ("crf", "class_thresholds",
                                                      "min_region_share")}  # fmt: skip
        self.settings = read_settings(self.stored, adjust).model_copy(update=later)

    def load(self) -> Predictor:
        """Return the model, ready to predict."""
        return load_stored_predictor(self.stored, self.settings)


class Ensemble(AnyPredictor):
    """Several models that predict together.

    Args:
        members: Models with one class table; at least one.
        weights: One for each member, not negative, sum above 0.
        combine: ``soft``: mean of probabilities; ``hard``: votes, ties go by
            ``settings.priority``; ``minmax``: mean of logits stretched to 0..1.
        max_loaded_bytes: See ``MAX_LOADED_BYTES``.
        prediction: Result of ``bunri tune``, as in a bundle.

    Raises InputError, ModelError.
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
        check_tables([(member.model, member.info.table) for member in members])
        super().__init__(replace(merge_infos(members), prediction=prediction or {}), settings)
        self.members = tuple(members)
        self.weights = tuple(weights)
        self.combine = combine
        self._votes = Decider(order_classes(settings, self.table), {})
        self._loaded: dict[int, Predictor] = {}
        for number, member in enumerate(members):
            if member.num_bytes <= max_loaded_bytes:
                self._loaded[number] = member.load()
                max_loaded_bytes -= member.num_bytes

    def compute_planes(self, image: ImageArray) -> ClassPlanes:
        """Return the members' combined probabilities of a photo; see :class:`AnyPredictor`."""
        planes = []
        for number, member in enumerate(self.members):
            predictor = self._loaded.get(number) or member.load()
            planes.append(predictor.compute_planes(image))
        return combine_planes(planes, self.weights, self.combine, self._votes)


def check_tables(tables: Sequence[tuple[str, ClassTable]]) -> None:
    """Raise an error if class tables differ from the first one; names decide, colours do not.

    Args:
        tables: Name and classes of each model; at least one.
    """
    (first, table), *others = tables
    problems = []
    for other, its_table in others:
        for index in range(max(len(table), len(its_table))):
            one, two = (
                repr(names[index]) if index < len(names) else "absent"
                for names in (table.names, its_table.names)
            )
            if one != two:
                problems.append(f"class {index} is {one} in {first}, {two} in {other}")
    if problems:
        raise ModelError(
            "Models that predict together must have one class table; these differ:",
            problems=problems,
        )


def check_weights(weights: Sequence[float], num_members: int) -> None:
    """Raise an error if weights do not fit the models."""
    shown = ", ".join(f"{weight:g}" for weight in weights)
    if len(weights) != num_members:
        raise InputError(f"--weights: {shown} are {len(weights)}, for {num_members} model(s).")
    if not all(0 <= weight < float("inf") for weight in weights):
        raise InputError(f"--weights: {shown}: each must be a number from 0 up.")
    if sum(weights) <= 0:
        raise InputError(
            f"--weights: {shown} sum to 0, so that no model would count.",
            hint="Leave out models that must not count.",
        )


def merge_infos(members: Sequence[Member]) -> BundleInfo:
    """Return the members' common info; ``photo_hashes`` is their union."""
    infos = [member.info for member in members]
    hashes = [info.photo_hashes for info in infos]
    known = [some for some in hashes if some is not None]
    return BundleInfo(
        table=infos[0].table,
        preprocessing=infos[0].preprocessing,
        architecture={"name": "ensemble", "members": [dict(i.architecture) for i in infos]},
        photo_hashes=frozenset().union(*known) if len(known) == len(hashes) else None,
    )


class EnsembleFile(JsonRecord):
    """Content of the file in which ``bunri tune`` describes an ensemble.

    Attributes:
        ensemble: Folders of the members; in the file relative to it.
        prediction: ``settings`` of members and of the steps that follow, and ``evidence``.
    """

    format: Literal[1] = 1
    ensemble: Annotated[tuple[str, ...], Field(min_length=1)]
    weights: tuple[float, ...]
    combine: Combine
    prediction: dict[str, Any]


def write_ensemble(path: Path, ensemble: EnsembleFile) -> None:
    """Write an ensemble's description, with members named relative to its folder."""
    names = name_members(path, ensemble.ensemble)
    write_json(path, {**ensemble.model_dump(mode="json"), "ensemble": names})


def name_members(path: Path, models: Sequence[str]) -> list[str]:
    """Return the names of members in a file at ``path``: their paths relative to its folder."""
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
    """Return whether MODEL is a file that describes an ensemble."""
    path = Path(model)
    if not (model.endswith(".json") and is_file(path)):
        return False
    with path.open("rb") as file:
        return b'"ensemble"' in file.read(_HEAD_BYTES)


def read_ensemble(path: Path) -> EnsembleFile:
    """Return an ensemble's description, its members with their full paths."""
    hint = "A MODEL is a run folder, a bundle folder, or a file that bunri tune wrote."
    read = read_json_record(
        path, EnsembleFile, max_bytes=_MAX_FILE_BYTES, error=ModelError, hint=hint
    )
    load_settings(
        PredictionSettings, read.prediction.get("settings", {}), (), f"{path}: prediction"
    )
    members = tuple(str(join_under(path.parent, name)) for name in read.ensemble)
    return read.model_copy(update={"ensemble": members})
