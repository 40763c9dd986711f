"""Split of a COCO file: ``split_dataset`` writes training and validation files without leaks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.errors import AnnotationError, ImageError, OutputError, RunError, summarize
from bunri.core.files import lock_folder, replace_folder, write_json
from bunri.core.progress import Progress, show_nothing
from bunri.images.similarity import find_twins, fingerprint_photo
from bunri.labels.coco import read_coco, require_labels
from bunri.labels.document import read_document, select_photos, write_document
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.split.balance import Contents, IntArray, measure_contents
from bunri.split.folds import Parts, refuse_impossible, split_groups
from bunri.split.groups import Group, join_photos, match_names, require_matches
from bunri.split.leaks import Leak, LeakKind, SplitPhoto, find_leaks
from bunri.split.report import describe_split

REPORT_NAME = "report.json"
_WITHOUT_PHOTOS = "To split by names alone, without opening the photos: --no-photos."


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """Data to split, and settings of the split.

    Attributes:
        parts: Parts to make, see :meth:`Parts.make_folds` and :meth:`Parts.make_sides`.
        images: Folder of the photos; None for the folder of ``data``.
        pattern: Regular expression; photos whose names share the text it matches stay together.
        against: Other COCO files that must share no photo, each with the folder of its photos.
        allowed: Kinds of leaks that are reported but do not prevent the split.
        reads_photos: Whether photos are opened to find copies; without, only names are compared.
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
    """A split before it is written.

    Attributes:
        files: Name of a file to write -> ids of its photos, in file order.
        leaks: All leaks, also allowed ones.
        refused: Leaks that are not allowed; with any, the split is not written.
    """

    dataset: LabelledSet
    files: Mapping[str, tuple[int, ...]]
    report: dict[str, Any]
    leaks: tuple[Leak, ...]
    refused: tuple[Leak, ...]


def split_dataset(
    request: SplitRequest, folder: Path, progress: Progress = show_nothing
) -> SplitPlan:
    """Split a labelled COCO file; write the parts unless they share photos (``refused``).

    Every class is put into every part where the photos allow it, and copies of a photo stay
    together. Files are ``train.json`` and ``val.json``, or ``fold_0/train.json`` and so on for
    folds, with ids numbered anew, and ``report.json``.

    Raises:
        RunError, InputError, OutputError: The folder or the data cannot be used.
    """
    _refuse_used(folder)
    plan = _plan_split(request, progress)
    if not plan.refused:
        _write_split(plan, folder)
    return plan


def _plan_split(request: SplitRequest, progress: Progress) -> SplitPlan:
    """Assign photos to parts and search for leaks; nothing is written."""
    dataset = require_labels(read_coco(request.data, image_root=request.images))
    others = [read_coco(path, image_root=root) for path, root in request.against]
    names, shares = [photo.file_name for photo in dataset.photos], request.parts.shares
    refuse_impossible(len(names), len(names), shares)
    require_matches(names, request.pattern)
    photos = _name_photos([dataset, *others], request.pattern)
    if request.reads_photos:
        photos = _read_prints([dataset, *others], photos, progress, _WITHOUT_PHOTOS)
    own, *theirs = photos
    num_twins, groups, contents, part_of = _deal_photos(
        [dataset], own, shares, request.rule, request.seed, progress
    )
    leaks = _find_leaks(request, own, theirs, part_of, progress)
    report = {
        "data": str(request.data),
        "against": [str(path) for path, _ in request.against],
        "seed": request.seed,
        "overlap_rule": request.rule,
        "group_pattern": request.pattern,
        "num_names_matched": sum(photo.group is not None for photo in own),
        "near_duplicates": "looked for" if request.reads_photos else "not looked for",
        "num_twin_pairs": num_twins if request.reads_photos else None,
        **describe_split(dataset, contents, groups, request.parts, part_of),
        "leaks": [asdict(leak) for leak in leaks],
        "allowed_leaks": sorted(request.allowed),
    }
    refused = tuple(leak for leak in leaks if leak.kind not in request.allowed)
    files = _list_files(dataset, request.parts, part_of)
    return SplitPlan(dataset, files, report, tuple(leaks), refused)


def _refuse_used(folder: Path) -> None:
    is_file = folder.exists() and not folder.is_dir()
    if is_file or (folder.exists() and any(path.name != ".lock" for path in folder.iterdir())):
        what = "a file" if is_file else "not empty"
        raise RunError(f"{folder} is {what}.", hint="Choose another folder with --out.")


def _write_split(plan: SplitPlan, folder: Path) -> None:
    """Write all files of a split, or none."""
    try:
        folder = folder.resolve()  # "." has no name; a link stands for its target
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{folder} cannot be followed: {summarize(error)}.") from error
    document = read_document(plan.dataset.source)
    with lock_folder(folder):
        _refuse_used(folder)
        with replace_folder(folder) as temporary:
            for name, photo_ids in plan.files.items():
                write_document(temporary / name, select_photos(document, photo_ids))
            write_json(temporary / REPORT_NAME, plan.report)


