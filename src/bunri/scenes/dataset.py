"""A rendered data set in the competition's layout, with the truth of its test photos."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bunri.core.errors import ConfigError
from bunri.core.files import replace_atomically, write_json, write_text
from bunri.core.progress import Progress, show_nothing
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.outlines import encode_region
from bunri.labels.rasterize import find_box
from bunri.labels.run_lengths import count_pixels, encode_counts
from bunri.scenes.catalogue import PHOTO_SHARES
from bunri.scenes.render import Scene, render_scene
from bunri.submission.format import HEADER

MIN_SCENES = 10
MAX_SCENES = 9999
"""Photo names have four digits."""
PHOTO_FOLDERS = ("batch_01_vt", "batch_02_vt", "batch_03")
SPLIT_NAMES = ("train", "val", "test")
_FILE_NAMES = (
    "train.json", "val.json", "train_all.json", "test.json", "test_labelled.json",
    "sample_submission.csv",
)  # fmt: skip
_VAL_SHARE, _TEST_SHARE = 0.16, 0.2
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """Split and file name of a photo, and the arguments of ``render_scene`` for it."""

    split: str
    file_name: str
    seed: int
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleDataset:
    """Paths of a written data set; photo names are relative to ``root``."""

    root: Path
    train_json: Path
    val_json: Path
    train_all_json: Path  # train and val together
    test_json: Path  # without annotations
    test_labelled_json: Path
    sample_submission_csv: Path  # only the header


def write_sample_dataset(
    root: Path,
    num_scenes: int = 120,
    seed: int = 21,
    size_px: int = 512,
    progress: Progress = show_nothing,
) -> SampleDataset:
    """Render photos and write them in the competition's layout.

    Args:
        root: Output folder; files of the same name are replaced.
        num_scenes: Number of photos, 10 to 9999.
        seed: Seed of everything, at least 0.
        size_px: Side of the photos in px, 64 to 2048.
        progress: Display of the photos done.

    Raises:
        ConfigError: An argument is out of range.
        OutputError: Something cannot be written.
    """
    plans = plan_scenes(num_scenes, seed)
    annotations: dict[str, list[dict[str, Any]]] = {}
    with progress("Rendering scenes", num_scenes) as advance:
        for plan in plans:
            scene = render_scene(plan.seed, size_px, plan.classes)
            with replace_atomically(root / plan.file_name) as temporary:
                Image.fromarray(scene.image).save(temporary, quality=_JPEG_QUALITY)
            annotations[plan.file_name] = describe_objects(scene)
            advance()
    return _write_tables(root, plans, annotations, size_px)


def plan_scenes(num_scenes: int, seed: int) -> list[ScenePlan]:
    """Return the plan of every photo of a data set.

    In each split a class appears in the same share of the photos as in the real data, and in at
    least one photo.
    """
    if not MIN_SCENES <= num_scenes <= MAX_SCENES:
        raise ConfigError(
            f"num_scenes is {num_scenes}; it must be {MIN_SCENES} to {MAX_SCENES}, so that "
            "every split has photos."
        )
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    rng = np.random.default_rng([seed, num_scenes])
    num_val, num_test = round(_VAL_SHARE * num_scenes), round(_TEST_SHARE * num_scenes)
    counts = (num_scenes - num_val - num_test, num_val, num_test)
    rows = [
        (split, chosen)
        for split, count in zip(SPLIT_NAMES, counts, strict=True)
        for chosen in _share_out_classes(rng, count)
    ]
    scene_seeds = rng.choice(2**31, num_scenes, replace=False).tolist()
    return [
        ScenePlan(
            rows[row][0], _name_photo(position, num_scenes), scene_seeds[position], rows[row][1]
        )
        for position, row in enumerate(rng.permutation(num_scenes).tolist())
    ]


def _share_out_classes(rng: np.random.Generator, num_photos: int) -> list[tuple[int, ...]]:
    photos: list[set[int]] = [set() for _ in range(num_photos)]
    for index, share in PHOTO_SHARES.items():
        count = max(round(share * num_photos), 1)
        for photo in rng.choice(num_photos, count, replace=False).tolist():
            photos[photo].add(index)
    for photo in photos:
        if not photo:
            fullest = max(photos, key=len)
            moved = int(rng.choice(sorted(fullest)))
            fullest.discard(moved)
            photo.add(moved)
    return [tuple(sorted(photo)) for photo in photos]


def _name_photo(position: int, num_scenes: int) -> str:
    per_folder = -(-num_scenes // len(PHOTO_FOLDERS))
    folder, number = divmod(position, per_folder)
    return f"{PHOTO_FOLDERS[folder]}/{number + 1:04d}.jpg"


def describe_objects(scene: Scene) -> list[dict[str, Any]]:
    """Return the COCO annotations of a scene, without ids.

    Only the visible part of an object is described, so that no two overlap and the order in which
    they are drawn does not matter. Objects that are wholly covered are left out.
    """
    rows = []
    covered = np.zeros(scene.image.shape[:2], np.bool_)
    for thing in reversed(scene.objects):
        seen = thing.mask & ~covered
        covered |= thing.mask
        if not seen.any():
            continue
        runs = encode_region(seen)
        rows.append(
            {
                "category_id": thing.class_index - 1,
                "segmentation": {"size": list(runs.size_hw), "counts": encode_counts(runs.counts)},
                "area": float(count_pixels(runs)),
                "bbox": [float(side) for side in find_box(runs)],
                "iscrowd": 0,
            }
        )
    return rows[::-1]


def _write_tables(
    root: Path,
    plans: Sequence[ScenePlan],
    annotations: Mapping[str, list[dict[str, Any]]],
    size_px: int,
) -> SampleDataset:
    paths = SampleDataset(root, *(root / name for name in _FILE_NAMES))
    for path, splits in (
        (paths.train_json, {"train"}),
        (paths.val_json, {"val"}),
        (paths.train_all_json, {"train", "val"}),
        (paths.test_labelled_json, {"test"}),
    ):
        photos = [plan.file_name for plan in plans if plan.split in splits]
        coco = _build_coco(photos, annotations, size_px)
        write_json(path, coco)
    del coco["annotations"]  # of the test split
    write_json(paths.test_json, coco)
    write_text(paths.sample_submission_csv, f"{HEADER}\n")
    return paths


def _build_coco(
    photos: Iterable[str], annotations: Mapping[str, list[dict[str, Any]]], size_px: int
) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for image_id, name in enumerate(photos):
        size = {"height": size_px, "width": size_px}
        images.append(
            {"license": 0, "file_name": name, **size, "date_captured": None, "id": image_id}
        )
        rows += [
            {"id": len(rows) + number, "image_id": image_id, **row}
            for number, row in enumerate(annotations[name])
        ]
    return {
        "info": {"description": "Rendered photos of waste; every pixel's class is known."},
        "licenses": [{"id": 0, "name": "CC0", "url": None}],
        "images": images,
        "categories": [
            {"id": index, "name": info.name, "supercategory": info.name}
            for index, info in enumerate(COMPETITION_TABLE.classes[1:])
        ],
        "annotations": rows,
    }
