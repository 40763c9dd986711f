"""Writing all or nothing, one writer at a time; and a measure of loss that sees each pixel."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import AnnotationError, InputError, OutputError, RunError
from bunri.core.files import lock_folder
from bunri.formats import convert
from bunri.formats.convert import measure_loss, write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from tests.coco_data import make_document, make_image, write_coco, write_photos
from tests.formats.sets import EMPTY, FIRST, RULE, SECOND, make_rich_document, write_rich_set

ALL = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
FOLDERS = pytest.mark.parametrize("name", [name for name, f in FORMATS.items() if f.is_folder])
FILES = pytest.mark.parametrize("name", [name for name, f in FORMATS.items() if not f.is_folder])


def list_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture
def dataset(tmp_path):
    return write_rich_set(tmp_path / "data")


# --- loss ---------------------------------------------------------------------------------------


def test_measure_loss__counts_pixels_by_photo(tmp_path, dataset):
    path = tmp_path / "out"
    write_labels(dataset, path, FORMATS["png"], RULE)
    for name, pixels in (
        ("batch_01/0001.png", [(0, 0), (29, 39), (8, 5)]),
        ("empty.png", [(1, 1)]),
    ):
        with Image.open(path / "masks" / name) as picture:
            mask, palette = np.array(picture), picture.getpalette() or []
        for y, x in pixels:
            mask[y, x] = 7 if mask[y, x] != 7 else 1
        changed = Image.fromarray(mask)
        changed.putpalette(palette)
        changed.save(path / "masks" / name)
    loss = measure_loss(dataset, path, FORMATS["png"], RULE)
    assert loss.num_differing == 4
    assert loss.worst == ((FIRST, 3), (EMPTY, 1))
    assert loss.share == pytest.approx(4 / (1200 + 480 + 72))


def test_measure_loss__missing_photo_and_other_class(tmp_path, dataset):
    path = tmp_path / "out.json"
    write_labels(dataset, path, FORMATS["coco"], RULE)
    document = json.loads(path.read_text("utf-8"))
    document["images"] = [row for row in document["images"] if row["file_name"] != SECOND]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] != 3]
    for row in document["categories"]:
        row["name"] = {"Paper": "Glass", "Glass": "Paper"}.get(row["name"], row["name"])
    path.write_text(json.dumps(document), "utf-8")
    loss = measure_loss(dataset, path, FORMATS["coco"], RULE)
    num_objects = int((draw_mask(dataset, dataset.photos[1], RULE) > 0).sum())
    assert loss.worst == ((SECOND, num_objects), (FIRST, 60))  # all of Paper


def test_measure_loss__class_that_the_source_lacks(tmp_path):
    document = make_document(categories=[{"id": 2, "name": "Can"}])
    dataset = read_coco(write_coco(tmp_path, document))
    write_labels(dataset, tmp_path / "out.json", FORMATS["coco"], RULE)
    text = (tmp_path / "out.json").read_text().replace('"Can"', '"Cam"')
    (tmp_path / "out.json").write_text(text)
    assert measure_loss(dataset, tmp_path / "out.json", FORMATS["coco"], RULE).num_differing == 60


# --- writing ------------------------------------------------------------------------------------


@FOLDERS
def test_write__folder_may_be_there_if_it_is_empty(tmp_path, dataset, name):
    (tmp_path / "out").mkdir()
    write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)
    with pytest.raises(OutputError, match="is not empty"):
        write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out"]
    assert ".lock" not in list_files(tmp_path / "out")


@FOLDERS
def test_write__not_into_a_folder_in_use(tmp_path, dataset, name):
    with lock_folder(tmp_path / "out"):
        with pytest.raises(RunError, match="is in use by another bunri process"):
            write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)
        assert list_files(tmp_path / "out") == [".lock"]
    write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)


def test_write__another_process_was_faster(tmp_path, dataset, monkeypatch):
    """The folder was empty at first, and is not any more once it is locked."""
    folder = tmp_path / "out"
    folder.mkdir()

    def be_overtaken(path):
        (folder / "data.yaml").write_text("theirs")
        return lock_folder(path)

    monkeypatch.setattr(convert, "lock_folder", be_overtaken)
    with pytest.raises(OutputError, match="is not empty"):
        write_labels(dataset, folder, FORMATS["yolo"], RULE)
    assert (folder / "data.yaml").read_text() == "theirs"


@FOLDERS
@pytest.mark.parametrize("was_there", [True, False])
def test_write__nothing_is_left_of_a_folder_that_failed(
    tmp_path, dataset, name, was_there, monkeypatch
):
    if was_there:
        (tmp_path / "out").mkdir()
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")

    original = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", lambda self, *a, **k: (original(self, *a, **k), fail(self)))
    with pytest.raises(OutputError, match="the disk is full"):
        write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"] + ["out"] * was_there
    if was_there:
        assert list_files(tmp_path / "out") in ([], [".lock"])


@FILES
def test_write__file_whole_or_not_at_all(tmp_path, dataset, name, monkeypatch):
    path = tmp_path / f"out{FORMATS[name].suffix}"

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="the disk is full"):
            write_labels(dataset, path, FORMATS[name], RULE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]
    write_labels(dataset, path, FORMATS[name], RULE)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_labels(dataset, path, FORMATS[name], RULE)
    assert path.read_bytes() == before


def test_write__destination_of_the_wrong_kind(tmp_path, dataset):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file; YOLO segmentation is a folder"):
        write_labels(dataset, tmp_path / "file", FORMATS["yolo"], RULE)
    with pytest.raises(InputError, match=r"its name must end with .json, not 'out'"):
        write_labels(dataset, tmp_path / "out", FORMATS["coco"], RULE)
    with pytest.raises(InputError, match=r"its name must end with .xml"):
        write_labels(dataset, tmp_path / "out.json", FORMATS["cvat"], RULE)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        write_labels(dataset, tmp_path / "folder.json", FORMATS["coco"], RULE)


def test_write__the_folder_one_stands_in(tmp_path, dataset, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_labels(dataset, Path(), FORMATS["yolo"], RULE)
    assert "data.yaml" in list_files(folder)


# --- photos -------------------------------------------------------------------------------------

PHOTO_FOLDERS = {
    "coco": "", "coco-rle": "", "png": "images", "color-png": "images", "yolo": "images",
    "labelme": "", "cvat": "images", "label-studio": "",
}  # fmt: skip


@ALL
def test_copy_photos__where_the_format_wants_them(tmp_path, dataset, format_):
    write_photos(tmp_path / "data", make_rich_document())
    path = tmp_path / "result" / f"out{format_.suffix}"
    written = write_labels(dataset, path, format_, RULE, copy_photos=True)
    root = (path if format_.is_folder else path.parent) / PHOTO_FOLDERS[format_.name]
    for name in (FIRST, SECOND, EMPTY):
        assert (root / name).read_bytes() == (tmp_path / "data" / name).read_bytes()
    assert written.num_bytes > 0


def test_copy_photos__missing_ones_are_named(tmp_path, dataset):
    with pytest.raises(AnnotationError, match="3 of 3 photos") as caught:
        write_labels(dataset, tmp_path / "out", FORMATS["yolo"], RULE, copy_photos=True)
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "out").exists()


def test_copy_photos__none_is_replaced(tmp_path, dataset):
    write_photos(tmp_path / "data", make_rich_document())
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / EMPTY).write_text("precious")
    path = tmp_path / "result" / "out.json"
    with pytest.raises(OutputError, match="1 photo\\(s\\) exist already"):
        write_labels(dataset, path, FORMATS["coco"], RULE, copy_photos=True)
    assert list_files(tmp_path / "result") == [EMPTY]


def test_copy_photos__onto_themselves(tmp_path, dataset):
    write_photos(tmp_path / "data", make_rich_document())
    before = (tmp_path / "data" / FIRST).read_bytes()
    write_labels(dataset, tmp_path / "data" / "o.json", FORMATS["coco"], RULE, copy_photos=True)
    assert (tmp_path / "data" / FIRST).read_bytes() == before


def test_write__photo_name_that_leaves_the_result(tmp_path):
    """A link in the folder of photos may lead anywhere; the result is a folder of its own."""
    document = make_document(images=[make_image(7, "x/a.jpg")])
    dataset = read_coco(write_coco(tmp_path / "data", document))
    (tmp_path / "data" / "x").symlink_to(tmp_path)
    write_labels(dataset, tmp_path / "out", FORMATS["yolo"], RULE)
    assert (tmp_path / "out" / "labels" / "x" / "a.txt").is_file()
