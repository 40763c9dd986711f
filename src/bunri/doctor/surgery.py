"""Repairs of a COCO document, finding by finding, with a record of every change.

A repair never changes the masks, except by leaving out what cannot be drawn, learned or scored.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bunri.core.errors import BunriError
from bunri.core.files import join_under
from bunri.doctor.category_repairs import CATEGORY_REPAIRS, Change
from bunri.doctor.checks import CHECK_OF
from bunri.doctor.examination import CocoFile
from bunri.doctor.findings import Diagnosis, Finding
from bunri.images.photos import read_size_hw
from bunri.labels.outlines import trace_parts
from bunri.labels.rasterize import MIN_POLYGON_POINTS, find_box, trace_runs
from bunri.labels.records import Polygons, RunLengths
from bunri.labels.run_lengths import count_pixels, expand_run_lengths
from bunri.labels.segmentations import RowError, parse_segmentation

Place = tuple[str, int]
"""Name of a list and position in it."""
Row = dict[str, Any]

_REQUIRED_OF_IMAGE = {"id", "height", "width"}
# Findings whose rows are left out.
_DROPS_ROW = frozenset(
    {
        "missing-key", "wrong-type", "dangling-image", "dangling-category", "bad-polygon",
        "not-finite", "far-coordinate", "huge-outline", "wrong-rle-size", "bad-rle",
        "empty-segmentation", "zero-area", "duplicate-annotation", "photo-missing",
        "photo-unreadable", "photo-unsupported", "photo-oversized", "photo-truncated",
        "duplicate-photo", "shared-file-name", "leaked-photo", "near-leaked-photo",
    }
)  # fmt: skip


def repair_document(file: CocoFile, diagnosis: Diagnosis) -> tuple[dict[str, Any], list[Change]]:
    """Return a repaired copy of a document and its changes; the original is not changed."""
    work = _Surgery(file)
    for finding in diagnosis.findings:
        work.treat(finding)
    return work.finish(), work.changes


class _Surgery:
    """Edits rows in place by their original positions; rows are left out at the end."""

    def __init__(self, file: CocoFile) -> None:
        # Rows can be edited in these copies; their values are replaced, never edited.
        self.document: dict[str, Any] = {
            key: [dict(row) if isinstance(row, dict) else row for row in value]
            if isinstance(value, list)
            else value
            for key, value in file.document.items()
        }
        self.changes: list[Change] = []
        self._file = file
        self._dropped: set[tuple[str, int]] = set()
        self._size_hw_of: dict[int, tuple[int, int]] = {
            row["id"]: (row["height"], row["width"])
            for _, row in reversed(list(self._iterate("images")))
            if row.keys() >= _REQUIRED_OF_IMAGE
        }
        self._gone_photos: dict[object, str] = {}  # id -> check because of which it was dropped
        self._has_unclear_images = False
        self._treatments: dict[str, Callable[[str, Place, Row], None]] = {
            **dict.fromkeys(_DROPS_ROW, self._drop),
            "missing-optional-key": self._measure,
            "area-mismatch": self._measure,
            "bbox-mismatch": self._measure,
            "too-few-points": self._drop_short_parts,
            "out-of-frame": self._redraw,
            "self-crossing": self._redraw,
            "duplicate-file-name": self._merge_photo,
            "photo-size-mismatch": self._restate_size,
        }

    def treat(self, finding: Finding) -> None:
        """Repair a finding, if there is a repair for it."""
        name = finding.check.name
        if name == "duplicate-image-id":
            self._has_unclear_images = True
        elif name == "duplicate-annotation-id":
            self._renumber_annotations()
        elif name in CATEGORY_REPAIRS:
            self.changes += CATEGORY_REPAIRS[name](self.document)
        elif name in self._treatments:
            for example in finding.examples:
                if example.row is not None and example.row not in self._dropped:
                    list_name, position = example.row
                    row = self.document[list_name][position]
                    self._treatments[name](name, example.row, row)

    def finish(self) -> dict[str, Any]:
        """Leave out dropped rows, and the objects of dropped photos; number images by position."""
        gone = self._gone_photos.keys() - {row.get("id") for _, row in self._iterate("images")}
        for place, row in self._iterate("annotations"):
            if row.get("image_id") in gone:
                check = self._gone_photos[row["image_id"]]
                self._drop(check, place, row, "drops the object with its photo")
        if not self._has_unclear_images:
            self._renumber_images()
        for name in ("images", "annotations"):
            rows = self.document.get(name)
            if isinstance(rows, list):
                self.document[name] = [
                    row for at, row in enumerate(rows) if (name, at) not in self._dropped
                ]
        return self.document

    def _note(self, check: str, place: Place, action: str, *values: object) -> None:
        self.changes.append(Change.describe(check, place, action, *values))

    def _drop(self, check: str, place: Place, row: Row, action: str = "") -> None:
        if place[0] == "categories":
            return  # all objects of a class would go with it
        self._dropped.add(place)
        self._note(check, place, action or CHECK_OF[check].repair, row)
        if place[0] == "images" and isinstance(row, dict):
            self._gone_photos[row.get("id")] = check

    def _iterate(self, name: str) -> Iterator[tuple[Place, Row]]:
        """Yield (place, row) of the rows of a list that are objects and not left out."""
        rows = self.document.get(name)
        for position, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and (name, position) not in self._dropped:
                yield (name, position), row

    def _trace(self, row: Row) -> RunLengths:
        size_hw = self._size_hw_of[row["image_id"]]
        return trace_runs(parse_segmentation(row["segmentation"], size_hw), size_hw)

    def _measure(self, check: str, place: Place, row: Row) -> None:
        """Compute 'area' and 'bbox' from what is drawn, and fill in 'iscrowd'."""
        runs = self._trace(row)
        new = {"area": count_pixels(runs), "bbox": list(find_box(runs))}
        if row.get("iscrowd") is None:
            new["iscrowd"] = 0
        old = {key: row.get(key) for key in new}
        row.update(new)
        self._note(check, place, "computes area and bbox from the drawn object", old, new)

    def _drop_short_parts(self, check: str, place: Place, row: Row) -> None:
        parts = row["segmentation"]
        kept = [part for part in parts if len(part) >= 2 * MIN_POLYGON_POINTS]
        if not kept:
            self._drop(check, place, row, "drops the object: no polygon is left")
            return
        row["segmentation"] = kept
        self._note(check, place, "drops the polygons that draw nothing", parts, kept)
        self._measure(check, place, row)

    def _redraw(self, check: str, place: Place, row: Row) -> None:
        before, runs = row["segmentation"], self._trace(row)
        if not count_pixels(runs):
            self._drop(check, place, row, "drops the object: nothing of it is in the photo")
            return
        row["segmentation"] = [part.tolist() for part in trace_parts(expand_run_lengths(runs))]
        self._note(check, place, CHECK_OF[check].repair, before, row["segmentation"])
        self._measure(check, place, row)

    def _merge_photo(self, check: str, place: Place, image: Row) -> None:
        """Give the objects of a file's later entry to its first one."""
        first = next(
            row for _, row in self._iterate("images") if row.get("file_name") == image["file_name"]
        )
        if (first["height"], first["width"]) != (image["height"], image["width"]):
            return
        for other, row in self._iterate("annotations"):
            if row.get("image_id") == image["id"]:
                row["image_id"] = first["id"]
                self._note(check, other, "refers to the first entry", image["id"], first["id"])
        self._dropped.add(place)
        self._note(check, place, "drops the later entry", image)

    def _restate_size(self, check: str, place: Place, image: Row) -> None:
        """Write the photo's own size, if every outline fits into it."""
        try:
            size_hw = read_size_hw(join_under(self._file.image_root, image["file_name"]))
        except BunriError:
            return
        objects = [
            row for _, row in self._iterate("annotations") if row.get("image_id") == image["id"]
        ]
        if not all(_fits_into(row.get("segmentation"), size_hw) for row in objects):
            return
        before = image["height"], image["width"]
        image["height"], image["width"] = self._size_hw_of[image["id"]] = size_hw
        self._note(check, place, "states the photo's own height and width", before, size_hw)

    def _renumber_annotations(self) -> None:
        for new_id, (place, row) in enumerate(self._iterate("annotations")):
            if row.get("id") != new_id:
                self._note("duplicate-annotation-id", place, "numbers anew", row.get("id"), new_id)
                row["id"] = new_id

    def _renumber_images(self) -> None:
        """Make each image id its position, as the competition's notebooks assume."""
        images = [row for _, row in self._iterate("images")]
        new_id = {row["id"]: position for position, row in enumerate(images)}
        moved = {old: new for old, new in new_id.items() if old != new}
        if not moved:
            return
        for row in images:
            row["id"] = new_id[row["id"]]
        for _, row in self._iterate("annotations"):
            row["image_id"] = new_id.get(row["image_id"], row["image_id"])
        old, new = next(iter(moved.items()))
        note = f"makes {len(moved)} image ids their positions, such as"
        self.changes.append(Change("ids-not-positions", "images", note, str(old), str(new)))


def _fits_into(segmentation: object, size_hw: tuple[int, int]) -> bool:
    """Return whether an outline stays inside of a photo of another size than was stated."""
    try:
        shape = parse_segmentation(segmentation, size_hw)
    except RowError:
        return False
    if not isinstance(shape, Polygons):
        return True
    height, width = size_hw
    points = np.concatenate([np.zeros(0), *shape.parts]).reshape(-1, 2)
    return bool(((points >= 0) & (points <= (width, height))).all())
