"""The doctor on the real photos: overlap that matters, and copies that were edited."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.doctor.test_doctor import examine, find, list_names

pytestmark = pytest.mark.photos


def brighten(image):
    return Image.fromarray((np.asarray(image) * 1.2).clip(0, 255).astype(np.uint8))


EDITS = {
    "resized": lambda image: image.resize((300, 300)),
    "re-encoded": lambda image: image,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "cropped": lambda image: image.crop((0, 51, 512, 512)),
    "cropped all round": lambda image: image.crop((51, 51, 461, 461)),
    "brighter": brighten,
    "all of it": lambda image: brighten(
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((51, 0, 512, 512))
    ).resize((320, 320)),
}


def test_examine__overlap_rules_disagree_on_eight_photos(photos):
    diagnosis = examine(photos / "recycle_trash" / "train_all.json")
    assert find(diagnosis, "overlap-rule-matters").count == 8
    assert not diagnosis.has_errors
    assert not {"near-duplicate-photo", "duplicate-photo"} & list_names(diagnosis)


@pytest.mark.parametrize(("one", "other"), [("train", "val"), ("train_all", "test")])
def test_examine__real_splits_share_no_photo(photos, one, other):
    root = photos / "recycle_trash"
    diagnosis = examine(root / f"{one}.json", root / f"{other}.json")
    assert not {"leaked-photo", "near-leaked-photo"} & list_names(diagnosis)


def test_examine__edited_copies_of_test_photos_are_found(photos, tmp_path):
    root = photos / "recycle_trash"
    rows = json.loads((root / "test.json").read_text())["images"]
    images = []
    for position, (name, edit) in enumerate(EDITS.items()):
        copy = edit(Image.open(root / rows[7 * position]["file_name"]))
        copy.save(tmp_path / f"{name}.jpg", quality=60)
        images.append({"id": position, "file_name": f"{name}.jpg",
                       "width": copy.width, "height": copy.height})  # fmt: skip
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"images": images, "categories": []}))
    leaks = find(examine(path, root / "test.json"), "near-leaked-photo").examples
    found = {example.file: example.other_file for example in leaks}
    assert found == {
        f"{name}.jpg": rows[7 * position]["file_name"] for position, name in enumerate(EDITS)
    }
