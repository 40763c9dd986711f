"""Groups of photos that stay together: copies, and photos whose names match a pattern."""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bunri.core.errors import InputError, summarize

Group = tuple[int, ...]
"""Positions of photos that stay together, in ascending order."""


def match_names(names: Sequence[str], pattern: str | None) -> list[str | None]:
    r"""Return the text that each name shares with its group, None where the pattern fails.

    That is the match of the pattern's first group, such as ``12`` of ``scene_12_left.jpg`` for
    ``scene_(\d+)``, or the whole match if it has no group.
    """
    if pattern is None:
        return [None] * len(names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of patterns that a later Python may read otherwise
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(
            f"{pattern!r} is not a regular expression: {summarize(error)}.",
            hint=r"For names such as scene_12_left.jpg, for example: 'scene_(\d+)'",
        ) from error
    found = [compiled.search(name) for name in names]
    return [match and match[1 if compiled.groups else 0] for match in found]


def require_matches(names: Sequence[str], pattern: str | None) -> list[str | None]:
    """Return :func:`match_names` of a pattern that matches at least one name.

    Raises:
        InputError: The pattern is no regular expression, or matches no name.
    """
    keys = match_names(names, pattern)
    if pattern is not None and not any(key is not None for key in keys):
        raise InputError(
            f"The pattern {pattern!r} is found in none of {len(names)} file names, "
            f"such as {names[0]!r}.",
            hint="It is looked for anywhere in 'file_name', folders included.",
        )
    return keys


def join_photos(
    num_photos: int, links: Iterable[tuple[int, int]], keys: Sequence[str | None] = ()
) -> list[Group]:
    """Return groups of photos that are linked, directly or through others, or have an equal key.

    Each photo is in one group; groups are in the order of their first photos.
    """
    root = list(range(num_photos))

    def find_root(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    first_with: dict[str, int] = {}
    same_key = [
        (first_with.setdefault(key, place), place)
        for place, key in enumerate(keys)
        if key is not None
    ]
    for one, other in (*links, *same_key):
        low, high = sorted((find_root(one), find_root(other)))
        root[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for place in range(num_photos):
        members[find_root(place)].append(place)
    return [tuple(group) for group in members.values()]
