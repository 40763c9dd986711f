"""Validation photos that are in training too: a score on them would be no score.

Owns the refusal. What a copy is, is :mod:`bunri.audit.similarity`'s.
"""

from collections.abc import Iterator, Sequence

from bunri.audit.similarity import Fingerprint, find_twins
from bunri.contracts import InputError
from bunri.learning.data import PhotoStore

MAX_PAIRS = 20_000_000
"""Of more pairs than this only equal pixels are looked for; edited copies would take minutes."""


def refuse_leaks(train: PhotoStore, val: PhotoStore) -> None:
    """Refuse to train if photos, or copies of them, are on both sides.

    Args:
        train: Opened with fingerprints.
        val: Opened with fingerprints.

    Raises:
        InputError: Some are; all pairs are listed.
    """
    problems = [
        f"{_name(train, first)} (train) and {_name(val, second)} (val): {what}"
        for first, second, what in _find_pairs(train.prints, val.prints)
    ]
    if problems:
        raise InputError(
            f"{len(problems)} photo(s) of the validation set are in training too:",
            problems=problems,
            hint="Their score would not be one on unseen photos. bunri doctor TRAIN --against VAL "
            "--fix OUT takes them out; --set data.allow_leaks=true trains all the same.",
        )


def _find_pairs(
    prints: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> Iterator[tuple[int, int, str]]:
    """Yield (first, second, what they share)."""
    if len(prints) * len(others) <= MAX_PAIRS:
        for twins in find_twins(prints, others):
            alike = f"a copy, similarity {twins.similarity:.3f}"
            yield twins.first, twins.second, "the same pixels" if twins.is_exact else alike
        return
    first_of = {item.pixel_hash: position for position, item in enumerate(prints)}
    for position, item in enumerate(others):
        if item.pixel_hash in first_of:
            yield first_of[item.pixel_hash], position, "the same pixels"


def _name(store: PhotoStore, position: int) -> str:
    return repr(store.items[position].photo.file_name)
