"""Formats by name, and found out from what is there."""

import json

import pytest
from PIL import Image

from bunri.core.errors import InputError
from bunri.formats.convert import write_labels
from bunri.formats.registry import FORMATS, detect_format, get_format
from tests.coco_data import write_coco
from tests.formats.sets import RULE, write_rich_set


def test_get_format__unknown_name():
    with pytest.raises(InputError, match=r"no format 'yol'. Did you mean 'yolo'"):
        get_format("yol")


@pytest.mark.parametrize("name", FORMATS)
def test_detect_format__what_was_written(tmp_path, name):
    format_ = FORMATS[name]
    path = tmp_path / f"out{format_.suffix}"
    write_labels(write_rich_set(tmp_path / "data"), path, format_, RULE)
    expected = "coco" if name == "coco-rle" else name
    assert detect_format(path)[0].name == expected
    if not format_.is_folder:
        (tmp_path / "alone").mkdir()
        path.rename(tmp_path / "alone" / path.name)
        assert detect_format(tmp_path / "alone")[0].name == expected


def test_detect_format__says_why(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.json").write_text('{"version": "5", "shapes": []}')
    assert detect_format(tmp_path)[1] == "x/a.json: 'shapes'"


def test_detect_format__byte_order_mark_and_spaces(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(" \n [ ]", "utf-8-sig")
    assert detect_format(path)[0].name == "label-studio"


@pytest.mark.parametrize(
    ("mode", "name"), [("P", "png"), ("L", "png"), ("RGB", "color-png"), ("RGBA", "color-png")]
)
def test_detect_format__png(tmp_path, mode, name):
    Image.new(mode, (2, 2)).save(tmp_path / "a.png")
    assert detect_format(tmp_path)[0].name == name


def test_detect_format__labels_only_below_the_folder_count(tmp_path):
    folder = tmp_path / "labels" / "set"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("x")
    write_coco(folder)
    assert detect_format(folder)[0].name == "coco"


def test_detect_format__photos_alone_are_no_labels(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="is in no format that bunri knows") as caught:
        detect_format(tmp_path)
    assert "--from" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"text", b"<kml/>", b"\x89PNG", b"7"])
def test_detect_format__something_else(tmp_path, content):
    (tmp_path / "a.xml").write_bytes(content)
    (tmp_path / "b.png").write_bytes(content)
    for path in (tmp_path, tmp_path / "a.xml", tmp_path / "none"):
        with pytest.raises(InputError, match="is in no format"):
            detect_format(path)


def test_detect_format__table_of_classes_is_no_set(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps({"classes": []}))
    with pytest.raises(InputError):
        detect_format(tmp_path)
