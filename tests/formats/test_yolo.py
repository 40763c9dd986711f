"""YOLO: known lines for known objects, Ultralytics' layouts, and every bad line."""

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from bunri.core.errors import AnnotationError, BunriError, PathError
from bunri.formats.base import ReadOptions
from bunri.formats.convert import measure_loss, write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Polygons
from tests.coco_data import (
    box,
    make_annotation,
    make_document,
    make_image,
    write_coco,
    write_photos,
)
from tests.formats.sets import RULE, make_runs, write_rich_set

YOLO = FORMATS["yolo"]


def write_folder(folder, lines, names=("Can", "Cup"), size=(10, 20)):
    (folder / "labels").mkdir(parents=True)
    (folder / "images").mkdir()
    Image.new("RGB", size[::-1]).save(folder / "images" / "a.jpg")
    (folder / "labels" / "a.txt").write_text("\n".join(lines), "utf-8")
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": list(names)}))
    return folder


def find_faults(folder, **options):
    with pytest.raises(AnnotationError) as caught:
        YOLO.read(folder, ReadOptions(**options))
    return caught.value.problems


def read_lines(folder, name):
    lines = (folder / "labels" / name).read_text().splitlines()
    return [(int(line.split()[0]), [float(v) for v in line.split()[1:]]) for line in lines]


def test_write__rectangle(tmp_path):
    dataset = read_coco(write_coco(tmp_path / "data"))
    write_labels(dataset, tmp_path / "out", YOLO, RULE)
    assert (tmp_path / "out" / "labels" / "batch_01" / "0001.txt").read_text() == (
        # 5 + 0.05 of 40, 8 + 0.05 of 30, 15 - 0.05 of 40, 14 - 0.05 of 30
        "2 0.126250 0.268333 0.373750 0.268333 0.373750 0.465000 0.126250 0.465000\n"
    )
    settings = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text("utf-8"))
    assert settings["names"][2] == "Paper"
    assert sorted(settings["names"]) == list(range(11))
    assert (settings["train"], settings["val"]) == ("images", "images")


