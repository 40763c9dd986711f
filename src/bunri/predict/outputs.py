"""Predictions as files: index PNG, overlay with legend, and the area of each class."""

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
from bunri.images.drawing import color_mask, draw_labelled_overlay, make_index_picture
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.labels.soft import Planes, write_planes

MASKS_NAME, OVERLAYS_NAME, COLORS_NAME, PROBS_NAME = "masks", "overlays", "colors", "probs"
COMPOSITION_NAME = "composition.csv"
PROBS_SIDE_PX = 2048
"""Longer side of written probabilities, so that twelve planes can be read back as one picture."""
RESULT_FOLDERS = (MASKS_NAME, OVERLAYS_NAME, COLORS_NAME, PROBS_NAME)


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """A photo to predict, and the name of its results without a suffix."""

    photo: Path
    name: str

    @property
    def file_name(self) -> str:
        """Path of the photo below the given folder, as a COCO file names it."""
        return self.name + self.photo.suffix


@dataclass(frozen=True, slots=True, eq=False)
class PredictedPhoto:
    """A photo and its prediction, to be written.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright.
        mask: uint8 (H, W), class indices.
        probs: Probabilities as :mod:`bunri.labels.soft` writes them; None if they are not wanted.
    """

    task: PhotoTask
    image: ImageArray
    mask: MaskArray
    probs: Planes | None = None


def find_photos(paths: Sequence[Path], output_folder: Path) -> list[PhotoTask]:
    """Return the photos of files and folders, in a fixed order.

    Results of a file are named by its stem; photos of a folder, searched through all its levels,
    keep their path below it. Results of an earlier call below ``output_folder`` are left out.
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
    seen: dict[str, Path] = {}
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
    return tasks


def write_prediction(
    folder: Path, prediction: PredictedPhoto, table: ClassTable, *, keeps_colors: bool = False
) -> dict[str, Any]:
    """Write ``masks/NAME.png`` (indices, colours as palette), ``overlays/NAME.jpg`` and more.

    Args:
        folder: Output folder.
        prediction: Photo with its mask; ``probs/NAME.png`` is written if it has probabilities.
        table: The classes.
        keeps_colors: Also write ``colors/NAME.png``, RGB in the class colours.

    Returns:
        Row of ``predictions.json``.

    Raises OutputError: A file cannot be written.
    """
    name, mask, image = prediction.task.name, prediction.mask, prediction.image
    overlay = Image.fromarray(draw_labelled_overlay(image, mask, table))
    # optimize=True takes nine times as long for a few per cent.
    written = {
        "mask": _save(make_index_picture(mask, table), folder / MASKS_NAME, f"{name}.png"),
        "overlay": _save(overlay, folder / OVERLAYS_NAME, f"{name}.jpg"),
    }
    if keeps_colors:
        colored = Image.fromarray(color_mask(mask, table))
        written["colors"] = _save(colored, folder / COLORS_NAME, f"{name}.png")
    if prediction.probs is not None:
        written["probs"] = f"{PROBS_NAME}/{name}.png"
        write_planes(folder / written["probs"], prediction.probs)
    return {
        "photo": str(prediction.task.photo),
        "height_px": image.shape[0],
        "width_px": image.shape[1],
        **written,
        "classes": measure_areas(mask, table),
    }


def _save(picture: Image.Image, folder: Path, name: str) -> str:
    with replace_atomically(folder / name) as temporary:
        picture.save(temporary, quality=90)  # of JPEG; PNG has none
    return f"{folder.name}/{name}"


def write_composition(path: Path, rows: Iterable[Mapping[str, Any]], table: ClassTable) -> None:
    """Write the share of each class as CSV, one row per photo and one column per class.

    Args:
        path: The CSV file.
        rows: Rows of ``predictions.json``; one with ``error`` has the reason in place of shares.
        table: The classes.
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
    # A file name that is not UTF-8 holds lone surrogates; see write_json.
    write_bytes(path, text.getvalue().encode("utf-8", "backslashreplace"))


def measure_areas(mask: MaskArray, table: ClassTable) -> list[dict[str, Any]]:
    """Return index, names, pixels and share of each class in ``mask``, largest first."""
    pixels = [int(np.count_nonzero(mask == index)) for index in range(len(table))]
    order = sorted(filter(pixels.__getitem__, range(len(table))), key=lambda i: -pixels[i])
    return [
        {
            "index": index,
            "name": table.classes[index].name,
            "name_ko": table.classes[index].name_ko,
            "pixels": pixels[index],
            "share": round(pixels[index] / mask.size, 6),
        }
        for index in order
    ]
