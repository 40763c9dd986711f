"""Checks of photos and classes before training: leaks, classes without photos, padded frames."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError
from bunri.images.frames import STRIDE_PX, pad_to_stride
from bunri.images.similarity import Fingerprint, find_twins
from bunri.labels.pseudo import shorten_hash
from bunri.training.config import Config
from bunri.training.listener import TrainingListener
from bunri.training.samples.data import PhotoStore

MAX_PAIRS = 20_000_000
"""Pairs of photos up to which edited copies are searched; with more that would take minutes, and
only equal pixels are found."""


def refuse_leaks(train: PhotoStore, val: PhotoStore, start_photos: frozenset[str]) -> None:
    """Raise InputError, with a list of all pairs, if photos or copies of them are on both sides.

    ``start_photos`` are hashes of the photos whose labels the weights at the start learned.
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


def collect_photo_hashes(train: PhotoStore, start_photos: frozenset[str]) -> frozenset[str]:
    """Return short hashes of all photos whose labels a model learns from, directly or not."""
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


def report_warnings(
    config: Config, table: ClassTable, train: PhotoStore, val: PhotoStore, to: TrainingListener
) -> None:
    """Report classes that cannot be learned and frames that are padded."""
    seen = set().union(*train.list_classes())
    unseen = [index for index in range(1, len(table)) if index not in seen]
    if unseen:
        names = ", ".join(table.names[index] for index in unseen)
        text = f"No training photo has {names}: a model cannot learn what it never sees."
        asked = Counter(index for present in val.list_classes() for index in present & set(unseen))
        if asked:
            parts = ", ".join(f"{table.names[index]} in {asked[index]}" for index in sorted(asked))
            text += f" Validation photos have {parts}; the IoU there will be 0."
        to.warn(text)
    sizes = {
        "input.size_px": config.input.size_px,
        "augment.crop_size_px": config.augment.crop_size_px,
    }
    for name, size_px in sizes.items():
        if size_px is not None and pad_to_stride(size_px) != size_px:
            to.note(
                f"{name}={size_px} is no multiple of {STRIDE_PX}: frames are padded to "
                f"{pad_to_stride(size_px)}, and the padding is ignored."
            )
