"""Checks of the three lists of a COCO file: keys, ids, references and category names."""

from pathlib import Path
from typing import Any

from bunri.doctor.category_names import find_cycles, find_moved_ids, find_renamed, find_unknown
from bunri.doctor.findings import Findings
from bunri.labels.coco_rows import CocoRows, Example, read_rows

_OPTIONAL_KEYS = ("area", "bbox", "iscrowd")


def check_structure(document: dict[str, Any], root: Path, findings: Findings) -> CocoRows:
    """Check the three lists of a COCO document and return the usable rows."""
    rows = read_rows(document, root, findings.add)
    if not rows.is_labelled:
        findings.add("no-labels", Example("there is no key 'annotations'"))
    _check_image_ids(document, rows, findings)
    _compare_with_competition(rows.categories, findings)
    for cycle in find_cycles(document.get("categories")):
        findings.add("category-cycle", Example(" > ".join([*cycle, cycle[0]])))
    for objects in rows.objects.values():
        for item in objects:
            missing = [key for key in _OPTIONAL_KEYS if item.row.get(key) is None]
            if missing:
                note = f"no {', '.join(missing)}"
                findings.add("missing-optional-key", item.describe(note))
    return rows


def _check_image_ids(document: dict[str, Any], rows: CocoRows, findings: Findings) -> None:
    positions = rows.position_of_photo
    moved = [id_ for id_, position in positions.items() if id_ != position]
    # After a row that is missing or repeats an id, positions are no measure.
    if moved and len(positions) == len(document["images"]):
        note = f"images[{positions[moved[0]]}] has id {moved[0]}; {len(moved)} of {len(positions)}"
        findings.add("ids-not-positions", rows.describe(rows.photos[moved[0]], f"{note} differ"))


def _compare_with_competition(categories: dict[int, str], findings: Findings) -> None:
    """Report names and ids that are nearly, but not quite, the competition's."""
    renamed = find_renamed(categories)
    for id_, name in renamed.items():
        note = f"category {id_}: {categories[id_]!r}, usually {name!r}"
        findings.add("renamed-category", Example(note))
    for id_ in find_unknown(categories):
        if id_ not in renamed:
            findings.add("unknown-category", Example(f"category {id_}: {categories[id_]!r}"))
    moved = find_moved_ids(categories)
    if moved:
        id_, usual_id = next(iter(moved.items()))
        note = f"{categories[id_]!r} has id {id_}, usually {usual_id}; {len(moved)} moved"
        findings.add("renumbered-categories", Example(note))
