"""Decoded photos and masks, and the endless stream of training samples drawn from them.

The stream is a sequence of turns. Each turn is a permutation of all photos (photos with rare
classes appear several times) drawn from (seed, number of the turn); sample ``i`` is augmented, and
mixed with another photo, by random numbers drawn from (seed, i). An interrupted run therefore
continues exactly like an uninterrupted one, whatever the number of loader processes, and no state
of the loader needs to be saved.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bunri.core.contracts import IGNORE_INDEX, ImageArray, MaskArray
from bunri.core.errors import BunriError, ImageError
from bunri.core.progress import Advance
from bunri.images.frames import Preprocessing
from bunri.images.similarity import Fingerprint, fingerprint_photo
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import read_photo_as_labelled
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule
from bunri.labels.soft import draw_soft_mask, read_planes
from bunri.training.config import Config
from bunri.training.samples.augment import build_augmentation
from bunri.training.samples.mixing import Pair, build_paste, mix_pairs

Sample = tuple[Tensor, Tensor, bool]
"""Normalised pixels, float32 (3, h, w); targets, int64 (h, w); True for pseudo-labels."""
Batch = tuple[Tensor, Tensor, Tensor]
"""Samples stacked: (N, 3, h, w), (N, h, w), bool (N,)."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A photo and the set that holds its labels."""

    dataset: LabelledSet
    photo: Photo


class PhotoStore:
    """Photos and masks of several labelled sets, kept in memory as far as they fit.

    All photos are decoded when the store is opened, so that a missing, broken or wrongly sized
    photo is reported before training starts. ``items`` are the photos in the order of the files,
    ``prints`` their fingerprints and ``pixel_hashes`` the hashes in these.

    Args:
        datasets: Labelled sets with one class table.
        rule: Rule for pixels covered by several objects.
        memory_bytes: Memory for decoded photos; photos beyond it are decoded at each use.
        advance: Function called after each photo.

    Raises:
        ImageError: Some photos cannot be used; all of them are listed.
    """

    def __init__(
        self,
        datasets: Sequence[LabelledSet],
        rule: OverlapRule,
        memory_bytes: int,
        advance: Advance = lambda: None,
    ) -> None:
        self.items = [LabelledPhoto(d, p) for d in datasets for p in d.photos]
        self._rule = rule
        self._kept: dict[int, tuple[ImageArray, MaskArray]] = {}
        self.prints: list[Fingerprint] = []
        problems: list[str] = []
        used_bytes = 0
        with ThreadPoolExecutor() as pool:
            for index, opened in enumerate(pool.map(self._open, range(len(self.items)))):
                advance()
                if isinstance(opened, BunriError):
                    problems.append(opened.message)
                    continue
                image, mask, print_ = opened
                self.prints.append(print_)
                if used_bytes < memory_bytes:
                    self._kept[index] = image, mask
                    used_bytes += image.nbytes + mask.nbytes
        if problems:
            raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems)
        self.pixel_hashes = [print_.pixel_hash for print_ in self.prints]

    def __len__(self) -> int:
        return len(self.items)

    def list_classes(self) -> list[set[int]]:
        """Return the indices of the classes annotated in each photo."""
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

    def is_pseudo(self, index: int) -> bool:
        """Return whether a photo's labels are pseudo-labels of a model."""
        return self.items[index].dataset.is_pseudo

    def load_for_training(self, index: int, share: float) -> tuple[ImageArray, MaskArray]:
        """Return a photo and its mask; soft labels are drawn with a random number, 0 to 1."""
        image, mask = self.load(index)
        item = self.items[index]
        if item.photo.id not in item.dataset.soft:
            return image, mask
        drawn = draw_soft_mask(item.dataset, item.photo, share)
        drawn[mask == IGNORE_INDEX] = IGNORE_INDEX
        return image, drawn

    def _open(self, index: int) -> tuple[ImageArray, MaskArray, Fingerprint] | BunriError:
        """Return a photo, its mask and its fingerprint, or its error."""
        item = self.items[index]
        try:
            image, mask = self._load(index)
            if item.photo.id in item.dataset.soft:
                read_planes(item.dataset, item.photo)
        except BunriError as error:
            return error
        return image, mask, fingerprint_photo(image)

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
        """Return the file names of the photos at some positions of the epoch."""
        numbers = (self.epoch * self._length + position for position in positions)
        return [self._store.items[self._pick_photo(n)].photo.file_name for n in numbers]

    def _draw(self, photo: int, purpose: str, number: int) -> Pair:
        share = mix_seed(self._seed, f"soft {purpose}", number) / 2**63
        image, mask = self._store.load_for_training(photo, share)
        with _seed_torch(mix_seed(self._seed, purpose, number)):
            return self._augment(image, mask)

    def _draw_partner(self, photo: int, number: int) -> Pair:
        """Return another augmented photo, to be mixed into a photo's sample.

        True labels are mixed with true labels and pseudo-labels with pseudo-labels, because a
        sample counts as one or the other in the loss.
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
    """Return photo indices, those of photos with rare classes several times.

    Repeat factor sampling (Gupta et al. 2019, arXiv:1908.03195): a class in a share f of the
    photos has the factor sqrt(threshold / f), at least 1; a photo has the highest factor of its
    classes, rounded. A threshold of 0 repeats nothing.
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
    """Return a 63-bit seed, independent for each purpose and number."""
    words = np.random.SeedSequence([seed, number, *purpose.encode()]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


@contextmanager
def _seed_torch(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator inside the block, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the GPUs, too, whose state is not restored.
        torch.default_generator.manual_seed(seed)
        yield
