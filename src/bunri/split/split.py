"""One COCO file to training and validation files that have no photo in common.

Owns the steps from a request to written files, and the report. Knows nothing of the command
line; how parts are chosen is in ``folds``, what a leak is in ``leaks``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.errors import AnnotationError, ImageError, OutputError, RunError, summarize
from bunri.core.files import lock_folder, replace_folder, write_json
from bunri.core.progress import Progress
from bunri.images.similarity import Twins, find_twins, fingerprint_photo
from bunri.labels.coco import read_coco, require_labels
from bunri.labels.document import read_document, select_photos, write_document
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.split.balance import Contents, IntArray, join_contents, measure_contents
from bunri.split.folds import Parts, refuse_impossible, split_groups
from bunri.split.groups import Group, join_photos, match_names, require_matches
from bunri.split.leaks import Leak, LeakKind, SplitPhoto, find_leaks
from bunri.split.report import describe_split

REPORT_NAME = "report.json"
_WITHOUT = "To split by names alone, without a look at the photos: --no-photos."


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """What to split, and how.

    Attributes:
        data: A labelled COCO file.
        parts: What the parts are.
        images: Where the photos are, None for beside ``data``.
        pattern: Photos whose names have what it matches in common stay together.
        seed: The same seed gives the same split.
        rule: Who owns a pixel that several objects claim.
        against: Other COCO files, with where their photos are, that must share no photo.
        allowed: Kinds of leaks that are no reason to refuse.
        reads_photos: Whether photos are opened to find twins; without, names must do.
    """

    data: Path
    parts: Parts
    images: Path | None = None
    pattern: str | None = None
    seed: int = 0
    rule: OverlapRule = "largest-first"
    against: tuple[tuple[Path, Path | None], ...] = ()
    allowed: frozenset[LeakKind] = frozenset()
    reads_photos: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SplitPlan:
    """A split that is decided but not written.

    Attributes:
        dataset: What is split.
        files: Name of a file to write -> ids of its photos, in file order.
        report: What goes into report.json.
        leaks: All that were found, allowed ones too.
        refused: Those that are not allowed; the split must not be written.
    """

    dataset: LabelledSet
    files: Mapping[str, tuple[int, ...]]
    report: dict[str, Any]
    leaks: tuple[Leak, ...]
    refused: tuple[Leak, ...]


def plan_split(request: SplitRequest, track: Progress) -> SplitPlan:
    """Decide who goes where, and look for leaks in the result; writes nothing.

    Raises:
        BunriError: Whatever is wrong with the data, its photos or the request.
    """
    dataset = require_labels(read_coco(request.data, image_root=request.images))
    others = [read_coco(path, image_root=root) for path, root in request.against]
    names, shares = [photo.file_name for photo in dataset.photos], request.parts.shares
    refuse_impossible(len(names), len(names), shares)
    require_matches(names, request.pattern)
    if request.reads_photos:
        own, *theirs = _look_at_photos([dataset, *others], request.pattern, track, _WITHOUT)
    else:
        own, *theirs = _name_photos([dataset, *others], request.pattern)
    dealt = _deal_photos([dataset], own, shares, request.rule, request.seed, track)
    leaks = _find_leaks(request, own, theirs, dealt.part_of, track)
    report = {
        "data": str(request.data),
        "against": [str(path) for path, _ in request.against],
        "seed": request.seed,
        "overlap_rule": request.rule,
        "group_pattern": request.pattern,
        "num_names_matched": sum(photo.group is not None for photo in own),
        "near_duplicates": "looked for" if request.reads_photos else "not looked for",
        "num_twin_pairs": dealt.num_twins if request.reads_photos else None,
        **describe_split(dataset, dealt.contents, dealt.groups, request.parts, dealt.part_of),
        "leaks": [leak.to_json() for leak in leaks],
        "allowed_leaks": sorted(request.allowed),
    }
    refused = tuple(leak for leak in leaks if leak.kind not in request.allowed)
    files = _list_files(dataset, request.parts, dealt.part_of)
    return SplitPlan(dataset, files, report, tuple(leaks), refused)


def refuse_used(folder: Path) -> None:
    """Refuse a folder in which there is something.

    Raises:
        RunError: It is a file, or not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.", hint="Choose another folder with --out.")
    if folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
        raise RunError(f"{folder} is not empty.", hint="Choose another folder with --out.")


def write_split(plan: SplitPlan, folder: Path) -> None:
    """Write all files of a split, or none.

    Raises:
        RunError: The folder is in use or not empty.
        OutputError: It cannot be written.
    """
    try:
        folder = folder.resolve()  # "." has no name, and what a link points to is what is meant
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{folder} cannot be followed: {summarize(error)}.") from error
    document = read_document(plan.dataset.source)
    with lock_folder(folder):
        refuse_used(folder)
        with replace_folder(folder) as temporary:
            for name, photo_ids in plan.files.items():
                write_document(temporary / name, select_photos(document, photo_ids))
            write_json(temporary / REPORT_NAME, plan.report)


