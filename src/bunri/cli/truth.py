"""What a score may be made on: labels that are true, of photos that the model never saw.

Owns the two options that allow something else by name. What a pseudo-label is and which photos a
model learned from is told by files and bundles.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bunri.cli.console import print_note, show_progress
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import InputError, suggest

if TYPE_CHECKING:
    from bunri.labels.records import LabelledSet
    from bunri.model.info import BundleInfo

AllowPseudo = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-pseudo",
        metavar="JSON",
        help="Take the pseudo-labels in this file for a truth; repeatable.",
    ),
]
AllowTrained = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-trained",
        metavar="JSON",
        help="Score on photos in this file although MODEL learned their labels.",
    ),
]


def match_allowed(allowed: Sequence[Path] | None, files: Sequence[Path], option: str) -> set[Path]:
    """Return which of some files an option names; a name that is none of them is a mistake.

    Args:
        allowed: What the option was given.
        files: What the command was given.
        option: Its name.

    Raises:
        InputError: A name is none of ``files``.
    """
    known = {file.resolve(): file for file in files}
    wrong = [str(path) for path in allowed or () if path.resolve() not in known]
    if wrong:
        near = suggest(wrong[0], map(str, files))
        raise InputError(f"{option}: {wrong[0]} is none of the files to score on.{near}")
    return {known[path.resolve()] for path in allowed or ()}


def refuse_pseudo_labels(dataset: "LabelledSet", allowed: Sequence[Path] | None) -> None:
    """Refuse labels that are a model's, unless told by name; say if there are no objects at all.

    Raises:
        AnnotationError: They are.
        InputError: ``--allow-pseudo`` names another file.
    """
    from bunri.labels.coco import require_truth

    if not match_allowed(allowed, [dataset.source], "--allow-pseudo"):
        require_truth(dataset)
    if not dataset.annotations:
        print_note(
            f"{dataset.source} holds no object: every pixel of its photos counts as "
            f"{dataset.table.names[BACKGROUND_INDEX]}."
        )


def refuse_learned_photos(
    info: "BundleInfo", model: str, dataset: "LabelledSet", allowed: Sequence[Path] | None
) -> None:
    """Refuse photos whose labels a model learned from, unless told by name; then say so.

    Args:
        info: Of the model.
        model: As given on the command line.
        dataset: What shall be scored on.
        allowed: What ``--allow-trained`` was given.

    Raises:
        InputError: There are some, or ``--allow-trained`` names another file.
        ImageError: A photo cannot be used.
    """
    from bunri.evaluation import find_learned_photos

    is_allowed = bool(match_allowed(allowed, [dataset.source], "--allow-trained"))
    if info.photo_hashes is None:
        print_note(
            f"{model} was trained before bunri kept which photos a model learned from: that none "
            "of these are among them is for you to know."
        )
        return
    with show_progress("Looking for photos that it learned from", len(dataset.photos)) as advance:
        names = find_learned_photos(info.photo_hashes, dataset, advance)
    what = (
        f"{len(names)} of {len(dataset.photos)} photos in {dataset.source} are among those that "
        f"{model}, or a teacher of it, learned the labels of"
    )
    if names and is_allowed:
        print_note(f"{what}: this is no score on unseen photos.")
    elif names:
        raise InputError(
            f"{what}:",
            problems=list(map(repr, names)),
            hint="Score on other photos. To see a score on these all the same, name the file: "
            f"--allow-trained {dataset.source}",
        )
