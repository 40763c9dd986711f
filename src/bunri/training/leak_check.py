"""Check that no validation photo, nor a copy of one, is in training too."""

from collections.abc import Iterator, Sequence

from bunri.core.errors import InputError
from bunri.images.similarity import Fingerprint, find_twins
from bunri.labels.pseudo import shorten_hash
from bunri.training.samples.data import PhotoStore

MAX_PAIRS = 20_000_000
"""Pairs of photos up to which edited copies are searched; with more that would take minutes, and
only equal pixels are found."""


def refuse_leaks(
    train: PhotoStore, val: PhotoStore, start_photos: frozenset[str] = frozenset()
) -> None:
    """Refuse to train if photos, or copies of them, are on both sides.

    Args:
        train: Training photos, opened with fingerprints.
        val: Validation photos, opened with fingerprints.
        start_photos: Hashes of the photos whose labels the weights at the start learned.

    Raises:
        InputError: Photos are on both sides; all pairs are listed.
    """
    problems = [
        f"{_name(train, first)} (train) and {_name(val, second)} (val): {what}"
        for first, second, what in _find_pairs(train.prints, val.prints)
    ]
    learned = [  # pairs, since several files may have one name
        *(
            (f"a teacher of {dataset.source.name}", dataset.teacher_photos)
            for dataset in dict.fromkeys(item.dataset for item in train.items)
        ),
        ("the model that training starts from", start_photos),
    ]
    problems += [
        f"{_name(val, position)} (val): {who} learned its labels"
        for who, photos in learned
        for position, digest in enumerate(val.pixel_hashes)
        if shorten_hash(digest) in photos
    ]
    if problems:
        raise InputError(
            f"{len(problems)} photo(s) of the validation set are in training too:",
            problems=problems,
            hint="The score would not be one on unseen photos. bunri doctor TRAIN --against VAL "
            "--fix OUT removes them; --set data.allow_leaks=true trains all the same.",
        )


def collect_photo_hashes(
    train: PhotoStore, start_photos: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return short hashes of all photos whose labels a model learns from.

    Photos of teachers and of the weights at the start are among them; the hashes are those of
    :func:`bunri.labels.pseudo.shorten_hash`.
    """
    own = frozenset(map(shorten_hash, train.pixel_hashes))
    return own.union(start_photos, *(item.dataset.teacher_photos for item in train.items))


def _find_pairs(
    prints: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> Iterator[tuple[int, int, str]]:
    """Yield (position in prints, position in others, kind of copy)."""
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
