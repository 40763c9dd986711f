"""Options of how to predict, shared by the commands that do."""

from collections.abc import Sequence
from typing import Annotated

import typer

from bunri.core.errors import InputError
from bunri.predict.choices import PredictionChoices
from bunri.predict.settings import Combine

Weights = Annotated[
    str | None, typer.Option("--weights", metavar="LIST", help="Weight of each MODEL, such as 2,1.")
]
CombineName = Annotated[
    Combine | None,
    typer.Option(
        "--combine",
        help="How several models are combined: soft (mean of probabilities), hard (votes) or "
        "minmax (mean of stretched logits).",
    ),
]
Tta = Annotated[
    str | None,
    typer.Option(
        "--tta",
        metavar="LIST",
        help="Also predict other views, and average: hflip, vflip, turns, and scales such as "
        "1.25; none for none.",
    ),
]
Tiles = Annotated[
    str | None,
    typer.Option(
        "--tiles",
        metavar="SCALE",
        help="Predict overlapping tiles of the photo, enlarged so that its longer side is SCALE "
        "frames; own for its own size.",
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
    bool, typer.Option("--plain", help="Use the default settings, not those stored with the model.")
]


def make_choices(
    weights: str | None,
    combine: Combine | None,
    tta: str | None,
    tiles: str | None,
    changes: Sequence[str] | None,
    *,
    is_plain: bool,
) -> PredictionChoices:
    """Return the choices behind the options of this module.

    Raises:
        InputError: ``weights`` is not a list of numbers.
    """
    try:
        numbers = None if weights is None else tuple(map(float, weights.split(",")))
    except ValueError as error:
        raise InputError(f"--weights takes numbers, such as 2,1; {weights!r} are not.") from error
    return PredictionChoices(numbers, combine, tta, tiles, tuple(changes or ()), is_plain)
