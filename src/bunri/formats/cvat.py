"""CVAT for images 1.1: one XML with polygons and masks.

Format: https://docs.cvat.ai/docs/other/xml_format. The ``rle`` of a mask counts along the rows of
its box, background first. Objects of a higher ``z_order`` lie on top. Polygons with the same label
and ``group_id`` are one object, as in CVAT's own export to COCO.
"""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePath
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from bunri.core.contracts import MAX_JSON_BYTES
from bunri.core.errors import AnnotationError, PathError, summarize
from bunri.core.files import is_file, is_folder, replace_atomically
from bunri.core.progress import Progress
from bunri.formats.base import Format, ReadOptions, start_of_text
from bunri.formats.coco import pair_points
from bunri.formats.naming import find_single_file, refuse_unprintable
from bunri.formats.reading import SetBuilder, make_polygon
from bunri.formats.shapes import to_polygons_or_masks
from bunri.labels.outlines import encode_region
from bunri.labels.rasterize import draw_crop
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, RunLengths
from bunri.labels.rules import OverlapRule

USUAL_NAME, PHOTOS_NAME = "annotations.xml", "images"


def write_cvat(dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress) -> None:
    """Write the XML, polygons as polygons and run lengths as masks."""
    refuse_unprintable(dataset.category_names.values(), "XML")
    refuse_unprintable((photo.file_name for photo in dataset.photos), "XML")
    with (
        replace_atomically(path) as temporary,
        temporary.open("w", encoding="utf-8") as file,
        progress("Writing labels", len(dataset.photos)) as advance,
    ):
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("  <version>1.1</version>\n  <meta>\n    <task>\n")
        file.write(f"      <size>{len(dataset.photos)}</size>\n      <mode>annotation</mode>\n")
        file.writelines(_describe_labels(dataset))
        file.write("    </task>\n  </meta>\n")
        for number, photo in enumerate(dataset.photos):
            file.writelines(_describe_photo(dataset, photo, number))
            advance()
        file.write("</annotations>\n")


def _describe_labels(dataset: LabelledSet) -> Iterator[str]:
    yield "      <labels>\n"
    for id_, name in dataset.category_names.items():
        red, green, blue = dataset.table.classes[dataset.index_of_category[id_]].color_rgb
        yield f"        <label><name>{escape(name)}</name>"
        yield f"<color>#{red:02x}{green:02x}{blue:02x}</color><type>any</type></label>\n"
    yield "      </labels>\n"


def _describe_photo(dataset: LabelledSet, photo: Photo, number: int) -> Iterator[str]:
    name = quoteattr(photo.file_name)
    yield f'  <image id="{number}" name={name}'
    yield f' width="{photo.width_px}" height="{photo.height_px}">\n'
    groups = count(1)
    for z_order, annotation in enumerate(dataset.annotations.get(photo.id, ())):
        label = quoteattr(dataset.category_names[annotation.category_id])
        shared = f'label={label} source="manual" occluded="0" z_order="{z_order}"'
        if isinstance(annotation.segmentation, Polygons):
            parts = annotation.segmentation.parts
            group = f' group_id="{next(groups)}"' if len(parts) > 1 else ""
            for part in parts:
                points = ";".join(f"{x},{y}" for x, y in pair_points(part.tolist()))
                yield f'    <polygon {shared}{group} points="{points}"/>\n'
        else:
            yield from _describe_mask(annotation, photo, shared)
    yield "  </image>\n"


def _describe_mask(annotation: Annotation, photo: Photo, shared: str) -> Iterator[str]:
    crop, (left, top) = draw_crop(annotation.segmentation, photo.size_hw)
    height, width = crop.shape
    if crop.size:
        counts = encode_region(crop.T).counts  # transposed, so that it counts along rows
        yield f'    <mask {shared} rle="{", ".join(map(str, counts.tolist()))}" '
        yield f'left="{left}" top="{top}" width="{width}" height="{height}"/>\n'


def read_cvat(path: Path, options: ReadOptions) -> LabelledSet:
    """Read CVAT's XML, or the only one in a folder."""
    file = find_single_file(path, ".xml", USUAL_NAME)
    if not is_file(file):
        raise PathError(f"{file} does not exist.")
    if file.stat().st_size > MAX_JSON_BYTES:
        raise AnnotationError(f"{file} has more than {MAX_JSON_BYTES} bytes.")
    photos_beside = file.parent / PHOTOS_NAME
    root = options.image_root or (photos_beside if is_folder(photos_beside) else file.parent)
    builder = SetBuilder(file, root, options)
    declared: list[str] | None = None
    number = 0
    for element in _iterate_elements(file, builder):
        if element.tag == "meta":
            names = [name.text or "" for name in element.iterfind(".//labels/label/name")]
            declared = names or None
        else:
            number += 1
            with builder.catch(f"image {number} ({element.get('name', '')!r})"):
                _read_image(element, builder)
    return builder.build(declared)


