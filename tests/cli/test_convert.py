"""``bunri convert`` from the command line: what it says, what it writes, how it ends."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from bunri.formats import png
from bunri.formats.registry import FORMATS
from bunri.images.photos import read_index_mask
from tests.builders import write_data
from tests.cli.runner import plain_environment, run
from tests.coco_data import make_annotation, make_document, make_image, write_coco
from tests.formats.sets import FIRST, make_rich_document


@pytest.fixture
def source(tmp_path):
    return write_coco(tmp_path / "data", make_rich_document())


def zip_folder(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for entry in sorted(folder.rglob("*")):
            file.write(entry, entry.relative_to(folder.parent))
    return path


def assert_refused(ended, *parts):
    assert ended.code == 2, (ended.out, ended.err)
    for part in parts:
        assert part in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", FORMATS)
def test_convert__there_and_back(tmp_path, source, name):
    """Out to a format, into an archive with photos, and back to COCO: not one pixel."""
    data = write_data(tmp_path / "photos", size_hw=(40, 50))
    folder = tmp_path / "result"
    path = folder / f"labels{FORMATS[name].suffix}"
    ended = run("convert", data.train, path, "--to", name, "--copy-photos", "--exact")
    assert ended.code == 0, ended.err
    assert f"{path}: 6 photos, 12 objects, " in ended.out
    assert "Exact: read back, 0 of 12000 pixels differ." in ended.out
    assert "train.json is read as coco" in ended.err
    archive = zip_folder(path if FORMATS[name].is_folder else folder, tmp_path / "export.zip")
    back = tmp_path / "back.json"
    ended = run("convert", archive, back, "--to", "coco", "--like", data.train, "--exact")
    assert ended.code == 0, ended.err
    expected = "coco" if name == "coco-rle" else name
    assert f"export.zip is read as {expected} (" in ended.err
    original, result = (json.loads(p.read_text("utf-8")) for p in (data.train, back))
    assert {(i["id"], i["file_name"]) for i in result["images"]} == {
        (i["id"], i["file_name"]) for i in original["images"]
    }
    assert {c["id"]: c["name"] for c in result["categories"]} == {
        c["id"]: c["name"] for c in original["categories"]
    }
    areas = {(a["image_id"], a["category_id"]): a["area"] for a in result["annotations"]}
    for row in original["annotations"]:
        left, top, _, _, right, bottom, *_ = row["segmentation"][0]
        area = (right - left) * (bottom - top)
        assert areas[row["image_id"], row["category_id"]] == area


def test_convert__report_as_json(tmp_path, source):
    ended = run("convert", source, tmp_path / "out", "--to", "yolo", "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    size = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert report == {
        "source": str(source),
        "from": "coco",
        "destination": str(tmp_path / "out"),
        "to": "yolo",
        "overlap_rule": "largest-first",
        "num_photos": 3,
        "num_objects_read": 6,
        "num_objects": report["num_objects"],
        "num_cut_photos": 1,
        "num_bytes": size,
        "warnings": [],
        "loss": {"pixels": 1752, "differing": 0, "share": 0.0, "photos": []},
    }


def test_convert__says_where_photos_belong(tmp_path, source):
    ended = run("convert", source, tmp_path / "out", "--to", "yolo")
    assert "YOLO segmentation needs the photos in images/; --copy-photos puts" in ended.out
    assert "6 objects as " in ended.out
    ended = run("convert", source, tmp_path / "labelme", "--to", "labelme")
    assert "LabelMe needs the photos beside the labels; --copy-photos puts" in ended.out


def spoil(monkeypatch):
    """Make the reader of index PNGs see another class in one corner."""

    def decode(file):
        mask = read_index_mask(file)
        if file.name == "0001.png":
            mask[0, :3] = 1
        return mask

    monkeypatch.setattr(png, "read_index_mask", decode)


def test_convert__loss_is_said(tmp_path, source, monkeypatch):
    spoil(monkeypatch)
    ended = run("convert", source, tmp_path / "out", "--to", "png")
    assert ended.code == 0
    assert "Loss: read back, 3 of 1752 pixels differ (0.1712 %), in 1 photos." in ended.out
    assert f"  {FIRST}: 3" in ended.out
    ended = run("convert", source, tmp_path / "exact", "--to", "png", "--exact", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["loss"]["photos"] == [{"photo": FIRST, "differing": 3}]
    ended = run("convert", source, tmp_path / "not", "--to", "png", "--no-verify")
    assert (ended.code, "Not compared." in ended.out) == (0, True)


def test_convert__overlap_rule(tmp_path):
    rows = [
        make_annotation(1, 7, 9, [0, 0, 9, 0, 9, 9, 0, 9]),
        make_annotation(2, 7, 2, [0, 0, 3, 0, 3, 3, 0, 3]),
    ]
    source = write_coco(tmp_path, make_document(annotations=rows))
    run("convert", source, tmp_path / "a", "--to", "png", "--overlap-rule", "highest-class")
    with Image.open(tmp_path / "a" / "masks" / "batch_01" / "0001.png") as picture:
        assert picture.getpixel((1, 1)) == 10


def test_convert__masks_of_others_with_a_table(tmp_path):
    (tmp_path / "in").mkdir()
    colors = np.array([[(9, 9, 9), (1, 2, 3)]], np.uint8)
    Image.fromarray(colors).save(tmp_path / "in" / "a.png")
    ended = run("convert", tmp_path / "in", tmp_path / "o.json", "--to", "coco")
    assert_refused(ended, "in is read as color-png", "2 colours are no class: (1, 2, 3) (1 px;")
    assert not (tmp_path / "o.json").exists()
    (tmp_path / "t.csv").write_text("name,r,g,b\nBackground,9,9,9\nCan,1,2,3\n")
    ended = run(
        "convert",
        tmp_path / "in",
        tmp_path / "o.json",
        "--to",
        "coco",
        "--classes",
        tmp_path / "t.csv",
    )
    assert ended.code == 0, ended.err
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["categories"] == [{"id": 0, "name": "Can", "supercategory": "Can"}]
    assert document["annotations"][0]["segmentation"] == [[1, 0, 2, 0, 2, 1, 1, 1]]


def test_convert__hostile_names_do_not_reach_the_terminal(tmp_path):
    evil = "<script>[red]\x1b[2J</script>"
    document = make_document(categories=[{"id": 2, "name": evil}])
    document["images"] = [make_image(7, "a\x1b]0;owned\x07.jpg")]
    source = write_coco(tmp_path, document)
    for name, format_ in FORMATS.items():
        ended = run("convert", source, tmp_path / f"{name}{format_.suffix}", "--to", name)
        assert ended.code == (2 if name in ("labelme", "cvat") else 0)
        assert "\x1b" not in ended.out + ended.err
    ended = run(
        "convert", tmp_path / "coco.json", tmp_path / "x.json", "--to", "coco",
        "--classes", tmp_path / "png" / "classes.json",
    )  # fmt: skip
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--to", "yol"), "There is no format 'yol'. Did you mean 'yolo'?"),
        (("--to", "yolo", "--from", "xml"), "There is no format 'xml'."),
        (("--to", "yolo", "--from", "cvat"), "is not XML"),
        (("--to", "yolo", "--from", "label-studio"), "it must be a list of tasks"),
        (("--to", "yolo", "--from", "labelme"), "not a JSON of LabelMe"),
        (("--to", "yolo", "--from", "yolo"), "data.yaml"),
        (("--to", "yolo", "--from", "png"), "must be a folder of PNGs"),
        (("--to", "yolo", "--exact", "--no-verify"), "--exact needs the comparison"),
        (("--to", "yolo", "--overlap-rule", "x"), "'x' is not one of"),
        (("--to", "yolo", "--like", "none.json"), "none.json does not exist"),
        (("--to", "yolo", "--classes", "none.json"), "none.json does not exist"),
        (("--to", "yolo", "--classes", "none.csv"), "none.csv does not exist"),
        (("--to", "yolo", "--images", "none"), "none does not exist"),
        (("--to", "yolo", "--copy-photos"), "3 of 3 photos"),
        (("--to", "cvat"), "its name must end with .xml"),
        ((), "Missing option '--to'"),
    ],
)
def test_convert__wrong_use(tmp_path, source, arguments, fault):
    assert_refused(run("convert", source, tmp_path / "out", *arguments), fault)
    assert not (tmp_path / "out").exists()


BAD_SOURCES = {
    "a.json": [
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"images": 3}', "is not a COCO file"),
        (json.dumps(make_document(images=[make_image(7, "a.jpg", 10, 10**9)])), "pixels"),
        ('{"shapes": [3], "imagePath": "a.jpg"}', "it states no size"),
        ('[{"data": 1}]', "has no task with 'annotations'"),
    ],
    "a.xml": [("<annotations>", "is not XML"), ("<kml/>", "is in no format that bunri knows")],
    "a.zip": [("text", "is not a ZIP archive"), ("PK\x03\x04", "cannot be unpacked")],
    "a": [("", "is in no format"), ("text", "is in no format")],
}


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [(name, *case) for name, cases in BAD_SOURCES.items() for case in cases],
)
def test_convert__bad_source(tmp_path, name, content, fault):
    (tmp_path / name).write_text(content)
    assert_refused(run("convert", tmp_path / name, tmp_path / "out", "--to", "yolo"), fault)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_convert__no_source(tmp_path):
    assert_refused(run("convert", tmp_path / "x", tmp_path / "y", "--to", "png"), "does not exist")
    assert_refused(run("convert", "x" * 300, tmp_path / "y", "--to", "png"), "does not exist")


def test_convert__archive_that_is_a_trap_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("data.yaml", "names: [Can]")
        file.writestr("../../labels/a.txt", "0 0 0 1 1 0 1")
    ended = run("convert", tmp_path / "a.zip", tmp_path / "out", "--to", "png")
    assert_refused(ended, "is not an archive that bunri unpacks", "contains '..'")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "tmp"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_convert__folder_without_permission(tmp_path):
    (tmp_path / "in").mkdir(mode=0)
    ended = run("convert", tmp_path / "in", tmp_path / "out", "--to", "png")
    (tmp_path / "in").chmod(0o700)
    assert_refused(ended, "in")


HOLD = """
import sys
from pathlib import Path
from bunri.core.files import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_convert__two_at_once_into_one_folder(tmp_path, source):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ended = run("convert", source, tmp_path / "out", "--to", "labelme")
        assert_refused(ended, "is in use by another bunri process")
        other.communicate("\n")
    ended = run("convert", source, tmp_path / "out", "--to", "labelme")
    assert ended.code == 0, ended.err
    ended = run("convert", source, tmp_path / "out", "--to", "labelme")
    assert_refused(ended, "is not empty", "Choose another folder.")


def test_convert__warnings_are_shown(tmp_path):
    rows = [make_annotation(n, 7, 2, [1, 1, 2, 2]) for n in range(12)]
    source = write_coco(tmp_path, make_document(annotations=rows))
    ended = run("convert", source, tmp_path / "out", "--to", "yolo")
    assert ended.code == 0
    assert ended.err.count("draws nothing") == 10
    assert "Note: ... and 2 more" in ended.err
    assert "12 objects as 0" in ended.out