def deal_into_folds(
    datasets: Sequence[LabelledSet], num_folds: int, rule: OverlapRule, seed: int, track: Progress
) -> list[list[int]]:
    """Return the fold, from 0, of each photo of each set; copies are in one fold, also across sets.

    Args:
        datasets: Labelled sets with one class table.
        num_folds: At least 2.
        rule: Who owns a pixel that several objects claim.
        seed: The same seed gives the same folds.
        track: Shows how it goes.

    Raises:
        BunriError: A photo cannot be used, or there are too few.
    """
    counts = [len(dataset.photos) for dataset in datasets]
    shares = Parts.make_folds(num_folds).shares
    refuse_impossible(sum(counts), sum(counts), shares)
    looked = _look_at_photos(datasets, None, track, "")
    own = [photo for part in looked for photo in part]
    part_of = _deal_photos(datasets, own, shares, rule, seed, track).part_of
    return [part.tolist() for part in np.split(part_of, np.cumsum(counts)[:-1])]


@dataclass(frozen=True, slots=True, eq=False)
class _Dealt:
    """Who goes where: ``part_of`` is int64 (photos,); and what that was decided by."""

    num_twins: int
    groups: list[Group]
    contents: Contents
    part_of: IntArray


def _deal_photos(
    datasets: Sequence[LabelledSet],
    own: Sequence[SplitPhoto],
    shares: Sequence[float],
    rule: OverlapRule,
    seed: int,
    track: Progress,
) -> _Dealt:
    """Decide for the photos ``own`` of all sets, in order."""
    twins = _find_own_twins(own, track)
    links = [(pair.first, pair.second) for pair in twins]
    groups = join_photos(len(own), links, [photo.group for photo in own])
    refuse_impossible(len(own), len(groups), shares)
    with track("Drawing masks", len(own)) as advance:
        contents = join_contents([measure_contents(d, rule, advance) for d in datasets])
    return _Dealt(len(twins), groups, contents, split_groups(contents, groups, shares, seed))


def _name_photos(datasets: Sequence[LabelledSet], pattern: str | None) -> list[list[SplitPhoto]]:
    """Return what is known of the photos of each data set without opening them."""
    names = [[photo.file_name for photo in dataset.photos] for dataset in datasets]
    return [
        [
            SplitPhoto(name, None, key)
            for name, key in zip(part, match_names(part, pattern), strict=True)
        ]
        for part in names
    ]


def _look_at_photos(
    datasets: Sequence[LabelledSet], pattern: str | None, track: Progress, without: str
) -> list[list[SplitPhoto]]:
    """Return what is known of the photos of each data set; all faults at once.

    Args:
        datasets: Whose photos.
        pattern: See :class:`SplitRequest`.
        track: Shows how it goes.
        without: How to do without a look at the photos; for messages.
    """
    missing = [problem for dataset in datasets for problem in dataset.find_missing_photos()]
    if missing:
        roots = ", ".join(str(dataset.image_root) for dataset in datasets)
        where = f"They were looked for in {roots}; choose another folder with --images"
        raise AnnotationError(
            f"{len(missing)} photo(s) are missing:",
            problems=missing,
            hint=f"{where} (--against-images). {without}",
        )
    looked: list[list[SplitPhoto]] = []
    problems = []
    named = _name_photos(datasets, pattern)
    with track("Reading photos", sum(map(len, named))) as advance:
        for dataset, part in zip(datasets, named, strict=True):
            looked.append([])
            for photo, known in zip(dataset.photos, part, strict=True):
                try:
                    print_ = fingerprint_photo(read_photo_as_labelled(dataset, photo))
                    looked[-1].append(replace(known, print=print_))
                except ImageError as error:
                    problems.append(error.message)
                advance()
    if problems:
        what = f"{len(problems)} photo(s) cannot be used:"
        raise ImageError(what, problems=problems, hint=without)
    return looked


def _find_own_twins(own: Sequence[SplitPhoto], track: Progress) -> list[Twins]:
    prints = [photo.print for photo in own if photo.print is not None]
    if not prints:
        return []
    with track("Comparing photos", len(prints)) as advance:
        return find_twins(prints, advance=advance)


def _find_leaks(
    request: SplitRequest,
    own: Sequence[SplitPhoto],
    theirs: Sequence[list[SplitPhoto]],
    part_of: IntArray,
    track: Progress,
) -> list[Leak]:
    """Return leaks between the parts, and between them and the files that must be apart."""
    splits: dict[str, list[SplitPhoto]] = {name: [] for name in request.parts.names}
    for photo, part in zip(own, part_of.tolist(), strict=True):
        splits[request.parts.names[part]].append(photo)
    for (path, _), photos in zip(request.against, theirs, strict=True):
        splits[str(path)] = photos
    num_prints = sum(photo.print is not None for part in splits.values() for photo in part)
    with track("Looking for leaks", num_prints) as advance:
        leaks = find_leaks(splits, advance)
    # What two of the other files have in common is not this split's doing.
    return [leak for leak in leaks if leak.first_split in request.parts.names]


def _list_files(
    dataset: LabelledSet, parts: Parts, part_of: IntArray
) -> dict[str, tuple[int, ...]]:
    """Return name of a file -> ids of its photos; each fold is validation once."""
    pairs = list(zip(dataset.photos, part_of.tolist(), strict=True))
    files = {}
    for part, name in enumerate(parts.names):
        inside = tuple(photo.id for photo, its_part in pairs if its_part == part)
        if parts.are_folds:
            outside = tuple(photo.id for photo, its_part in pairs if its_part != part)
            files[f"{name}/train.json"] = outside
            files[f"{name}/val.json"] = inside
        else:
            files[f"{name}.json"] = inside
    return files
