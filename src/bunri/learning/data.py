"""Photos and masks as training samples; each sample depends on its position alone.

Owns which sample comes when. The training stream is endless: turn after turn, each a
permutation of all photos (those with rare classes several times) drawn from (seed, number of
the turn); sample ``i`` is augmented from (seed, i). So an interrupted run goes on exactly as an
unbroken one, whatever the number of loader processes, and nothing of the loader's state needs
to be saved.
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, default_collate

from bunri.annotations.cache import MaskCache
from bunri.annotations.records import LabelledSet, Photo
from bunri.audit.similarity import Fingerprint, fingerprint_photo
from bunri.config import Config, OverlapRule
from bunri.contracts import IGNORE_INDEX, BunriError, ImageArray, ImageError, MaskArray
from bunri.images import Preprocessing, pad_to_stride, read_photo_as_labelled
from bunri.learning.augment import build_augmentation

Sample = tuple[Tensor, Tensor]
"""Normalised pixels, float32 (3, h, w), and targets, int64 (h, w)."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A photo and where its labels are."""

    dataset: LabelledSet
    photo: Photo


class PhotoStore:
    """Decoded photos and masks of several labelled sets, kept in memory as far as they fit.

    Opening the store decodes every photo once, so that a missing, broken or wrongly sized
    photo is known before training starts, and not in its tenth epoch.

    Args:
        datasets: Labelled sets with one class table.
        rule: How masks are drawn.
        cache: Where masks are kept.
        memory_bytes: Photos beyond this are decoded again each time.
        advance: Called after each photo.
        takes_prints: Whether to take fingerprints, for ``prints``.

    Raises:
        ImageError: Photos that cannot be used; all of them are listed.
    """

    def __init__(
        self,
        datasets: Sequence[LabelledSet],
        rule: OverlapRule,
        cache: MaskCache,
        memory_bytes: int,
        advance: Callable[[], None] = lambda: None,
        *,
        takes_prints: bool = False,
    ) -> None:
        self.items = [LabelledPhoto(d, p) for d in datasets for p in d.photos]
        self._rule = rule
        self._cache = cache
        self._kept: dict[int, tuple[ImageArray, MaskArray]] = {}
        self.prints: list[Fingerprint] = []
        problems: list[str] = []
        used_bytes = 0
        with ThreadPoolExecutor() as pool:
            opened = pool.map(self._open, range(len(self.items)), repeat(takes_prints))
            for index, (loaded, print_) in enumerate(opened):
                advance()
                self.prints += [] if print_ is None else [print_]
                if isinstance(loaded, BunriError):
                    problems.append(loaded.message)
                elif used_bytes < memory_bytes:
                    self._kept[index] = loaded
                    used_bytes += loaded[0].nbytes + loaded[1].nbytes
        if problems:
            raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems)

    def __len__(self) -> int:
        return len(self.items)

    def list_classes(self) -> list[set[int]]:
        """Return the class indices that are annotated in each photo."""
        return [
            {
                item.dataset.index_of_category[annotation.category_id]
                for annotation in item.dataset.annotations.get(item.photo.id, ())
            }
            for item in self.items
        ]

    def load(self, index: int) -> tuple[ImageArray, MaskArray]:
        """Return a photo, uint8 (H, W, 3) RGB, and its mask, uint8 (H, W)."""
        return self._kept.get(index) or self._load(index)

    def _open(
        self, index: int, takes_print: bool
    ) -> tuple[tuple[ImageArray, MaskArray] | BunriError, Fingerprint | None]:
        """Return a photo with its mask, or what is wrong with it, and its fingerprint."""
        try:
            loaded = self._load(index)
        except BunriError as error:
            return error, None
        return loaded, fingerprint_photo(loaded[0]) if takes_print else None

    def _load(self, index: int) -> tuple[ImageArray, MaskArray]:
        item = self.items[index]
        image = read_photo_as_labelled(item.dataset, item.photo)
        return image, self._cache.load_mask(item.dataset, item.photo, self._rule)


