"""Faults to plant in the clean set: each is a function that spoils a document or a photo."""

import struct
import zlib

import numpy as np
from PIL import Image

from tests.coco_data import box
from tests.doctor.clean_set import HEIGHT, WIDTH, draw_scene

# --- faults of the JSON: (check, what is done to a clean document) ------------------------------


def outline(*parts):
    """Return a plant that gives the first object another outline."""

    def plant(document):
        document["annotations"][0]["segmentation"] = list(parts)

    return plant


def measured(plant_outline, area, bbox):
    """Return a plant whose area and bbox fit its outline, so that only the outline is at fault."""

    def plant(document):
        plant_outline(document)
        document["annotations"][0] |= {"area": area, "bbox": bbox}

    return plant


def edit(list_name, position, **values):
    """Return a plant that changes values of one row."""

    def plant(document):
        document[list_name][position] |= values

    return plant


def remove(list_name, position, key):
    def plant(document):
        del document[list_name][position][key]

    return plant


def rename_ids(document):
    for row in document["images"]:
        row["id"] += 100
    for row in document["annotations"]:
        row["image_id"] += 100


def number_categories_from_one(document):
    for row in document["categories"]:
        row["id"] += 1
    for row in document["annotations"]:
        row["category_id"] += 1


def repeat_image_id(document):
    # An image more, whose id another has; it is not looked at, so nothing else is said of it.
    document["images"].append({**document["images"][0], "file_name": "photos/more.jpg"})


def list_file_twice(document):
    image = {**document["images"][0], "id": 6}
    document["images"].append(image)
    more = {"id": 66, "image_id": 6, "segmentation": [box(68, 42, 10, 6)], "bbox": [68, 42, 10, 6]}
    document["annotations"].append({**document["annotations"][0], **more})


def make_cycle(document):
    first, second, third = document["categories"][:3]
    first["supercategory"], second["supercategory"] = second["name"], third["name"]
    third["supercategory"] = first["name"]


def empty_categories(document):
    document["categories"] = []


def repeat_category_id(document):
    document["categories"].append({"id": 3, "name": "Straw", "supercategory": "x"})


def repeat_category_name(document):
    document["categories"] = [{"id": 0, "name": "Straw"}, {"id": 1, "name": "Cap"},
                              {"id": 2, "name": "straw "}]  # fmt: skip
    for row in document["annotations"]:
        row["category_id"] %= 3


def repeat_object(document):
    document["annotations"].append({**document["annotations"][5], "id": 66})


def overlap(low_first):
    """Return a plant of two boxes, 200 and 60 px, whose 60 px both claim."""

    def plant(document):
        small, large = document["annotations"][:2]
        if low_first:  # the large one has the lower class: both rules put the small one on top
            small["category_id"], large["category_id"] = 1, 0
        large |= {"segmentation": [box(2, 2, 20, 10)], "area": 200, "bbox": [2, 2, 20, 10]}

    return plant


def forget_objects(document):
    document["annotations"] = [row for row in document["annotations"] if row["image_id"]]
    # The other photos have enough of every class.


def add_fraction_id(document):
    document["annotations"].append({**document["annotations"][0], "id": 1.5})


def forget_labels(document):
    del document["annotations"]


def thin_out(document):
    document["annotations"] = [row for row in document["annotations"]
                               if row["category_id"] != 9 or row["image_id"] < 4]  # fmt: skip


RUNS = {"size": [HEIGHT, WIDTH], "counts": [128, 60, HEIGHT * WIDTH - 188]}

