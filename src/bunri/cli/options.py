"""Options and arguments that several commands share, so that they mean the same in each."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bunri.core.errors import InputError, MissingExtraError, suggest
from bunri.labels.rules import OVERLAP_RULES, OverlapRule

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A run folder or a bundle folder.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Where the photos are, if not beside the JSON."),
]
Rule = Annotated[
    str,
    typer.Option(
        "--overlap-rule",
        metavar="RULE",
        help="Who owns a pixel that several objects claim: largest-first (small objects stay "
        "visible), highest-class (2021 baseline), longest-polygon-first.",
    ),
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, help="Photos in a batch of the per-batch mIoU.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]

DEFAULT_RULE = "largest-first"


def parse_rule(name: str) -> OverlapRule:
    """Return an overlap rule by its name.

    Raises:
        InputError: There is no such rule.
    """
    if name not in OVERLAP_RULES:
        known = suggest(name, OVERLAP_RULES)
        raise InputError(f"--overlap-rule: there is no rule {name!r}.{known}")
    return name


def require_torch(what: str) -> None:
    """Say how to install torch before anything fails for the lack of it.

    Args:
        what: What needs it; starts the sentence.

    Raises:
        MissingExtraError: torch is not installed.
    """
    _require_module("torch", what, "train")


def require_plotly(what: str) -> None:
    """Say how to install what draws the plots of pages; see :func:`require_torch`."""
    _require_module("plotly", what, "report")


def _require_module(name: str, what: str, extra: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise MissingExtraError(
            f"{what} needs {name}, which is not installed.",
            hint=f'Install it with: pip install "bunri[{extra}]"',
        )


def check_page(page: Path, option: str, files: Iterable[Path] = ()) -> None:
    """Refuse a place for a page before any work is done for it.

    Args:
        page: Where it shall be.
        option: What the user wrote before it.
        files: What the command reads; must not be replaced.

    Raises:
        InputError: It is no name for a page, or is one of ``files``.
        OutputError: It cannot be written there.
    """
    from bunri.core.files import check_writable

    if page.suffix.lower() not in {".html", ".htm"}:
        raise InputError(f"{option} must end in .html; {page} does not.")
    refuse_replacing(page, option, files)
    check_writable(page)


def refuse_replacing(path: Path, option: str, files: Iterable[Path]) -> None:
    """Refuse to write over one of the files that a command reads.

    Raises:
        InputError: ``path`` is one of ``files``.
    """
    if path.resolve() in {file.resolve() for file in files}:
        raise InputError(
            f"{option} would replace the file {path}.", hint="Choose another name or folder."
        )
