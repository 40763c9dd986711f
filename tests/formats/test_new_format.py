"""The recipe "add a label format" of CONTRIBUTING.md, followed with a toy format."""

import json
from pathlib import Path, PurePath

import pytest

from bunri.core.progress import Progress
from bunri.formats.base import Format, ReadOptions, start_of_text
from bunri.formats.naming import find_single_file
from bunri.formats.reading import SetBuilder, make_polygon
from bunri.formats.registry import FORMATS
from bunri.formats.shapes import to_single_polygons
from bunri.labels.records import LabelledSet, Polygons
from bunri.labels.rules import OverlapRule
from tests.cli.runner import run
from tests.coco_data import write_coco
from tests.formats.sets import make_rich_document

MAGIC = "# toy labels"


def read_toy(path: Path, options: ReadOptions) -> LabelledSet:
    file = find_single_file(path, ".toy")
    builder = SetBuilder(file, options.image_root or file.parent, options)
    photo = None
    for number, line in enumerate(file.read_text("utf-8").splitlines()[1:], start=2):
        with builder.catch(f"line {number}"):
            kind, name, *values = line.split("\t")
            if kind == "photo":
                photo = builder.add_photo(name, *map(int, values))
            elif photo is not None:
                polygon = make_polygon([float(value) for value in values])
                builder.add_object(f"line {number}", photo, name, polygon)
    return builder.build()


def write_toy(dataset: LabelledSet, path: Path, _rule: OverlapRule, progress: Progress) -> None:
    lines = [MAGIC]
    with progress("Writing labels", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            lines.append(f"photo\t{photo.file_name}\t{photo.height_px}\t{photo.width_px}")
            for row in dataset.annotations.get(photo.id, ()):
                assert isinstance(row.segmentation, Polygons)
                values = map(str, row.segmentation.parts[0].tolist())
                label = dataset.category_names[row.category_id]
                lines.append("\t".join(["object", label, *values]))
            advance()
    path.write_text("\n".join(lines) + "\n", "utf-8")


def recognize_toy(_path: PurePath, head: bytes) -> str:
    return "its first line" if start_of_text(head).startswith(MAGIC) else ""


TOY = Format(
    "toy", "Toy labels", ".toy", read_toy, write_toy, to_single_polygons,
    file_suffixes=(".toy",), recognize=recognize_toy,
)  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(FORMATS, TOY.name, TOY)


def test_new_format__there_and_back_without_loss(tmp_path):
    source = write_coco(tmp_path, make_rich_document())
    toy, back = tmp_path / "out" / "labels.toy", tmp_path / "back.json"
    toy.parent.mkdir()
    ended = run("convert", source, toy, "--to", "toy", "--exact")
    assert ended.code == 0, ended.err
    for place in (toy, toy.parent):
        ended = run("convert", place, back, "--to", "coco", "--like", source, "--exact")
        assert ended.code == 0, ended.err
        assert "read as toy" in ended.err
        images = json.loads(back.read_text("utf-8"))["images"]
        assert [image["id"] for image in images] == [7, 3, 12]
        back.unlink()


def test_new_format__faults_are_listed_together(tmp_path):
    path = tmp_path / "a.toy"
    path.write_text(f"{MAGIC}\nphoto\t../a.jpg\t5\t5\nphoto\tb.jpg\t5\t5\nobject\tCan\t1\t2\t3\n")
    ended = run("convert", path, tmp_path / "out.json", "--to", "coco")
    assert ended.code == 2
    assert "2 fault(s)" in ended.err
    assert "line 2" in ended.err
    assert "line 4" in ended.err