def _iterate_elements(file: Path, builder: SetBuilder) -> Iterator[Element]:
    """Yield ``meta`` and each ``image`` once it is complete; its memory is freed afterwards."""
    depth = 0
    try:
        with file.open("rb") as stream:
            for event, element in iterparse(stream, ("start", "end"), forbid_dtd=True):
                depth += 1 if event == "start" else -1
                if event == "start" and depth == 1 and element.tag != "annotations":
                    raise AnnotationError(
                        f"{file} is not CVAT's XML: it begins with <{element.tag[:40]}>, "
                        "not with <annotations>."
                    )
                if event == "end" and depth == 1:
                    if element.tag == "track":
                        builder.problems.append(
                            "a <track>: this is CVAT for video; export as CVAT for images 1.1"
                        )
                    elif element.tag in ("meta", "image"):
                        yield element
                    element.clear()
    except DefusedXmlException as error:
        raise AnnotationError(
            f"{file} declares a document type or entities; CVAT writes none."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationError(f"{file} is not XML: {summarize(error)}.") from error
    except OSError as error:
        raise PathError(f"{file} cannot be read: {error.strerror}.") from error


def _read_image(element: Element, builder: SetBuilder) -> None:
    height, width = (_read_integer(element, key) for key in ("height", "width"))
    photo = builder.add_photo(element.get("name"), height, width)
    shapes = [child for child in element if child.tag in ("polygon", "mask")]
    for child in element:
        if child.tag not in ("polygon", "mask"):
            builder.leave_out(f"<{child.tag[:24]}>")
    for number, shape in enumerate(
        sorted(shapes, key=lambda shape: _read_integer(shape, "z_order", 0))
    ):
        where = f"image {photo.file_name!r}, <{shape.tag}> {number}"
        with builder.catch(where):
            if shape.tag == "polygon":
                polygon = _read_points(shape.get("points", ""))
                group = _read_integer(shape, "group_id", 0)
                builder.add_object(where, photo, shape.get("label"), polygon, group or None)
            else:
                builder.add_object(where, photo, shape.get("label"), _read_mask(shape, photo))


def _read_integer(element: Element, key: str, default: int | None = None) -> int:
    text = element.get(key)
    if text is None and default is not None:
        return default
    if text is None or not text.removeprefix("-").isdecimal() or len(text) > 12:
        raise AnnotationError(f"{key!r} must be an integer, not {(text or '')[:24]!r}")
    return int(text)


def _read_points(text: str) -> Polygons:
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise AnnotationError("'points' must look like x,y;x,y;...")
    try:
        values = [float(value) for pair in pairs for value in pair]
    except ValueError as error:
        raise AnnotationError(f"'points' must be numbers: {summarize(error)}") from error
    return make_polygon(values)


def _read_mask(shape: Element, photo: Photo) -> RunLengths:
    left, top, width, height = (_read_integer(shape, k) for k in ("left", "top", "width", "height"))
    is_inside = left >= 0 and top >= 0 and width > 0 and height > 0
    if not is_inside or left + width > photo.width_px or top + height > photo.height_px:
        raise AnnotationError(
            f"the mask's box (left {left}, top {top}, width {width}, height {height}) must lie in "
            f"the photo, {photo.width_px}x{photo.height_px}"
        )
    texts = [text.strip() for text in shape.get("rle", "").split(",")]
    if not all(text.isdecimal() and len(text) <= 12 for text in texts):
        raise AnnotationError("'rle' must be counts such as 3, 5, 2")
    counts = [int(text) for text in texts]
    if sum(counts) != width * height:
        raise AnnotationError(
            f"'rle' covers {sum(counts)} pixels, its box {width}x{height} has {width * height}"
        )
    values = np.arange(len(counts)) % 2 == 1
    crop = np.repeat(values, counts).reshape(height, width)
    return encode_region(crop, photo.size_hw, (left, top))


def _recognize(_path: PurePath, head: bytes) -> str:
    text = start_of_text(head)
    is_cvat = text.startswith("<") and re.search(r"<annotations[\s>]", text)
    return "<annotations>" if is_cvat else ""


CVAT = Format(
    "cvat", "CVAT for images 1.1", ".xml", read_cvat, write_cvat, to_polygons_or_masks,
    file_suffixes=(".xml",), recognize=_recognize, photo_folder=PHOTOS_NAME,
)  # fmt: skip
