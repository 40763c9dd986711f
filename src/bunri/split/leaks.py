"""Search for photos that two splits share, which make a score on one of them untrue."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from bunri.core.errors import InputError, suggest
from bunri.core.progress import Advance
from bunri.images.similarity import Fingerprint, find_twins

LeakKind = Literal["same-name", "same-pixels", "near-duplicate", "same-group"]
LEAK_KINDS: tuple[LeakKind, ...] = get_args(LeakKind)
"""From the most to the least certain; a pair of photos is reported once, as the first that fits."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitPhoto:
    """A photo of a split.

    Attributes:
        print: Fingerprint; None if the photo was not opened.
        group: Text shared with the photos it must stay with; None for none.
    """

    name: str
    print: Fingerprint | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """A photo that is in two splits."""

    kind: LeakKind
    first_split: str
    first_name: str
    second_split: str
    second_name: str
    similarity: float | None
    """1 for equal pixels, less for copies, None where pixels were not compared."""

    def __str__(self) -> str:
        alike = "" if self.similarity is None else f", similarity {self.similarity:.3f}"
        return (
            f"{self.kind}: {self.first_name!r} ({self.first_split}) and "
            f"{self.second_name!r} ({self.second_split}){alike}"
        )


def parse_kind(name: str) -> LeakKind:
    """Return a kind of leak by its name.

    Raises:
        InputError: There is no such kind.
    """
    for kind in LEAK_KINDS:
        if name == kind:
            return kind
    raise InputError(f"There is no kind of leak {name!r}.{suggest(name, LEAK_KINDS)}")


def find_leaks(
    splits: Mapping[str, list[SplitPhoto]], advance: Advance = lambda: None
) -> list[Leak]:
    """Return every pair of photos that two splits should not share.

    Kinds:
        ``same-name``: the same file name, unless both photos were opened and differ: photos in
        different folders may have one name.
        ``same-pixels``, ``near-duplicate``: see :func:`bunri.images.similarity.find_twins`.
        ``same-group``: the same group; reported once for two splits, by its first photo in each.
    """
    places = [(split, photo) for split, photos in splits.items() for photo in photos]
    found: dict[tuple[int, int], tuple[LeakKind, float | None]] = {}
    for pair in _find_pairs(places, lambda photo: photo.group):
        found[pair] = "same-group", None
    printed = [place for place, (_, photo) in enumerate(places) if photo.print is not None]
    prints = [photo.print for _, photo in places if photo.print is not None]
    for twins in find_twins(prints, advance=advance):
        pair = printed[twins.first], printed[twins.second]
        found[pair] = "same-pixels" if twins.is_exact else "near-duplicate", twins.similarity
    for pair in _find_pairs(places, lambda photo: photo.name.replace("\\", "/")):
        kind, similarity = found.get(pair, (None, None))
        is_seen = all(places[place][1].print is not None for place in pair)
        if not is_seen or kind in ("same-pixels", "near-duplicate"):
            found[pair] = "same-name", similarity
    leaks = []
    for (first, second), (kind, similarity) in sorted(found.items()):
        (one_split, one), (other_split, other) = places[first], places[second]
        if one_split != other_split:
            leaks.append(Leak(kind, one_split, one.name, other_split, other.name, similarity))
    return sorted(leaks, key=lambda leak: LEAK_KINDS.index(leak.kind))


def _find_pairs(
    places: list[tuple[str, SplitPhoto]], key: Callable[[SplitPhoto], str | None]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of places with an equal key: for each key, the first of each split."""
    firsts: dict[str, dict[str, int]] = defaultdict(dict)
    for place, (split, photo) in enumerate(places):
        value = key(photo)
        if value is not None:
            firsts[value].setdefault(split, place)
    for same in firsts.values():
        yield from combinations(same.values(), 2)
