"""Quality of splits into folds, and the time to search for copies.

Prints the balance figure (see ``bunri.split.balance``; lower is better) of ``bunri split``, of
plain iterative stratification and of random splits, and the classes that are in every fold. Then
searches for the photos among edited copies of them, and times the search among as many blends of
two photos as the full competition has photos.

    python benchmarks/split.py --data ../shared/data/recycle_trash/train_all.json
"""

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from bunri.core.contracts import ImageArray
from bunri.images.photos import read_photo
from bunri.images.similarity import Fingerprint, find_twins, fingerprint_photo
from bunri.labels.coco import read_coco, require_labels
from bunri.labels.records import LabelledSet
from bunri.split.balance import Contents, IntArray, measure_balance, measure_contents
from bunri.split.folds import (
    Parts,
    find_absent,
    find_required,
    split_groups,
    split_randomly,
    stratify_groups,
)
from bunri.split.groups import join_photos

DATA = Path(__file__).parents[1] / "../shared/data/recycle_trash/train_all.json"
NUM_SPLITS = 20


def edit_photo(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Return a copy, cropped, rotated or mirrored, resized, brightened, encoded at quality 50."""
    picture = Image.fromarray(image)
    left, top, right, bottom = rng.uniform(0, 0.1, 4) * np.tile(picture.size, 2)
    picture = picture.crop((left, top, picture.width - right, picture.height - bottom))
    picture = picture.transpose(list(Image.Transpose)[rng.integers(7)])
    scale = rng.uniform(0.5, 2)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    content = io.BytesIO()
    ImageEnhance.Brightness(picture).enhance(1.2).save(content, "JPEG", quality=50)
    return np.asarray(Image.open(content))


def blend_prints(prints: Sequence[Fingerprint], count: int) -> list[Fingerprint]:
    """Return fingerprints of ``count`` blends, each the mean of two photos."""
    pairs = list(combinations(range(len(prints)), 2))
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count].tolist()
    blends = []
    for number in chosen:
        a, b = (prints[place] for place in pairs[number])
        luma = ((a.luma.astype(np.uint16) + b.luma) // 2).astype(np.uint8)
        chroma = ((a.chroma.astype(np.uint16) + b.chroma) // 2).astype(np.uint8)
        blends.append(Fingerprint(f"blend {number}", luma, chroma))
    return blends


def describe_coverage(dataset: LabelledSet, contents: Contents, part_of: IntArray, k: int) -> str:
    """Return a text about the classes that are in every fold and those that are not."""
    absent = {c for c, _ in find_absent(contents, part_of, k)}
    counts = (contents.pixels > 0).sum(axis=0)
    names = [f"{dataset.table.names[c]} ({counts[c]})" for c in contents.seen if c not in absent]
    missing = [f"{dataset.table.names[c]} ({counts[c]})" for c in sorted(absent)]
    return f"in every fold: {', '.join(names)}; not: {', '.join(missing) or 'none'}"


def measure_folds(dataset: LabelledSet, num_folds: int) -> None:
    """Print the balance of three ways of splitting."""
    contents = measure_contents(dataset, "largest-first")
    groups = join_photos(len(dataset.photos), [])
    shares = Parts.make_folds(num_folds).shares
    required = set(find_required(contents, groups, num_folds))
    start = time.perf_counter()
    ours = split_groups(contents, groups, shares, 0)
    seconds = time.perf_counter() - start
    print(f"{len(groups)} photos, {num_folds} folds, balance figure (0 is perfect)")
    print(f"bunri split, seed 0        {measure_balance(contents, ours, shares).figure:.4f}")
    seeds = range(NUM_SPLITS)
    for label, splits in (
        ("bunri split", [split_groups(contents, groups, shares, seed) for seed in seeds]),
        ("iterative stratification", [stratify_groups(contents, groups, shares, s) for s in seeds]),
        ("random", [split_randomly(groups, shares, seed) for seed in seeds]),
    ):
        figures = [measure_balance(contents, part_of, shares).figure for part_of in splits]
        complete = sum(
            not required & {c for c, _ in find_absent(contents, part_of, num_folds)}
            for part_of in splits
        )
        print(
            f"{label + f', {NUM_SPLITS} seeds':34} mean {statistics.mean(figures):.4f}, "
            f"best {min(figures):.4f}, worst {max(figures):.4f}; every class with at least "
            f"{num_folds} photos in every fold: {complete} of {NUM_SPLITS}"
        )
    print(describe_coverage(dataset, contents, ours, num_folds))
    print(f"{seconds:.1f} s a split")


def measure_twins(dataset: LabelledSet, num_blends: int) -> None:
    """Print the numbers of copies and other pairs found, and the duration of the search."""
    rng = np.random.default_rng(0)
    images = [read_photo(dataset.path_of(photo)) for photo in dataset.photos]
    start = time.perf_counter()
    prints = [fingerprint_photo(image) for image in images]
    milliseconds = 1000 * (time.perf_counter() - start) / len(images)
    print(f"fingerprint of a photo     {milliseconds:.1f} ms")
    copies = [fingerprint_photo(edit_photo(image, rng)) for image in images]
    found = {(pair.first, pair.second): pair.similarity for pair in find_twins(prints, copies)}
    own = [found[i, i] for i in range(len(prints)) if (i, i) in found]
    print(
        f"edited copies found        {len(own)} of {len(prints)}, similarity "
        f"{min(own, default=0):.3f} to {max(own, default=0):.3f}; pairs of different photos: "
        f"{len(found) - len(own) + len(find_twins(prints))}"
    )
    blends = blend_prints(prints, num_blends)
    start = time.perf_counter()
    twins = find_twins(blends)
    seconds = time.perf_counter() - start
    print(f"search in {len(blends)} photos     {seconds:.1f} s, {len(twins)} pairs")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="a labelled COCO file")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--photos", type=int, default=3272, help="number of photos in the timed search"
    )
    arguments = parser.parse_args()
    dataset = require_labels(read_coco(arguments.data))
    measure_folds(dataset, arguments.folds)
    measure_twins(dataset, arguments.photos)


if __name__ == "__main__":
    main()
