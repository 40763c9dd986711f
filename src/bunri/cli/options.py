"""Options and arguments that several commands share, and checks that need no file to be read."""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.core.errors import InputError, MissingExtraError, suggest
from bunri.core.files import check_writable
from bunri.labels.rules import OverlapRule
from bunri.predict.choices import PredictionChoices
from bunri.predict.settings import Combine

# --- models and data ----------------------------------------------------------------------------

Model = Annotated[
    str,
    Argument(
        metavar="MODEL", help="Run folder, bundle folder, .onnx file, or name of a shipped model."
    ),
]
Models = Annotated[
    list[str],
    Argument(
        metavar="MODEL...",
        help="Run folder, bundle folder, .onnx file, or name of a shipped model; several form an "
        "ensemble, as does a file of bunri tune.",
    ),
]
Images = Annotated[
    Path | None,
    Option("--images", metavar="DIR", help="Folder of the photos, if not beside the JSON."),
]
Rule = Annotated[
    OverlapRule,
    Option(
        "--overlap-rule",
        metavar="RULE",
        help="Order in which overlapping objects are painted: largest-first (small ones stay "
        "visible), highest-class (as the 2021 baseline) or longest-polygon-first.",
    ),
]
BatchSize = Annotated[
    int, Option("--batch-size", min=1, help="Photos in a batch of the per-batch mIoU.")
]
AsJson = Annotated[bool, Option("--json", help="Print the figures as JSON.")]
AllowPseudo = Annotated[
    list[Path] | None,
    Option(
        "--allow-pseudo",
        metavar="JSON",
        help="Accept the pseudo-labels in this file as if they were true; repeatable.",
    ),
]
AllowTrained = Annotated[
    list[Path] | None,
    Option(
        "--allow-trained",
        metavar="JSON",
        help="Score on photos in this file although MODEL was trained on them.",
    ),
]


# --- prediction ---------------------------------------------------------------------------------

Weights = Annotated[
    str | None, Option("--weights", metavar="LIST", help="Weight of each MODEL, such as 2,1.")
]
CombineName = Annotated[
    Combine | None,
    Option(
        "--combine",
        help="How several models are combined: soft (mean of probabilities), hard (votes) or "
        "minmax (mean of stretched logits).",
    ),
]
Tta = Annotated[
    str | None,
    Option(
        "--tta",
        metavar="LIST",
        help="Also predict other views, and average: hflip, vflip, turns, and scales such as "
        "1.25; none for none.",
    ),
]
Tiles = Annotated[
    str | None,
    Option(
        "--tiles",
        metavar="SCALE",
        help="Predict overlapping tiles of the photo, enlarged so that its longer side is SCALE "
        "frames; own for its own size.",
    ),
]
Changes = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of prediction, such as crf={} or min_region_share=0.001; repeatable.",
    ),
]
Plain = Annotated[
    bool, Option("--plain", help="Use the default settings, not those stored with the model.")
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
    """Return the choices behind the options of prediction."""
    try:
        numbers = None if weights is None else tuple(map(float, weights.split(",")))
    except ValueError as error:
        raise InputError(f"--weights takes numbers, such as 2,1; {weights!r} are not.") from error
    return PredictionChoices(numbers, combine, tta, tiles, tuple(changes or ()), is_plain)


# --- checks -------------------------------------------------------------------------------------


def match_allowed(
    allowed: Sequence[Path] | None, files: Sequence[Path], option: str
) -> frozenset[Path]:
    """Return those of ``files`` that an option names."""
    known = {file.resolve(): file for file in files}
    wrong = [str(path) for path in allowed or () if path.resolve() not in known]
    if wrong:
        near = suggest(wrong[0], map(str, files))
        raise InputError(f"{option}: {wrong[0]} is none of the files to score on.{near}")
    return frozenset(known[path.resolve()] for path in allowed or ())


def is_allowed(allowed: Sequence[Path] | None, file: Path, option: str) -> bool:
    """Return whether an option names ``file``; see :func:`match_allowed`."""
    return bool(match_allowed(allowed, [file], option))


def require_torch(what: str) -> None:
    """Raise an error that says how to install torch, if it is not installed."""
    _require_module("torch", what, "train")


def require_plotly(what: str) -> None:
    """Raise an error that says how to install plotly, if it is not installed."""
    _require_module("plotly", what, "report")


def _require_module(name: str, what: str, extra: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise MissingExtraError(
            f"{what} needs {name}, which is not installed.",
            hint=f'Install it with: pip install "bunri[{extra}]"',
        )


def check_page(page: Path, option: str, files: Iterable[Path] = ()) -> None:
    """Refuse a page that is no HTML file, replaces one of ``files``, or cannot be written."""
    if page.suffix.lower() not in {".html", ".htm"}:
        raise InputError(f"{option} must end in .html; {page} does not.")
    check_not_replacing(page, option, files)
    check_writable(page)


def check_not_replacing(path: Path, option: str, files: Iterable[Path]) -> None:
    """Refuse to write over one of the files that a command reads."""
    if path.resolve() in {file.resolve() for file in files}:
        raise InputError(
            f"{option} would replace the file {path}.", hint="Choose another name or folder."
        )
