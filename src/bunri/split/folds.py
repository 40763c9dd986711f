"""Assignment of photos to the parts of a split: balanced, groups whole, reproducible.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over groups deals out the
rarest class first. A seeded search then moves and swaps groups as long as that lowers the
balance figure, see ``balance``; that every class is in every part comes before the figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from bunri.core.errors import InputError
from bunri.split.balance import Contents, DoubleArray, IntArray, measure_deviations
from bunri.split.groups import Group

_MAX_STARTS, _MIN_STARTS, _START_BUDGET = 8, 2, 4000  # few groups are searched more often
_MAX_SWEEPS = 30
_MAX_SWAPS = 512  # groups that one group is tried against in a sweep
# Larger than any figure, which is mostly below 1, so that these come first.
_EMPTY_COST, _ABSENT_COST = 1e6, 1e3
_MIN_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts that a set is split into.

    Attributes:
        shares: Wanted share of the photos in each part; they sum to 1.
        are_folds: Whether each part is validation once, with the others as training.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    are_folds: bool

    @classmethod
    def make_folds(cls, count: int) -> Self:
        """Return ``count`` folds of the same size, at least 2."""
        return cls(tuple(f"fold_{number}" for number in range(count)), (1 / count,) * count, True)

    @classmethod
    def make_sides(cls, val_share: float) -> Self:
        """Return training and validation.

        Raises:
            InputError: ``val_share`` is not between 0 and 1.
        """
        if not 0 < val_share < 1:
            raise InputError(
                f"The share of validation is {val_share:g}; it must be above 0 and below 1."
            )
        return cls(("train", "val"), (1 - val_share, val_share), False)


def split_groups(
    contents: Contents, groups: Sequence[Group], shares: Sequence[float], seed: int
) -> IntArray:
    """Return the part, int64 (photos,), that each photo goes into.

    A class that at least as many photos and groups show as there are parts is put into every
    part, where the groups allow that for all classes at once; see :func:`find_absent`.
    """
    refuse_impossible(len(contents.areas), len(groups), shares)
    search = _Search(contents, groups, shares)
    found = []
    num_starts = min(max(_START_BUDGET // len(groups), _MIN_STARTS), _MAX_STARTS)
    for start in range(num_starts):
        rng = np.random.default_rng([seed, start])
        found.append(search.improve(_deal_out(search, rng), rng))
    _, chosen = min(found, key=lambda pair: pair[0])
    return _spread(chosen, groups)


def stratify_groups(
    contents: Contents, groups: Sequence[Group], shares: Sequence[float], seed: int
) -> IntArray:
    """Return the parts, int64 (photos,), of iterative stratification alone."""
    search = _Search(contents, groups, shares)
    return _spread(_deal_out(search, np.random.default_rng(seed)), groups)


def split_randomly(groups: Sequence[Group], shares: Sequence[float], seed: int) -> IntArray:
    """Return the parts, int64 (photos,), of a random split that keeps groups whole.

    Groups are shuffled; each goes to the part that lacks the most photos.
    """
    room = np.array(shares) * sum(map(len, groups))
    chosen = np.zeros(len(groups), np.int64)
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        chosen[place] = int(room.argmax())
        room[chosen[place]] -= len(groups[place])
    return _spread(chosen, groups)


def find_required(contents: Contents, groups: Sequence[Group], num_parts: int) -> list[int]:
    """Return the classes that must be in every part: as many photos and groups as parts."""
    shows = contents.pixels > 0
    in_group = np.stack([shows[list(group)].any(axis=0) for group in groups])
    return [
        c
        for c in contents.seen
        if min(int(shows[:, c].sum()), int(in_group[:, c].sum())) >= num_parts
    ]


def find_absent(contents: Contents, part_of: IntArray, num_parts: int) -> list[tuple[int, int]]:
    """Return (class, part) for each class that is seen, but not in that part."""
    shows = contents.pixels > 0
    return [
        (c, part)
        for c in contents.seen
        for part in range(num_parts)
        if not shows[part_of == part, c].any()
    ]


def refuse_impossible(num_photos: int, num_groups: int, shares: Sequence[float]) -> None:
    """Refuse parts that could not all have a photo.

    Raises:
        InputError: There are fewer groups than parts, or a part would have no photo.
    """
    if num_groups < len(shares):
        together = f" that stay together in {num_groups} group(s)" * (num_groups < num_photos)
        raise InputError(
            f"{len(shares)} parts cannot be made of {num_photos} photo(s){together}.",
            hint="Ask for fewer parts, or for a pattern that puts fewer photos together.",
        )
    if min(shares) * num_photos < 0.5:
        raise InputError(
            f"A share of {min(shares):g} of {num_photos} photo(s) is less than half a photo: that "
            "side would be empty.",
            hint="Ask for a larger share.",
        )


def _spread(chosen: IntArray, groups: Sequence[Group]) -> IntArray:
    """Return the part of each photo from the part of each group."""
    part_of = np.zeros(sum(map(len, groups)), np.int64)
    for part, group in zip(chosen.tolist(), groups, strict=True):
        part_of[list(group)] = part
    return part_of


class _Search:
    """Local search that lowers the cost of a split."""

    def __init__(
        self, contents: Contents, groups: Sequence[Group], shares: Sequence[float]
    ) -> None:
        features = contents.features
        self.features = np.stack([features[list(group)].sum(axis=0) for group in groups])
        self.whole = features.sum(axis=0)
        self.shares = np.array(shares)
        self.num_classes = len(contents.seen)
        required = set(find_required(contents, groups, len(shares)))
        self.required = [2 + i for i, c in enumerate(contents.seen) if c in required]

    def measure_cost(self, totals: DoubleArray, shares: DoubleArray) -> DoubleArray:
        """Return the cost (...) of parts with the sums (..., F) and shares (...)."""
        figure = measure_deviations(totals, self.whole, shares).mean(axis=-1)
        num_absent = (totals[..., self.required] == 0).sum(axis=-1)
        is_empty = totals[..., 0] == 0
        cost: DoubleArray = figure + _ABSENT_COST * num_absent + _EMPTY_COST * is_empty
        return cost

    def improve(self, chosen: IntArray, rng: np.random.Generator) -> tuple[float, IntArray]:
        """Return the cost and the parts (groups,) where no move and no swap helps any more."""
        chosen = chosen.copy()
        totals = np.stack(
            [self.features[chosen == part].sum(axis=0) for part in range(len(self.shares))]
        )
        for _ in range(_MAX_SWEEPS):
            moves = [
                self._improve_one(chosen, totals, place, rng)
                for place in rng.permutation(len(chosen)).tolist()
            ]
            if not any(moves):
                break
        return float(self.measure_cost(totals, self.shares).mean()), chosen

    def _improve_one(
        self, chosen: IntArray, totals: DoubleArray, place: int, rng: np.random.Generator
    ) -> bool:
        """Make the best move or swap of one group; return whether any lowers the cost."""
        here = int(chosen[place])
        mine, rest = self.features[place], totals[here] - self.features[place]
        costs = self.measure_cost(totals, self.shares)
        # A move is a swap with an empty group: both are tried at once, the moves first.
        partners = np.flatnonzero(chosen != here)
        if len(partners) > _MAX_SWAPS:
            partners = rng.choice(partners, _MAX_SWAPS, replace=False)
        others = np.flatnonzero(np.arange(len(self.shares)) != here)
        there = np.concatenate([others, chosen[partners]])
        theirs = np.zeros((len(there), len(mine)))
        theirs[len(others) :] = self.features[partners]
        mine_there = self.measure_cost(totals[there] - theirs + mine, self.shares[there])
        theirs_here = self.measure_cost(rest + theirs, self.shares[np.full(len(there), here)])
        gains = costs[here] + costs[there] - mine_there - theirs_here
        best = int(gains.argmax())
        if gains[best] < _MIN_GAIN:
            return False
        totals[here] += theirs[best] - mine
        totals[there[best]] += mine - theirs[best]
        chosen[place] = there[best]
        if best >= len(others):
            chosen[partners[best - len(others)]] = here
        return True


def _deal_out(search: _Search, rng: np.random.Generator) -> IntArray:
    """Return the part (groups,) of each group by iterative stratification.

    The class with the fewest groups left is dealt out next, its largest groups first, each to
    the part that lacks the most photos of that class, then the most photos overall.
    """
    shows = search.features[:, 2 : 2 + search.num_classes]  # photos of a group with each class
    sizes = search.features[:, 0]
    lacking = search.shares[:, None] * shows.sum(axis=0)
    room = search.shares * sizes.sum()
    chosen = np.full(len(sizes), -1, np.int64)
    order = rng.permutation(len(sizes))
    while (chosen < 0).any():
        is_left = chosen < 0
        counts = (shows[is_left] > 0).sum(axis=0)
        if counts.any():
            rarest = int(np.where(counts > 0, counts, len(sizes) + 1).argmin())
            wanted, weights = lacking[:, rarest], shows[:, rarest]
        else:  # groups that show nothing
            wanted, weights = room, sizes
        turn = [g for g in order.tolist() if is_left[g] and weights[g] > 0]
        for place in sorted(turn, key=lambda g: -weights[g]):
            ties = np.flatnonzero(wanted >= wanted.max() - _MIN_GAIN)
            ties = ties[room[ties] >= room[ties].max() - _MIN_GAIN]
            part = int(rng.choice(ties))
            chosen[place] = part
            lacking[part] -= shows[place]
            room[part] -= sizes[place]
    return chosen
