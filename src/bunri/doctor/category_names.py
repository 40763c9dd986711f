"""Comparison of a category list with the competition's, for checks and repairs."""

import difflib

from bunri.core.classes import normalize_name
from bunri.core.errors import InputError
from bunri.core.waste_classes import BACKGROUND_NAMES, COMPETITION_TABLE, choose_class_table

_USUAL_INDEX = {
    normalize_name(name): index for index, name in enumerate(COMPETITION_TABLE.names) if index
}


def find_unknown(categories: dict[int, str]) -> list[int]:
    """Return ids of categories that are not the competition's, if most others are."""
    foreground = {i: normalize_name(n) for i, n in categories.items()}
    foreground = {i: name for i, name in foreground.items() if name not in BACKGROUND_NAMES}
    unknown = [i for i, name in foreground.items() if name not in _USUAL_INDEX]
    is_own_table = len(unknown) * 2 >= len(foreground)  # a class table of its own, on purpose
    return [] if is_own_table else unknown


def find_renamed(categories: dict[int, str]) -> dict[int, str]:
    """Return category id -> the competition's name that is probably meant."""
    taken = set(map(normalize_name, categories.values()))
    free = {key: COMPETITION_TABLE.names[i] for key, i in _USUAL_INDEX.items() if key not in taken}
    renamed = {}
    for id_ in find_unknown(categories):
        near = difflib.get_close_matches(normalize_name(categories[id_]), free, n=1, cutoff=0.7)
        if near:
            renamed[id_] = free.pop(near[0])
    return renamed


def find_moved_ids(categories: dict[int, str]) -> dict[int, int]:
    """Return category id -> usual id, where the names are the competition's and the ids are not.

    With UNKNOWN (2021) and without (later), a category's id is its mask index less one.
    """
    try:
        is_usual = choose_class_table(list(categories.values())) is COMPETITION_TABLE
    except InputError:
        return {}
    usual = {i: _USUAL_INDEX.get(normalize_name(name), 0) - 1 for i, name in categories.items()}
    moved = {i: usual_id for i, usual_id in usual.items() if usual_id >= 0 and i != usual_id}
    return moved if is_usual else {}


def find_cycles(categories: object) -> list[list[str]]:
    """Return each cycle of supercategories in a list of categories, as names.

    A category that is its own supercategory is harmless; the competition's are.
    """
    parent = {
        row["name"]: row["supercategory"]
        for row in (categories if isinstance(categories, list) else ())
        if isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("supercategory"), str)
    }
    cycles: list[list[str]] = []
    seen: set[str] = set()
    for start in parent:
        walk: list[str] = []
        name = start
        while name in parent and name not in seen and name not in walk:
            walk.append(name)
            name = parent[name]
        if name in walk and parent[name] != name:
            cycles.append(walk[walk.index(name) :])
        seen.update(walk)
    return cycles
