"""Repairs of the category list, each in place, and the record of a change by any repair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from bunri.doctor.category_names import find_cycles, find_moved_ids, find_renamed
from bunri.labels.document import dump_json


@dataclass(frozen=True, slots=True)
class Change:
    """One change by a repair.

    Attributes:
        where: List and position in the *original* file.
        before: Old value as JSON, cut to 200 characters.
    """

    check: str
    where: str
    action: str
    before: str = ""
    after: str = ""

    @classmethod
    def describe(cls, check: str, row: tuple[str, int], action: str, *values: object) -> Self:
        """Return the change of a row; ``values`` are the old and the new one, or none."""
        return cls(check, f"{row[0]}[{row[1]}]", action, *map(_show, values))


def _show(value: object) -> str:
    text = dump_json(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _rename(document: dict[str, Any]) -> list[Change]:
    changes = []
    renamed = find_renamed(_read_names(document))
    for place, row in _iterate(document):
        if row.get("id") in renamed:
            name = renamed[row["id"]]
            note = "renames the category"
            changes.append(Change.describe("renamed-category", place, note, row["name"], name))
            row["name"] = name
    return changes


def _restore_ids(document: dict[str, Any]) -> list[Change]:
    moved = find_moved_ids(_read_names(document))
    ids = [moved.get(row.get("id"), row.get("id")) for _, row in _iterate(document)]
    if len(set(ids)) < len(ids):
        return []  # a category of another name has one of the usual ids
    changes = []
    for place, row in _iterate(document):
        if row.get("id") in moved:
            old_id, row["id"] = row["id"], moved[row["id"]]
            note = "restores the usual id, in its objects too"
            changes.append(Change.describe("renumbered-categories", place, note, old_id, row["id"]))
    for row in document.get("annotations") or ():
        if isinstance(row, dict) and row.get("category_id") in moved:
            row["category_id"] = moved[row["category_id"]]
    return changes


def _cut_cycles(document: dict[str, Any]) -> list[Change]:
    in_cycle = {name for cycle in find_cycles(document["categories"]) for name in cycle}
    changes = []
    for place, row in _iterate(document):
        if row.get("name") in in_cycle:
            before, note = row.pop("supercategory"), "removes the supercategory"
            changes.append(Change.describe("category-cycle", place, note, before))
    return changes


def _iterate(document: dict[str, Any]) -> Iterator[tuple[tuple[str, int], Any]]:
    """Yield (place, row) of the rows of the category list that are objects."""
    for position, row in enumerate(document["categories"]):
        if isinstance(row, dict):
            yield ("categories", position), row


def _read_names(document: dict[str, Any]) -> dict[int, str]:
    return {
        row["id"]: row["name"]
        for _, row in _iterate(document)
        if type(row.get("id")) is int and isinstance(row.get("name"), str)
    }


CATEGORY_REPAIRS: dict[str, Callable[[dict[str, Any]], list[Change]]] = {
    "renamed-category": _rename,
    "renumbered-categories": _restore_ids,
    "category-cycle": _cut_cycles,
}
