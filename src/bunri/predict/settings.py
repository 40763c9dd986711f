"""Settings of prediction: views, tiles, and what is done to the mask afterwards.

Nothing is on by default. ``bunri tune`` stores what it showed to help in the bundle, as the default
of that model.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, suggest
from bunri.core.fields import Fraction, Positive
from bunri.core.settings import Section

Flip = Literal["horizontal", "vertical"]
Combine = Literal["soft", "hard", "minmax"]

_Scale = Annotated[float, Field(ge=0.25, le=4.0)]


class TileSettings(Section):
    """Cutting of a photo into overlapping squares of the model's frame size."""

    scale: Annotated[float, Field(gt=0.0)] | None = None
    """Longer side of the photo in frame sizes; None: the photo's own size."""
    overlap: Annotated[float, Field(ge=0.0, le=0.75)] = 0.25
    """Least share of a tile's side that it has in common with the next tile."""


class CrfSettings(Section):
    """Dense CRF (Krähenbühl and Koltun, 2011); the defaults are that paper's."""

    num_steps: Annotated[int, Field(ge=1, le=50)] = 5
    smooth_px: Positive = 3.0
    smooth_weight: Positive = 3.0
    color_px: Positive = 60.0
    color_range: Positive = 10.0
    """Difference, of 255, up to which two colours count as alike."""
    color_weight: Positive = 5.0
    max_side_px: Annotated[int, Field(ge=32, le=2048)] = 1024
    """Larger photos are refined at this size: memory grows with pixels times classes."""


class ClassThreshold(Section):
    """Probability from which a class takes a pixel, whatever class is more probable."""

    name: str
    probability: Fraction


class PredictionSettings(Section):
    """All settings of prediction that are not part of the network."""

    FORMER_NAMES: ClassVar[Mapping[str, str]] = {"claims": "class_thresholds"}
    flips: tuple[Flip, ...] = ()
    turns: bool = False
    """Quarter turns; with a flip, all eight views."""
    scales: tuple[_Scale, ...] = (1.0,)
    """Sizes of views relative to the model's frame; a single one sets the frame's size."""
    tiles: TileSettings | None = None
    crf: CrfSettings | None = None
    class_thresholds: tuple[ClassThreshold, ...] = ()
    """Where several classes reach their threshold, the first one listed takes the pixel."""
    priority: tuple[str, ...] = ()
    """Classes that win ties, as in votes, first one first; the others follow in table order."""
    min_region_share: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    """Regions of a smaller share of the photo take the class that surrounds them most."""

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        if not self.scales:  # a rule of the field would be reported once per faulty scale
            raise ValueError("scales must name at least one")
        names = [threshold.name for threshold in self.class_thresholds]
        for key, values in (("class_thresholds", names), ("priority", self.priority),
                            ("flips", self.flips), ("scales", self.scales)):  # fmt: skip
            if len(set(values)) < len(values):
                raise ValueError(f"{key} must not name one twice")
        return self


PLAIN = PredictionSettings()


def parse_tta(text: str) -> dict[str, Any]:
    """Return the settings that ``--tta`` stands for.

    Args:
        text: Words separated by commas: ``hflip``, ``vflip``, ``turns``, scales such as ``1.25``,
            or ``none``. The photo as it is always takes part.
    """
    found: dict[str, Any] = {"flips": [], "turns": False, "scales": [1.0]}
    words = {"hflip": "horizontal", "vflip": "vertical"}
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word in words:
            found["flips"].append(words[word])
        elif word == "turns":
            found["turns"] = True
        elif word != "none":
            try:
                scale = float(word)
            except ValueError as error:
                allowed = (*words, "turns", "none")
                raise InputError(
                    f"--tta: {word!r} is no view and no scale such as 1.25.{suggest(word, allowed)}"
                ) from error
            found["scales"] += [scale] if scale != 1 else []
    return found


def parse_tiles(text: str) -> dict[str, Any] | None:
    """Return the settings that ``--tiles`` stands for: ``own``, ``none``, or a number of frames."""
    if text == "none":
        return None
    try:
        return {"scale": None if text == "own" else float(text)}
    except ValueError as error:
        raise InputError(
            f"--tiles: {text!r} is neither own (the photo's own size), none, nor the photo's "
            "longer side in frame sizes, such as 2."
        ) from error


def check_classes(settings: PredictionSettings, table: ClassTable) -> None:
    """Raise an error if settings name classes that a model does not have."""
    problems = []
    for name in (*(one.name for one in settings.class_thresholds), *settings.priority):
        try:
            table.index_of(name)
        except InputError as error:
            problems.append(error.message)
    if problems:
        raise InputError("Prediction settings name unknown classes:", problems=problems)


def order_classes(settings: PredictionSettings, table: ClassTable) -> list[int]:
    """Return all class indices, those of ``priority`` first."""
    first = [table.index_of(name) for name in settings.priority]
    return [*first, *(index for index in range(len(table)) if index not in first)]