def deal_into_folds(
    datasets: Sequence[LabelledSet],
    num_folds: int,
    rule: OverlapRule,
    seed: int,
    progress: Progress = show_nothing,
) -> list[list[int]]:
    """Return the fold, from 0, of each photo of each set; copies are in one fold, also across sets.

    Raises:
        InputError: A photo cannot be used, or there are too few.
    """
    counts = [len(dataset.photos) for dataset in datasets]
    shares = Parts.make_folds(num_folds).shares
    refuse_impossible(sum(counts), sum(counts), shares)
    photos = _read_prints(datasets, _name_photos(datasets, None), progress, "")
    own = [photo for part in photos for photo in part]
    *_, part_of = _deal_photos(datasets, own, shares, rule, seed, progress)
    return [part.tolist() for part in np.split(part_of, np.cumsum(counts)[:-1])]


def _deal_photos(
    datasets: Sequence[LabelledSet],
    own: Sequence[SplitPhoto],
    shares: Sequence[float],
    rule: OverlapRule,
    seed: int,
    progress: Progress,
) -> tuple[int, list[Group], Contents, IntArray]:
    """Return the number of twins, groups, contents and part of each photo, int64 (photos,)."""
    prints = [photo.print for photo in own if photo.print is not None]
    twins = []
    if prints:
        with progress("Comparing photos", len(prints)) as advance:
            twins = find_twins(prints, advance=advance)
    links = [(pair.first, pair.second) for pair in twins]
    groups = join_photos(len(own), links, [photo.group for photo in own])
    refuse_impossible(len(own), len(groups), shares)
    with progress("Drawing masks", len(own)) as advance:
        measured = [measure_contents(dataset, rule, advance) for dataset in datasets]
    contents = Contents(
        np.concatenate([part.pixels for part in measured]),
        np.concatenate([part.areas for part in measured]),
    )
    return len(twins), groups, contents, split_groups(contents, groups, shares, seed)


def _name_photos(datasets: Sequence[LabelledSet], pattern: str | None) -> list[list[SplitPhoto]]:
    """Return the photos of each set without fingerprints."""
    photos = []
    for dataset in datasets:
        names = [photo.file_name for photo in dataset.photos]
        keys = match_names(names, pattern)
        photos.append([SplitPhoto(n, None, key) for n, key in zip(names, keys, strict=True)])
    return photos


def _read_prints(
    datasets: Sequence[LabelledSet],
    named: Sequence[Sequence[SplitPhoto]],
    progress: Progress,
    hint: str,
) -> list[list[SplitPhoto]]:
    """Return the photos of each set with fingerprints; all faults at once, followed by ``hint``."""
    missing = [problem for dataset in datasets for problem in dataset.find_missing_photos()]
    if missing:
        roots = ", ".join(str(dataset.image_root) for dataset in datasets)
        raise AnnotationError(
            f"{len(missing)} photo(s) are missing:",
            problems=missing,
            hint=f"They were looked for in {roots}; choose another folder with --images "
            f"(--against-images). {hint}",
        )
    photos: list[list[SplitPhoto]] = [[] for _ in datasets]
    problems = []
    with progress("Reading photos", sum(map(len, named))) as advance:
        for dataset, part, done in zip(datasets, named, photos, strict=True):
            for photo, known in zip(dataset.photos, part, strict=True):
                try:
                    print_ = fingerprint_photo(read_photo_as_labelled(dataset, photo))
                    done.append(replace(known, print=print_))
                except ImageError as error:
                    problems.append(error.message)
                advance()
    if problems:
        raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems, hint=hint)
    return photos


def _find_leaks(
    request: SplitRequest,
    own: Sequence[SplitPhoto],
    theirs: Sequence[list[SplitPhoto]],
    part_of: IntArray,
    progress: Progress,
) -> list[Leak]:
    """Return leaks between the parts, and between them and the files that must be apart."""
    splits: dict[str, list[SplitPhoto]] = {name: [] for name in request.parts.names}
    for photo, part in zip(own, part_of.tolist(), strict=True):
        splits[request.parts.names[part]].append(photo)
    for (path, _), photos in zip(request.against, theirs, strict=True):
        splits[str(path)] = photos
    num_prints = sum(photo.print is not None for part in splits.values() for photo in part)
    with progress("Searching for leaks", num_prints) as advance:
        leaks = find_leaks(splits, advance)
    # Leaks between two of the other files are not caused by this split.
    return [leak for leak in leaks if leak.first_split in request.parts.names]


def _list_files(
    dataset: LabelledSet, parts: Parts, part_of: IntArray
) -> dict[str, tuple[int, ...]]:
    """Return name of a file -> ids of its photos; each fold is validation once."""
    ids = np.array([photo.id for photo in dataset.photos], object)
    files = {}
    for part, name in enumerate(parts.names):
        if parts.are_folds:
            files[f"{name}/train.json"] = tuple(ids[part_of != part])
        files[f"{name}/val.json" if parts.are_folds else f"{name}.json"] = tuple(
            ids[part_of == part]
        )
    return files
