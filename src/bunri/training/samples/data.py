"""Photos and masks as training samples; each sample depends on its position alone.

Owns which sample comes when. The training stream is endless: turn after turn, each a
permutation of all photos (those with rare classes several times) drawn from (seed, number of
the turn); sample ``i`` is augmented, and mixed with another photo, from (seed, i). So an
interrupted run goes on exactly as an unbroken one, whatever the number of loader processes, and
nothing of the loader's state needs to be saved.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bunri.core.contracts import IGNORE_INDEX, ImageArray, MaskArray
from bunri.core.errors import BunriError, ImageError
from bunri.images.frames import Preprocessing
from bunri.images.similarity import Fingerprint, fingerprint_photo, hash_pixels
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.labels.soft import draw_soft_mask, read_planes
from bunri.training.config import Config
from bunri.training.samples.augment import build_augmentation
from bunri.training.samples.mixing import Pair, build_paste, mix_pairs

Sample = tuple[Tensor, Tensor, bool]
"""Normalised pixels, float32 (3, h, w); targets, int64 (h, w); whether the photo's labels are
pseudo-labels, whatever was mixed into it."""
Batch = tuple[Tensor, Tensor, Tensor]
"""Samples stacked: (N, 3, h, w), (N, h, w), bool (N,)."""


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
        memory_bytes: int,
        advance: Callable[[], None] = lambda: None,
        *,
        takes_prints: bool = False,
    ) -> None:
        self.items = [LabelledPhoto(d, p) for d in datasets for p in d.photos]
        self._rule = rule
        self._kept: dict[int, tuple[ImageArray, MaskArray]] = {}
        self.prints: list[Fingerprint] = []
        self.pixel_hashes: list[str] = []
        """Of each photo, see :func:`bunri.images.similarity.hash_pixels`."""
        problems: list[str] = []
        used_bytes = 0
        with ThreadPoolExecutor() as pool:
            opened = pool.map(self._open, range(len(self.items)), repeat(takes_prints))
            for index, (loaded, pixel_hash, print_) in enumerate(opened):
                advance()
                self.prints += [] if print_ is None else [print_]
                if isinstance(loaded, BunriError):
                    problems.append(loaded.message)
                    continue
                self.pixel_hashes.append(pixel_hash)
                if used_bytes < memory_bytes:
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

    def path_of(self, index: int) -> Path:
        """Return where a photo lies."""
        item = self.items[index]
        return item.dataset.path_of(item.photo)

    def is_pseudo(self, index: int) -> bool:
        """Return whether a photo's labels are a model's."""
        return self.items[index].dataset.is_pseudo

    def load_for_training(self, index: int, share: float) -> tuple[ImageArray, MaskArray]:
        """Return the same, but a mask drawn from probabilities where the labels are such.

        Args:
            index: Of the photo.
            share: Decides what is drawn; see :func:`bunri.labels.soft.draw_soft_mask`.
        """
        image, mask = self.load(index)
        item = self.items[index]
        if item.photo.id not in item.dataset.soft:
            return image, mask
        drawn = draw_soft_mask(item.dataset, item.photo, share)
        drawn[mask == IGNORE_INDEX] = IGNORE_INDEX
        return image, drawn

    def _open(
        self, index: int, takes_print: bool
    ) -> tuple[tuple[ImageArray, MaskArray] | BunriError, str, Fingerprint | None]:
        """Return a photo with its mask, or what is wrong with it, its hash and fingerprint."""
        item = self.items[index]
        try:
            loaded = self._load(index)
            if item.photo.id in item.dataset.soft:
                read_planes(item.dataset, item.photo)
        except BunriError as error:
            return error, "", None
        if not takes_print:
            return loaded, hash_pixels(loaded[0]), None
        print_ = fingerprint_photo(loaded[0])
        return loaded, print_.pixel_hash, print_

    def _load(self, index: int) -> tuple[ImageArray, MaskArray]:
        item = self.items[index]
        image = read_photo_as_labelled(item.dataset, item.photo)
        return image, draw_mask(item.dataset, item.photo, self._rule)


class TrainingStream(Dataset[Sample]):
    """The samples of one epoch; position ``i`` of epoch ``e`` is sample ``e * length + i``."""

    def __init__(self, store: PhotoStore, config: Config, length: int) -> None:
        self._store = store
        self._length = length
        self._seed = config.seed
        self._config = config.augment
        table = store.items[0].dataset.table
        paste = build_paste(config, store, table)
        self._augment = build_augmentation(config.augment, config.input.size_px, paste)
        self._preprocessing = Preprocessing.build(config.input.size_px, config.input.normalization)
        self._turn = repeat_rare_photos(store.list_classes(), config.data.repeat_rare)
        self._partners = {
            kind: [photo for photo in self._turn if store.is_pseudo(photo) == kind]
            for kind in (False, True)
        }
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self.epoch = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Sample:
        number = self.epoch * self._length + position
        photo = self._pick_photo(number)
        sample = self._draw(photo, "augment", number)
        with _seed_torch(mix_seed(self._seed, "mix", number)):
            image, mask = mix_pairs(self._config, sample, lambda: self._draw_partner(photo, number))
        pixels = torch.from_numpy(self._preprocessing.normalize(image))
        return pixels, torch.from_numpy(mask.astype(np.int64)), self._store.is_pseudo(photo)

    def name_photos(self, positions: Iterable[int]) -> list[str]:
        """Return the names of the photos at some positions of the epoch, for messages."""
        numbers = (self.epoch * self._length + position for position in positions)
        return [self._store.items[self._pick_photo(n)].photo.file_name for n in numbers]

    def _draw(self, photo: int, purpose: str, number: int) -> Pair:
        share = mix_seed(self._seed, f"soft {purpose}", number) / 2**63
        image, mask = self._store.load_for_training(photo, share)
        with _seed_torch(mix_seed(self._seed, purpose, number)):
            return self._augment(image, mask)

    def _draw_partner(self, photo: int, number: int) -> Pair:
        """Return a photo of a turn, changed in its own way, to be mixed into another's sample.

        True labels are mixed with true ones and pseudo-labels with pseudo-labels, since a
        sample counts as either in the loss.
        """
        partners = self._partners[self._store.is_pseudo(photo)]
        place = int(torch.randint(len(partners), ()))
        return self._draw(partners[place], "partner", number)

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


@contextmanager
def _seed_torch(seed: int) -> Iterator[None]:
    """Let torch draw from a seed inside the block, and go on afterwards as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
