"""How a photo is predicted: views, tiles, and what is done to the mask afterwards.

Owns names, defaults and limits. Knows nothing of what a setting does. By default nothing is on:
what ``bunri tune`` showed to help is stored in the bundle, and is the default of that model.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, suggest
from bunri.core.fields import Fraction, Positive
from bunri.core.settings import Section

Flip = Literal["horizontal", "vertical"]
Combine = Literal["soft", "hard", "minmax"]
COMBINES: tuple[Combine, ...] = get_args(Combine)
MAX_SCALE = 4.0

_Scale = Annotated[float, Field(ge=0.25, le=MAX_SCALE)]


class TileSettings(Section):
    """How a photo is cut into overlapping squares of the model's frame size."""

    scale: Annotated[float, Field(gt=0.0)] | None = None
    """Longer side of the photo in frame sizes; None: the photo's own size."""
    overlap: Annotated[float, Field(ge=0.0, le=0.75)] = 0.25
    """Share of a tile's side that it has at least in common with the next."""


class CrfSettings(Section):
    """Dense CRF (Krähenbühl and Koltun, 2011); the defaults are that paper's."""

    num_steps: Annotated[int, Field(ge=1, le=50)] = 5
    smooth_px: Positive = 3.0
    smooth_weight: Positive = 3.0
    color_px: Positive = 60.0
    color_range: Positive = 10.0
    """How far two colours may differ to count as alike, of 255."""
    color_weight: Positive = 5.0
    max_side_px: Annotated[int, Field(ge=32, le=2048)] = 1024
    """Larger photos are refined at this size: memory grows with pixels times classes."""


class Claim(Section):
    """A class that takes a pixel at this probability, whatever is more probable."""

    name: str
    probability: Fraction


class PredictionSettings(Section):
    """Everything about prediction that is no part of the network."""

    flips: tuple[Flip, ...] = ()
    turns: bool = False
    """Quarter turns; with a flip, all eight views."""
    scales: tuple[_Scale, ...] = (1.0,)
    """Of the model's own frame. One alone is a frame of that size."""
    tiles: TileSettings | None = None
    crf: CrfSettings | None = None
    claims: tuple[Claim, ...] = ()
    """Where two claim a pixel, the first listed has it."""
    priority: tuple[str, ...] = ()
    """Who wins between equals, as in votes; classes not named follow in the table's order."""
    min_region_share: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    """Regions of a smaller share of the photo take the class that surrounds them most."""

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        if not self.scales:  # as a rule of the field, it would be told of each scale at fault
            raise ValueError("scales must name one at least")
        names = [claim.name for claim in self.claims]
        for key, values in (("claims", names), ("priority", self.priority), ("flips", self.flips),
                            ("scales", self.scales)):  # fmt: skip
            if len(set(values)) < len(values):
                raise ValueError(f"{key} must not name one twice")
        return self


PLAIN = PredictionSettings()


def parse_tta(text: str) -> dict[str, Any]:
    """Return the settings that ``--tta`` means: words from hflip, vflip, turns, and scales.

    Args:
        text: Separated by commas, such as ``hflip,turns,0.75,1.25``; ``none`` for none. The
            photo as it is takes part always.

    Raises:
        InputError: Another word.
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
                    f"--tta: {word!r} is no view, nor a scale such as 1.25.{suggest(word, allowed)}"
                ) from error
            found["scales"] += [scale] if scale != 1 else []
    return found


def parse_tiles(text: str) -> dict[str, Any] | None:
    """Return the settings that ``--tiles`` means: ``own``, ``none``, or a number of frame sizes.

    Raises:
        InputError: Something else.
    """
    if text == "none":
        return None
    if text == "own":
        return {"scale": None}
    try:
        return {"scale": float(text)}
    except ValueError as error:
        raise InputError(
            f"--tiles: {text!r} is neither own (the photo's own size), none, nor the photo's "
            "longer side in frame sizes, such as 2."
        ) from error


def check_classes(settings: PredictionSettings, table: ClassTable) -> None:
    """Refuse settings that name classes which a model does not have.

    Raises:
        InputError: All of them are listed.
    """
    problems = []
    for name in (*(claim.name for claim in settings.claims), *settings.priority):
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
