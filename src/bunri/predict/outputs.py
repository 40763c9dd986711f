"""Predictions as files: index PNG, overlay with legend, and the areas of each class.

Owns names and layout of the output folder. Knows nothing of models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bunri.contracts import ClassTable, ImageArray, InputError, MaskArray, PathError
from bunri.drawing import draw_labelled_overlay
from bunri.files import replace_atomically
from bunri.images import PHOTO_SUFFIXES

MASKS_NAME, OVERLAYS_NAME = "masks", "overlays"


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """A photo to predict, and the name of its results without a suffix."""

    photo: Path
    name: str


def find_photos(paths: Sequence[Path], output_folder: Path) -> list[PhotoTask]:
    """Return the photos that files and folders stand for, in a fixed order.

    A file's results carry its stem; photos of a folder, searched through all its levels,
    keep their path below it. Results of an earlier call below ``output_folder`` are no photos.

    Raises:
        PathError: A path does not exist, or a folder holds no photo.
        InputError: Two photos would write the same result.
    """
    tasks: list[PhotoTask] = []
    problems: list[str] = []
    results = [output_folder.resolve() / name for name in (MASKS_NAME, OVERLAYS_NAME)]
    for path in paths:
        if path.is_dir():
            found = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in PHOTO_SUFFIXES
                and not any(p.resolve().is_relative_to(folder) for folder in results)
            )
            tasks += [PhotoTask(p, p.relative_to(path).with_suffix("").as_posix()) for p in found]
            if not found:
                problems.append(f"{path} holds no photo ({', '.join(sorted(PHOTO_SUFFIXES))})")
        elif path.is_file():
            tasks.append(PhotoTask(path, path.stem))
        else:
            problems.append(f"{path} does not exist")
    if problems:
        raise PathError("There is nothing to predict:", problems=problems)
    _refuse_collisions(tasks)
    return tasks


def _refuse_collisions(tasks: Sequence[PhotoTask]) -> None:
    seen: dict[str, Path] = {}
    problems = []
    for task in tasks:
        first = seen.setdefault(task.name, task.photo)
        if first is not task.photo:
            problems.append(f"{first} and {task.photo} would both write {task.name}.png")
    if problems:
        raise InputError(
            "Results would overwrite one another:",
            problems=problems,
            hint="Give the folder that holds them all, or run the command once for each folder.",
        )


def write_prediction(
    folder: Path, task: PhotoTask, image: ImageArray, mask: MaskArray, table: ClassTable
) -> dict[str, Any]:
    """Write ``masks/NAME.png`` and ``overlays/NAME.jpg``; return the photo's row.

    Args:
        folder: The output folder.
        task: Whose result it is.
        image: uint8 (H, W, 3) RGB, upright.
        mask: uint8 (H, W). The PNG holds these indices, and the class colours as its palette.
        table: The classes.

    Returns:
        The row of ``predictions.json``, see :func:`measure_areas`.

    Raises:
        OutputError: A file cannot be written.
    """
    mask_path = folder / MASKS_NAME / f"{task.name}.png"
    overlay_path = folder / OVERLAYS_NAME / f"{task.name}.jpg"
    indexed = Image.fromarray(mask)
    indexed.putpalette(table.palette_rgb.tobytes())
    with replace_atomically(mask_path) as temporary:
        indexed.save(temporary, optimize=True)
    with replace_atomically(overlay_path) as temporary:
        Image.fromarray(draw_labelled_overlay(image, mask, table)).save(temporary, quality=90)
    return {
        "photo": str(task.photo),
        "height_px": image.shape[0],
        "width_px": image.shape[1],
        "mask": mask_path.relative_to(folder).as_posix(),
        "overlay": overlay_path.relative_to(folder).as_posix(),
        "classes": measure_areas(mask, table),
    }


def measure_areas(mask: MaskArray, table: ClassTable) -> list[dict[str, Any]]:
    """Return name, pixels and share of each class in ``mask``, largest first."""
    pixels = np.bincount(mask.ravel(), minlength=len(table))[: len(table)]
    order = sorted(np.flatnonzero(pixels).tolist(), key=lambda index: -int(pixels[index]))
    return [
        {
            "index": index,
            "name": table.classes[index].name,
            "name_ko": table.classes[index].name_ko,
            "pixels": int(pixels[index]),
            "share": round(float(pixels[index]) / mask.size, 6),
        }
        for index in order
    ]
