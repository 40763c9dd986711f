"""Predictions as files: index PNG, overlay with legend, and the areas of each class.

Owns names and layout of the output folder. Knows nothing of models.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bunri.core.classes import ClassTable
from bunri.core.contracts import ImageArray, MaskArray
from bunri.core.errors import InputError, PathError
from bunri.core.files import replace_atomically, write_bytes
from bunri.images.drawing import color_mask, draw_labelled_overlay
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.labels.soft import Planes, write_planes

MASKS_NAME, OVERLAYS_NAME, COLORS_NAME, PROBS_NAME = "masks", "overlays", "colors", "probs"
COMPOSITION_NAME = "composition.csv"
PROBS_SIDE_PX = 2048
"""Longer side of kept probabilities, so that twelve planes can be read again as one picture."""
RESULT_FOLDERS = (MASKS_NAME, OVERLAYS_NAME, COLORS_NAME, PROBS_NAME)


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """A photo to predict, and the name of its results without a suffix."""

    photo: Path
    name: str

    @property
    def file_name(self) -> str:
        """The photo's path below what was given, as a COCO file names it."""
        return self.name + self.photo.suffix


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A photo and what it shows.

    Attributes:
        task: Whose.
        image: uint8 (H, W, 3) RGB, upright.
        mask: uint8 (H, W).
        probs: Probabilities as they are kept, see ``formats.soft``; None where nobody asked.
    """

    task: PhotoTask
    image: ImageArray
    mask: MaskArray
    probs: Planes | None = None


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
    results = [output_folder.resolve() / name for name in RESULT_FOLDERS]
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
    folder: Path, prediction: Prediction, table: ClassTable, *, keeps_colors: bool = False
) -> dict[str, Any]:
    """Write ``masks/NAME.png``, ``overlays/NAME.jpg`` and what else was asked for.

    Args:
        folder: The output folder.
        prediction: The mask's PNG holds its indices, and the class colours as its palette.
        table: The classes.
        keeps_colors: Whether ``colors/NAME.png`` is written, RGB in the class colours.

    Returns:
        The row of ``predictions.json``, see :func:`measure_areas`.

    Raises:
        OutputError: A file cannot be written.
    """
    name, mask, image = prediction.task.name, prediction.mask, prediction.image
    mask_path = folder / MASKS_NAME / f"{name}.png"
    overlay_path = folder / OVERLAYS_NAME / f"{name}.jpg"
    indexed = Image.fromarray(mask)
    indexed.putpalette(table.palette_rgb.tobytes())
    with replace_atomically(mask_path) as temporary:
        indexed.save(temporary)  # optimize=True takes nine times as long for a few per cent
    with replace_atomically(overlay_path) as temporary:
        Image.fromarray(draw_labelled_overlay(image, mask, table)).save(temporary, quality=90)
    more = {}
    if keeps_colors:
        more["colors"] = path = folder / COLORS_NAME / f"{name}.png"
        with replace_atomically(path) as temporary:
            Image.fromarray(color_mask(mask, table)).save(temporary)
    if prediction.probs is not None:
        more["probs"] = path = folder / PROBS_NAME / f"{name}.png"
        write_planes(path, prediction.probs)
    return {
        "photo": str(prediction.task.photo),
        "height_px": image.shape[0],
        "width_px": image.shape[1],
        "mask": mask_path.relative_to(folder).as_posix(),
        "overlay": overlay_path.relative_to(folder).as_posix(),
        **{key: path.relative_to(folder).as_posix() for key, path in more.items()},
        "classes": measure_areas(mask, table),
    }


def write_composition(path: Path, rows: Iterable[Mapping[str, Any]], table: ClassTable) -> None:
    """Write the share of area of each class as CSV: a photo a row, a class a column.

    Args:
        path: The file.
        rows: Those of ``predictions.json``; one with ``error`` has no shares, and says why.
        table: The classes.

    Raises:
        OutputError: It cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["photo", "width_px", "height_px", *table.names, "error"])
    for row in rows:
        shares: list[float | str] = [0.0] * len(table)
        for area in row.get("classes", ()):
            shares[area["index"]] = area["share"]
        sizes = [row.get("width_px", ""), row.get("height_px", "")]
        if "error" in row:
            shares = [""] * len(table)
        writer.writerow([row["photo"], *sizes, *shares, row.get("error", "")])
    # A file name that is not UTF-8 holds lone surrogates; see files.write_json.
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))


def measure_areas(mask: MaskArray, table: ClassTable) -> list[dict[str, Any]]:
    """Return name, pixels and share of each class in ``mask``, largest first."""
    pixels = np.array([np.count_nonzero(mask == index) for index in range(len(table))])
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
