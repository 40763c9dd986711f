"""Choice of sample photos that show every class, rare ones first."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from bunri.core.contracts import BACKGROUND_INDEX
from bunri.stats.statistics import SetStatistics

Choice = tuple[SetStatistics, int]
"""A set and the position of a photo in it."""


def choose_photos(sets: Sequence[SetStatistics], num_photos: int) -> list[Choice]:
    """Return sample photos; the same statistics always give the same photos.

    The classes take turns, the one in the fewest photos first, and each time take the photo in
    which their share of the pixels is nearest to their median. A set without labels gives
    photos at even distances: half of what would be its part, all of it if no set has labels.
    """
    unlabelled = [figures for figures in sets if figures.labels is None]
    is_mixed = len(unlabelled) < len(sets)
    part = num_photos // (2 * len(sets)) if is_mixed else -(-num_photos // len(sets))
    plain = [choice for figures in unlabelled for choice in _spread_evenly(figures, part)]
    plain = plain[:num_photos]
    return [*islice(_take_turns(sets), num_photos - len(plain)), *plain]


def _spread_evenly(figures: SetStatistics, count: int) -> list[Choice]:
    count = min(count, figures.num_photos)
    return [(figures, i * figures.num_photos // count) for i in range(count)]


def _take_turns(sets: Sequence[SetStatistics]) -> Iterator[Choice]:
    """Yield every photo that shows a class besides the background, once."""
    queues = sorted(_queue_by_class(sets), key=len)
    seen: set[tuple[int, int]] = set()
    while any(queues):
        for queue in queues:
            while queue and queue[0] in seen:
                queue.popleft()
            if queue:
                number, position = place = queue.popleft()
                seen.add(place)
                yield sets[number], position


def _queue_by_class(sets: Sequence[SetStatistics]) -> Iterator[deque[tuple[int, int]]]:
    """Yield (set, photo) positions for each class besides the background, most typical first."""
    for index in range(BACKGROUND_INDEX + 1, len(sets[0].table)):
        shares = sorted(
            (content[index] / sum(content.values()), number, position)
            for number, figures in enumerate(sets)
            if figures.labels is not None
            for position, content in enumerate(figures.labels.contents)
            if index in content
        )
        yield deque(shares[rank][1:] for rank in _rank_from_middle(len(shares)))


def _rank_from_middle(count: int) -> list[int]:
    """Return 0 to ``count - 1``, the middle first, the ends last."""
    return sorted(range(count), key=lambda rank: abs(2 * rank - (count - 1)))
