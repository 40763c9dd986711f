"""Checks that compare photos and classes with each other: overlap, copies, other splits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.classes import normalize_name
from bunri.core.progress import Advance
from bunri.doctor.checks import RARE_PHOTOS
from bunri.doctor.findings import Findings
from bunri.images.similarity import Fingerprint, find_twins
from bunri.labels.coco_rows import CocoRows, Example
from bunri.labels.overlap import Contest, draw_mask
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule

_RULE: OverlapRule = "largest-first"


@dataclass(slots=True)
class ExaminedSet:
    """One file after the checks that need no other file.

    Attributes:
        labelled: Its usable labels; None if its categories make no class table.
        contests: Photo id -> pixels that the overlap rule decides, for photos with any.
        prints: File name -> fingerprint, for photos that could be decoded.
    """

    root: Path
    rows: CocoRows
    labelled: LabelledSet | None
    contests: dict[int, Contest] = field(default_factory=dict)
    prints: dict[str, Fingerprint] = field(default_factory=dict)

    def list_printed(self) -> tuple[list[Photo], list[Fingerprint]]:
        """Return photos with a fingerprint, each file once, and the fingerprints."""
        first = {photo.file_name: photo for photo in reversed(self.rows.photos.values())}
        photos = [p for p in self.rows.photos.values() if first[p.file_name] is p]
        photos = [photo for photo in photos if photo.file_name in self.prints]
        return photos, [self.prints[photo.file_name] for photo in photos]


def check_labels(
    examined: ExaminedSet, document: dict[str, Any], findings: Findings
) -> dict[str, float]:
    """Check for unlabelled photos, rare classes and overlap; return figures for the summary."""
    rows = examined.rows
    if not rows.is_labelled:
        return {}
    listed = document["annotations"] if isinstance(document["annotations"], list) else []
    # An object that is at fault itself is a label nevertheless.
    labelled_ids = {
        row["image_id"]
        for row in listed
        if isinstance(row, dict) and type(row.get("image_id")) is int
    }
    for photo in rows.photos.values():
        if photo.id not in labelled_ids:
            findings.add("unlabelled-photo", rows.describe(photo, "no annotation refers to it"))
    for name, count in _count_photos(rows).items():
        if count < RARE_PHOTOS and rows.photos:
            findings.add("rare-class", Example(f"{name}: {count} photo(s)"))
    return _check_overlap(examined, findings)


def _count_photos(rows: CocoRows) -> dict[str, int]:
    """Return category name -> number of photos with an object of that category, in id order."""
    present = Counter(
        id_ for items in rows.objects.values() for id_ in {item.category_id for item in items}
    )
    return {name: present[id_] for id_, name in rows.categories.items()}


def _check_overlap(examined: ExaminedSet, findings: Findings) -> dict[str, float]:
    """Report each photo with overlap once, under the graver check if the rules disagree."""
    rows = examined.rows
    for photo_id, contest in examined.contests.items():
        photo = rows.photos[photo_id]
        percent = 100 * contest.contested_px / (photo.height_px * photo.width_px)
        note = f"{contest.contested_px} px ({percent:.2f} %) contested; the rules"
        if contest.differing_px:
            note += f" differ in {contest.differing_px} px"
            findings.add("overlap-rule-matters", rows.describe(photo, note))
        else:
            findings.add("overlap", rows.describe(photo, f"{note} agree"))
    total_px = sum(photo.height_px * photo.width_px for photo in rows.photos.values())
    contested_px = sum(contest.contested_px for contest in examined.contests.values())
    return {"contested_pixel_share": contested_px / max(1, total_px)}


def check_copies(examined: ExaminedSet, findings: Findings, advance: Advance) -> None:
    """Search for photos that are in the set more than once, identical or slightly changed."""
    rows, labelled = examined.rows, examined.labelled
    photos, prints = examined.list_printed()
    first: dict[str, Photo] = {}
    for photo, print_ in zip(photos, prints, strict=True):
        twin = first.setdefault(print_.pixel_hash, photo)
        if twin is photo:
            continue
        name = twin.file_name
        check, note = "duplicate-photo", f"the same pixels as {name}"
        masks = [draw_mask(labelled, p, _RULE) for p in (twin, photo)] if labelled else []
        if masks and not np.array_equal(masks[0], masks[1]):
            check, note = "conflicting-labels", f"{note}, other labels"
        findings.add(check, rows.describe(photo, note, other=name))
    for one, other, similarity in _iterate_near(prints, None, advance):
        name = photos[one].file_name
        note = f"similarity {similarity:.3f} to {name}"
        findings.add("near-duplicate-photo", rows.describe(photos[other], note, other=name))


def _iterate_near(
    prints: Sequence[Fingerprint], others: Sequence[Fingerprint] | None, advance: Advance
) -> Iterator[tuple[int, int, float]]:
    """Yield (first, second, similarity): each second once, with the first most similar to it."""
    best: dict[int, tuple[float, int]] = {}
    for twins in find_twins(prints, others, advance):
        if not twins.is_exact:
            entry = (twins.similarity, twins.first)
            best[twins.second] = max(best.get(twins.second, entry), entry)
    for second, (similarity, first) in sorted(best.items()):
        yield first, second, similarity


def check_against_names(examined: ExaminedSet, other: ExaminedSet, findings: Findings) -> None:
    """Compare names and classes of two files that should have no photo in common."""
    rows = examined.rows
    taken = {_resolve(other.root, photo) for photo in other.rows.photos.values()}
    for photo in rows.photos.values():
        if _resolve(examined.root, photo) in taken:
            note = "the other file lists it too"
            findings.add("shared-file-name", rows.describe(photo, note, other=photo.file_name))
    ids, other_ids = ({normalize_name(n): i for i, n in r.categories.items()}
                      for r in (rows, other.rows))  # fmt: skip
    if ids and other_ids:
        for name in sorted(ids.keys() | other_ids.keys()):
            here, there = ids.get(name, "none"), other_ids.get(name, "none")
            if here != there:
                note = f"{name!r}: id {here} here, {there} there"
                findings.add("categories-differ", Example(note))
    if rows.is_labelled and other.rows.is_labelled:
        num_there = _count_photos(other.rows)
        for name, here in _count_photos(rows).items():
            there = num_there.get(name, 0)
            if bool(here) != bool(there):
                note = f"{name}: {here} photo(s) here, {there} there"
                findings.add("class-absent", Example(note))


def _resolve(root: Path, photo: Photo) -> str:
    return str(root.resolve() / photo.file_name.replace("\\", "/"))


def check_against_pixels(
    examined: ExaminedSet, other: ExaminedSet, findings: Findings, advance: Advance
) -> None:
    """Search for photos of one file in the other, identical or slightly changed."""
    rows = examined.rows
    photos, prints = examined.list_printed()
    other_photos, other_prints = other.list_printed()
    named = {_resolve(other.root, photo) for photo in other_photos}
    hashes: dict[str, str] = {}
    for photo, print_ in zip(other_photos, other_prints, strict=True):
        hashes.setdefault(print_.pixel_hash, photo.file_name)
    for photo, print_ in zip(photos, prints, strict=True):
        if print_.pixel_hash in hashes and _resolve(examined.root, photo) not in named:
            name = hashes[print_.pixel_hash]
            note = f"the same pixels as {name} there"
            findings.add("leaked-photo", rows.describe(photo, note, other=name))
    for one, there, similarity in _iterate_near(other_prints, prints, advance):
        name = other_photos[one].file_name
        note = f"similarity {similarity:.3f} to {name} there"
        findings.add("near-leaked-photo", rows.describe(photos[there], note, other=name))