def test_write__objects_of_several_pieces_and_with_holes(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    written = write_labels(dataset, tmp_path / "out", YOLO, RULE)
    assert written.num_objects > written.num_objects_read == 6
    lines = read_lines(tmp_path / "out", "batch_01/0001.txt")
    assert [number for number, _ in lines if number == 6] == [6, 6]  # the ring and the pixel
    assert (tmp_path / "out" / "labels" / "empty.txt").read_text() == ""


def draw_as_ultralytics(folder, name, size_hw):
    """Draw lines as its loader does: float32, decimals cut off, outlines painted, small on top."""
    height, width = size_hw
    objects = []
    for number, values in read_lines(folder, name):
        points = np.array(values, np.float32).reshape(-1, 2) * np.array([width, height], np.float32)
        picture = Image.new("1", (width, height))
        corners = [(x, y) for x, y in points.astype(np.int32).tolist()]
        ImageDraw.Draw(picture).polygon(corners, outline=1, fill=1)
        objects.append((np.array(picture), number + 1))
    mask = np.zeros(size_hw, np.uint8)
    for region, index in sorted(objects, key=lambda o: -int(o[0].sum())):
        mask[region] = index
    return mask


def test_write__ultralytics_draws_the_same_mask(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    write_labels(dataset, tmp_path / "out", YOLO, RULE)
    for photo, name in zip(dataset.photos, ("batch_01/0001.txt", "폴더/사진 2.txt"), strict=False):
        drawn = draw_as_ultralytics(tmp_path / "out", name, photo.size_hw)
        np.testing.assert_array_equal(drawn, draw_mask(dataset, photo, RULE))


def test_write__pieces_of_an_object_may_lie_over_another_one(tmp_path):
    """As an object, A (100 px) is under B (80 px); its smaller piece alone would be over B."""
    region = np.zeros((30, 40), np.bool_)
    region[0:8, 0:8] = True  # 64
    region[20:26, 20:26] = True  # 36
    document = make_document(
        annotations=[
            make_annotation(1, 7, 2, segmentation=make_runs(region)),
            make_annotation(2, 7, 6, box(19, 19, 10, 8)),
        ]
    )
    dataset = read_coco(write_coco(tmp_path / "data", document))
    written = write_labels(dataset, tmp_path / "out", YOLO, RULE)
    assert (written.num_cut_photos, written.num_objects) == (1, 2)
    assert measure_loss(dataset, tmp_path / "out", YOLO, RULE).num_differing == 0


def test_write__wide_photo_needs_more_digits(tmp_path):
    images = [make_image(7, "a.jpg", 2, 99_999)]
    rows = [make_annotation(1, 7, 2, [99_997, 0, 99_998, 0, 99_998, 1, 99_997, 1])]
    dataset = read_coco(write_coco(tmp_path / "d", make_document(images=images, annotations=rows)))
    write_labels(dataset, tmp_path / "out", YOLO, RULE)
    assert measure_loss(dataset, tmp_path / "out", YOLO, RULE).num_differing == 0


def test_write__folders_called_images(tmp_path):
    """Ultralytics looks for labels where the last folder 'images' would be called 'labels'."""
    images = [make_image(7, "images/a.jpg"), make_image(8, "b/images/c/d.jpg")]
    document = make_document(images=images)
    dataset = read_coco(write_coco(tmp_path / "data", document))
    write_photos(tmp_path / "data", document)
    write_labels(dataset, tmp_path / "out", YOLO, RULE, copy_photos=True)
    for photo, labels in (
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("images/b/images/c/d.jpg", "images/b/labels/c/d.txt"),
    ):
        assert (tmp_path / "out" / photo).is_file()
        assert (tmp_path / "out" / labels).is_file()
    result = YOLO.read(tmp_path / "out", ReadOptions())
    assert sorted(p.file_name for p in result.photos) == ["b/images/c/d.jpg", "images/a.jpg"]


def test_read__polygon_in_pixels(tmp_path):
    folder = write_folder(tmp_path, ["1 0.25 0.5 0.75 0.5 0.75 0.9 0.25 0.9", ""])
    dataset = YOLO.read(folder, ReadOptions())
    (row,) = dataset.annotations[0]
    assert isinstance(row.segmentation, Polygons)
    np.testing.assert_allclose(row.segmentation.parts[0], [5, 5, 15, 5, 15, 9, 5, 9])
    assert dataset.category_names == {0: "Can", 1: "Cup"}
    assert row.category_id == 1
    assert dataset.image_root == folder / "images"
    assert [photo.file_name for photo in dataset.photos] == ["a.jpg"]


def test_read__names_as_a_mapping(tmp_path):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1"])
    (folder / "data.yaml").write_text("nc: 2\nnames: {1: Cup, 0: 캔}\n", "utf-8")
    assert YOLO.read(folder, ReadOptions()).category_names == {0: "캔", 1: "Cup"}


def test_read__a_folder_for_each_split(tmp_path):
    for split, line in (("train", "0 0 0 1 0 1 1"), ("valid", "1 0 0 1 0 1 1")):
        write_folder(tmp_path / split, [line])
        (tmp_path / split / "data.yaml").rename(tmp_path / "data.yaml")
    (tmp_path / "README.roboflow.txt").write_text("not labels")
    dataset = YOLO.read(tmp_path, ReadOptions())
    assert [p.file_name for p in dataset.photos] == ["train/images/a.jpg", "valid/images/a.jpg"]
    assert dataset.find_missing_photos() == []
    assert [rows[0].category_id for rows in dataset.annotations.values()] == [0, 1]


def test_read__photo_without_labels_shows_background(tmp_path):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1"])
    Image.new("RGB", (3, 3)).save(folder / "images" / "b.jpg")
    dataset = YOLO.read(folder, ReadOptions())
    assert [photo.file_name for photo in dataset.photos] == ["a.jpg", "b.jpg"]
    assert list(dataset.annotations) == [0]


BAD_LINES = {
    "0 0.5 0.5 0.5 0.5": "five numbers are a box",
    "2 0 0 1 0 1 1": "the class must be from 0 to 1, not 2",
    "0.5 0 0 1 0 1 1": "the class must be from 0 to 1, not 0.5",
    "0 0 0 1 0 1": "3 or more points, not 5 numbers",
    "Can 0 0 1 0 1 1": "could not convert string to float: 'Can'",
    "0 0 0 1 0 1 x\x1b[31m": "could not convert string to float",
    "0 0 0 1 0 1 nan": "coordinates must be from 0 to 1, not nan",
    "0 0 0 1 0 1 1.02": "coordinates must be from 0 to 1, not 1.02",
    "0 0 0 1 0 1 -0.02": "coordinates must be from 0 to 1, not -0.02",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_read__bad_line(tmp_path, line):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1", line])
    (problem,) = find_faults(folder)
    assert problem.startswith("labels/a.txt, line 2: ")
    assert BAD_LINES[line] in problem


def test_read__all_faults_at_once(tmp_path):
    folder = write_folder(tmp_path, [*BAD_LINES])
    assert len(find_faults(folder)) == len(BAD_LINES)


def test_read__labels_without_photo(tmp_path):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1"])
    (folder / "images" / "a.jpg").unlink()
    (problem,) = find_faults(folder)
    assert "there is no photo 'a'" in problem
    assert "--images" in problem


def test_read__photo_that_is_no_photo(tmp_path):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1"])
    (folder / "images" / "a.jpg").write_bytes(b"text")
    (problem,) = find_faults(folder)
    assert "is not a photo that bunri reads" in problem


def test_read__labels_that_are_not_text(tmp_path):
    folder = write_folder(tmp_path, [])
    (folder / "labels" / "a.txt").write_bytes(b"0 \xff")
    assert find_faults(folder) == ("labels/a.txt: a.txt is not UTF-8 text (byte 2)",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "names: 3",
        "names: []",
        "names: {0: a, 2: b}",
        "names: [a, 3]",
        "names: {x: a}",
        "names: [a, A]",
        "a: &a [1]\nnames: *a",
        "names: [" * 3000,
        "names: !!python/object/apply:os.system [ls]",
        "\tnames: [a]",
    ],
)
def test_read__bad_settings(tmp_path, text):
    folder = write_folder(tmp_path, ["0 0 0 1 0 1 1"])
    (folder / "data.yaml").write_text(text)
    with pytest.raises(BunriError):
        YOLO.read(folder, ReadOptions())


def test_read__without_settings(tmp_path):
    folder = write_folder(tmp_path / "yolo", ["1 0 0 1 0 1 1"])
    (folder / "data.yaml").unlink()
    with pytest.raises(PathError, match=r"must have one data.yaml with the class names; it has 0"):
        YOLO.read(folder, ReadOptions())
    like = read_coco(write_coco(tmp_path / "data"))
    dataset = YOLO.read(folder, ReadOptions(like=like))
    assert dataset.category_names[dataset.annotations[0][0].category_id] == "General trash"


def test_read__no_labels(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(PathError, match="has no folder 'labels'"):
        YOLO.read(tmp_path, ReadOptions())