PLANTS = [
    ("missing-key", remove("annotations", 0, "segmentation")),
    ("missing-key", remove("categories", 0, "name")),
    ("missing-key", lambda document: document.pop("categories")),
    ("missing-key", lambda document: document.pop("images")),
    ("wrong-type", edit("annotations", 0, image_id="0")),
    ("wrong-type", lambda document: document["annotations"].append("object")),
    ("wrong-type", lambda document: document["annotations"].append([])),
    ("wrong-type", add_fraction_id),
    ("wrong-type", edit("images", 0, ignored={"size": [1, 1], "counts": [1]})),
    ("wrong-type", edit("images", 0, soft="a.png")),
    ("missing-optional-key", remove("annotations", 0, "area")),
    ("missing-optional-key", edit("annotations", 0, bbox=None)),
    ("duplicate-image-id", repeat_image_id),
    ("duplicate-annotation-id", edit("annotations", 1, id=0)),
    ("duplicate-category-id", repeat_category_id),
    ("duplicate-category-name", repeat_category_name),
    ("duplicate-file-name", list_file_twice),
    ("dangling-image", edit("annotations", 0, image_id=99)),
    ("dangling-category", edit("annotations", 0, category_id=99)),
    ("ids-not-positions", rename_ids),
    ("renamed-category", edit("categories", 2, name="Papers")),
    ("unknown-category", edit("categories", 2, name="Cigarette")),
    ("renumbered-categories", number_categories_from_one),
    ("category-cycle", make_cycle),
    ("no-categories", empty_categories),
    ("bad-polygon", outline([2, 2, 12, 2, 12])),
    ("bad-polygon", outline([2, 2, 12, True, 12, 8])),
    ("bad-polygon", outline([[2, 2], [12, 2], [12, 8]])),
    ("bad-polygon", edit("annotations", 0, segmentation=None)),
    ("not-finite", outline([2, 2, 12, float("nan"), 12, 8])),
    ("not-finite", outline([2, 2, 12, float("-inf"), 12, 8])),
    ("far-coordinate", outline([2, 2, 12, 2, 1e6, 8])),
    ("far-coordinate", outline([2, 2, 12, 2, 10**400, 8])),
    ("huge-outline", outline([0, 0, 90_000, 0] * 20)),
    ("wrong-rle-size", edit("annotations", 0, segmentation={**RUNS, "size": [WIDTH, HEIGHT]})),
    ("bad-rle", edit("annotations", 0, segmentation={**RUNS, "counts": [1, 2, 3]})),
    ("bad-rle", edit("annotations", 0, segmentation={**RUNS, "counts": [2**62, 2**62, -1]})),
    ("bad-rle", edit("annotations", 0, segmentation={**RUNS, "counts": "\x1b[2J"})),
    ("too-few-points", outline(box(2, 2, 10, 6), [3, 3, 5, 5])),
    ("empty-segmentation", outline()),
    ("empty-segmentation", outline([])),
    ("out-of-frame", outline(box(-12, 2, 24, 6))),
    ("out-of-frame", outline(box(WIDTH + 5, 2, 10, 6))),
    ("zero-area", outline([2, 2, 12, 2, 12, 2])),
    ("self-crossing", outline([2, 2, 12, 12, 12, 2, 2, 12])),
    ("sliver", measured(outline(box(2, 12, 40, 1)), 40, [2, 12, 40, 1])),
    ("tiny-object", measured(outline(box(2, 2, 3, 5)), 15, [2, 2, 3, 5])),
    ("area-mismatch", edit("annotations", 0, area=90)),
    ("area-mismatch", edit("annotations", 0, area="60")),
    ("area-mismatch", edit("annotations", 0, area=float("nan"))),
    ("bbox-mismatch", edit("annotations", 0, bbox=[2, 2, 6, 10])),
    ("bbox-mismatch", edit("annotations", 0, bbox=[2, 2, 10])),
    ("duplicate-annotation", repeat_object),
    ("crowd-object", edit("annotations", 0, iscrowd=1)),
    ("overlap", overlap(low_first=True)),
    ("overlap-rule-matters", overlap(low_first=False)),
    ("unlabelled-photo", forget_objects),
    ("no-labels", forget_labels),
    ("rare-class", thin_out),
]  # fmt: skip

# Rows of 'images' that name no usable photo; the objects of such a photo are not held against it.
IMAGE_PLANTS = [
    ("missing-key", remove("images", 0, "height")),
    ("wrong-type", edit("images", 0, width=0)),
    ("wrong-type", edit("images", 0, height=1e9)),
    ("wrong-type", edit("images", 0, file_name=7)),
    ("frame-too-large", edit("images", 0, width=10**9)),
    ("bad-path", edit("images", 0, file_name="/etc/passwd")),
    ("bad-path", edit("images", 0, file_name="C:\\photos\\1.jpg")),
    ("bad-path", edit("images", 0, file_name="../1.jpg")),
]


# --- faults of the photos: (check, what is done to the first photo) -----------------------------


def save_as(mode="RGB", **options):
    """Return a plant that stores the photo again with Pillow's options."""

    def plant(path):
        image = Image.open(path).convert(mode)
        image.save(path, **{"format": "JPEG", "quality": 95, **options})

    return plant


def turn(orientation, *, is_stored_turned):
    def plant(path):
        image = Image.open(path).convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = image.transpose(Image.Transpose.ROTATE_90) if is_stored_turned else image
        stored.save(path, quality=95, exif=exif)

    return plant


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_deep_png(path):
    """Write a 16-bit RGB PNG, which Pillow can read but not write."""
    pixels = np.random.default_rng(5).integers(0, 2**16, (HEIGHT, WIDTH, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def animate(path):
    frames = [draw_scene(seed).convert("RGB") for seed in (70, 71)]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])


PHOTO_PLANTS = [
    ("photo-missing", ".jpg", lambda path: path.unlink()),
    ("photo-unreadable", ".jpg", lambda path: path.write_bytes(b"")),
    ("photo-unreadable", ".jpg", lambda path: path.write_bytes(b"no photo")),
    ("photo-unreadable", ".jpg", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0")),
    ("photo-unsupported", ".jpg", save_as(format="GIF")),
    ("photo-unsupported", ".jpg", save_as(format="TIFF")),
    ("photo-unsupported", ".jpg", lambda path: path.write_bytes(b"<html>404</html>")),
    ("photo-size-mismatch", ".jpg", lambda path: draw_scene(0, 60, 96).save(path)),
    ("photo-exif-rotated", ".jpg", turn(3, is_stored_turned=False)),
    ("photo-exif-rotated", ".jpg", turn(6, is_stored_turned=True)),
    ("photo-exif-conflict", ".jpg", turn(6, is_stored_turned=False)),
    ("photo-wrong-type", ".jpg", save_as(format="PNG")),
    ("photo-wrong-type", ".png", save_as(format="WEBP")),
    ("photo-16-bit", ".png", write_deep_png),
    ("photo-cmyk", ".jpg", save_as(mode="CMYK")),
    ("photo-alpha", ".png", save_as(mode="RGBA", format="PNG")),
    ("photo-animated", ".webp", animate),
    ("photo-grey", ".jpg", save_as(mode="L")),
]
