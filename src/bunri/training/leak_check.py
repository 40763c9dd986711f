"""Validation photos that are in training too: a score on them would be no score.

Owns the refusal, and which photos a model is said to have learned from. What a copy is, is
:mod:`bunri.images.similarity`'s.
"""

from collections.abc import Iterator, Sequence

from bunri.core.errors import InputError
from bunri.images.similarity import Fingerprint, find_twins
from bunri.labels.pseudo import shorten_hash
from bunri.training.samples.data import PhotoStore

MAX_PAIRS = 20_000_000
"""Of more pairs than this only equal pixels are looked for; edited copies would take minutes."""


def refuse_leaks(
    train: PhotoStore, val: PhotoStore, start_photos: frozenset[str] = frozenset()
) -> None:
    """Refuse to train if photos, or copies of them, are on both sides.

    Args:
        train: Opened with fingerprints.
        val: Opened with fingerprints.
        start_photos: Hashes of the photos whose labels the weights at the start learned.

    Raises:
        InputError: Some are; all pairs are listed.
    """
    problems = [
        f"{_name(train, first)} (train) and {_name(val, second)} (val): {what}"
        for first, second, what in _find_pairs(train.prints, val.prints)
    ]
    known = [  # pairs, since several files may have one name
        *(
            (f"a teacher of {dataset.source.name}", dataset.teacher_photos)
            for dataset in dict.fromkeys(item.dataset for item in train.items)
        ),
        ("the model that training starts from", start_photos),
    ]
    problems += [
        f"{_name(val, position)} (val): {who} learned its labels"
        for who, photos in known
        for position, digest in enumerate(val.pixel_hashes)
        if shorten_hash(digest) in photos
    ]
    if problems:
        raise InputError(
            f"{len(problems)} photo(s) of the validation set are in training too:",
            problems=problems,
            hint="Their score would not be one on unseen photos. bunri doctor TRAIN --against VAL "
            "--fix OUT takes them out; --set data.allow_leaks=true trains all the same.",
        )


def collect_photo_hashes(
    train: PhotoStore, start_photos: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the hashes of the photos whose labels are learned from.

    Also by way of teachers, and of the weights at the start. Short ones, see
    :func:`bunri.labels.pseudo.shorten_hash`.
    """
    own = frozenset(map(shorten_hash, train.pixel_hashes))
    return own.union(start_photos, *(item.dataset.teacher_photos for item in train.items))


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