class TrainingStream(Dataset[Sample]):
    """The samples of one epoch; position ``i`` of epoch ``e`` is sample ``e * length + i``."""

    def __init__(self, store: PhotoStore, config: Config, length: int) -> None:
        self._store = store
        self._length = length
        self._seed = config.seed
        self._augment = build_augmentation(config.augment, config.input.size_px)
        self._preprocessing = Preprocessing.from_config(config.input)
        self._turn = repeat_rare_photos(store.list_classes(), config.data.repeat_rare)
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Sample:
        number = self.epoch * self._length + position
        image, mask = self._store.load(self._pick_photo(number))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seed(self._seed, "augment", number))
            image, mask = self._augment(image, mask)
        pixels = torch.from_numpy(self._preprocessing.normalize(image))
        return pixels, torch.from_numpy(mask.astype(np.int64))

    def _pick_photo(self, number: int) -> int:
        turn, place = divmod(number, len(self._turn))
        if turn != self._order[0]:
            seed = mix_seed(self._seed, "order", turn)
            self._order = turn, np.random.default_rng(seed).permutation(self._turn)
        return int(self._order[1][place])


def repeat_rare_photos(classes: Sequence[set[int]], threshold: float) -> list[int]:
    """Return photo indices, those with rare classes several times.

    Repeat factor sampling (Gupta et al. 2019, arXiv:1908.03195): a class in a share f of the
    photos asks for sqrt(threshold / f) repeats, at least 1; a photo takes the highest of its
    classes, rounded.

    Args:
        classes: The classes in each photo.
        threshold: 0 to 1; 0 gives every index once.
    """
    counts = Counter(index for present in classes for index in present)
    factors = {
        index: max(1.0, math.sqrt(threshold * len(classes) / count))
        for index, count in counts.items()
    }
    return [
        photo
        for photo, present in enumerate(classes)
        for _ in range(round(max((factors[index] for index in present), default=1.0)))
    ]


def mix_seed(seed: int, purpose: str, number: int) -> int:
    """Return a 63-bit seed for one purpose and number, unrelated to its neighbours'."""
    words = np.random.SeedSequence([seed, number, *purpose.encode()]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


def collate_samples(samples: list[Sample]) -> Sample:
    """Return samples as a batch, padded to multiples of 32 at the bottom and right.

    Padding is 0 in pixels (N, 3, h, w) and ignored in targets (N, h, w).
    """
    pixels, targets = default_collate(samples)
    height, width = targets.shape[1:]
    padding = 0, pad_to_stride(width) - width, 0, pad_to_stride(height) - height
    if any(padding):
        pixels = functional.pad(pixels, padding)
        targets = functional.pad(targets, padding, value=IGNORE_INDEX)
    return pixels, targets


class WaitClock:
    """Adds up how long training waits for its loader."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def watch(self, batches: Iterator[Sample]) -> Iterator[Sample]:
        """Yield the batches; the time until each is there counts, what is done with it does not."""
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            self.waited_s += time.monotonic() - started
            if batch is None:
                return
            yield batch


def iterate_batches(
    stream: TrainingStream, epoch: int, batch_size: int, num_workers: int, *, pin_memory: bool
) -> Iterator[Sample]:
    """Yield the batches of an epoch: pixels (N, 3, h, w) and targets (N, h, w).

    Workers are started anew for each epoch: they hold nothing but a view of the store, and
    so each sees the epoch's number.
    """
    stream.epoch = epoch
    loader = DataLoader(
        stream,
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=collate_samples,
        pin_memory=pin_memory,
        multiprocessing_context="fork" if num_workers else None,
        worker_init_fn=_ignore_hangups,
    )
    yield from loader


def _ignore_hangups(_worker: int) -> None:
    """Keep a worker silent when training is stopped while a batch is being handed over.

    The thread that hands tensors over then finds the line dead, and would print a traceback
    into the message that says how to go on. A worker's own errors take another way.
    """

    def print_others(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, ConnectionError | EOFError):
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = print_others
