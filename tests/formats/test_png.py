"""PNG masks: values and colours of known pixels, tables, and everything that is no mask."""

import json
import zlib

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import AnnotationError, InputError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.formats.base import ReadOptions
from bunri.formats.convert import write_labels
from bunri.formats.registry import FORMATS
from bunri.formats.tables import read_class_table
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import RunLengths
from bunri.labels.rules import OverlapRule
from tests.coco_data import make_annotation, make_document, make_image, write_coco, write_photos
from tests.formats.sets import RULE, write_rich_set

INDEX, COLOR = FORMATS["png"], FORMATS["color-png"]


def find_faults(folder, format_=INDEX, **options):
    with pytest.raises(AnnotationError) as caught:
        format_.read(folder, ReadOptions(**options))
    return caught.value.problems


def save(path, array, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array), mode).save(path)
    return path


def test_write__values_palette_and_table(tmp_path):
    dataset = read_coco(write_coco(tmp_path / "data"))
    write_labels(dataset, tmp_path / "out", INDEX, RULE)
    with Image.open(tmp_path / "out" / "masks" / "batch_01" / "0001.png") as picture:
        mask = np.array(picture)
        assert picture.mode == "P"
        assert (picture.getpalette() or [])[9:12] == [0, 128, 192]
    expected = np.zeros((30, 40), np.uint8)
    expected[8:14, 5:15] = 3
    np.testing.assert_array_equal(mask, expected)
    notes = json.loads((tmp_path / "out" / "classes.json").read_text("utf-8"))
    assert notes["photos"] == {"batch_01/0001.png": "batch_01/0001.jpg"}
    assert [row["name"] for row in notes["classes"]] == list(COMPETITION_TABLE.names)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["classes.json", "masks"]


def test_write__colors(tmp_path):
    dataset = read_coco(write_coco(tmp_path / "data"))
    write_labels(dataset, tmp_path / "out", COLOR, RULE)
    with Image.open(tmp_path / "out" / "masks" / "batch_01" / "0001.png") as picture:
        assert picture.mode == "RGB"
        assert picture.getpixel((5, 8)) == (0, 128, 192)
        assert picture.getpixel((4, 8)) == (0, 0, 0)


def test_write__two_photos_with_one_mask(tmp_path):
    images = [make_image(1, "x/a.jpg"), make_image(2, "x\\a.png"), make_image(3, "x/b.png")]
    dataset = read_coco(write_coco(tmp_path / "data", make_document(images=images, annotations=[])))
    for name in ("png", "color-png", "yolo", "labelme"):
        with pytest.raises(InputError) as caught:
            write_labels(dataset, tmp_path / "out", FORMATS[name], RULE)
        (problem,) = caught.value.problems
        assert "'x/a.jpg' and 'x\\\\a.png' would both be 'x/a." in problem
        assert not (tmp_path / "out").exists()


def test_read__one_object_per_piece(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[0:2, 0:3] = 3
    mask[2, 3] = 3  # touches by a corner
    mask[4:6, 5:8] = 3
    mask[0, 7] = 7
    save(tmp_path / "a.png", mask)
    dataset = INDEX.read(tmp_path, ReadOptions())
    (photo,) = dataset.photos
    assert (photo.id, photo.file_name, photo.size_hw) == (0, "a.png", (6, 8))
    rows = dataset.annotations[0]
    assert [row.id for row in rows] == [1, 2, 3]
    assert [row.category_id for row in rows] == [2, 2, 6]
    assert all(isinstance(row.segmentation, RunLengths) for row in rows)
    np.testing.assert_array_equal(draw_mask(dataset, photo, RULE), mask)


def test_read__values_beyond_the_table(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 12, 12, 200]], np.uint8))
    save(tmp_path / "b.png", np.array([[11]], np.uint8))
    (problem,) = find_faults(tmp_path)
    assert problem == "a.png: values must be below 12 or 255, not 12 (2 px), 200 (1 px)"


def test_read__pixels_to_be_ignored_are_said(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 3, 255, 255]], np.uint8))
    dataset = INDEX.read(tmp_path, ReadOptions())
    assert dataset.warnings == ("2 x pixel to be ignored (now background) left out",)
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    assert mask.tolist() == [[0, 3, 0, 0]]


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (np.zeros((2, 2, 3), np.uint8), "PNG of mode RGB"),
        (np.zeros((2, 2), np.uint16), "PNG of mode I;16"),
        (np.zeros((2, 2), np.bool_), "PNG of mode 1"),
        (np.zeros((2, 2, 4), np.uint8), "PNG of mode RGBA"),
    ],
)
def test_read__not_an_index_png(tmp_path, picture, fault):
    save(tmp_path / "a.png", picture)
    (problem,) = find_faults(tmp_path)
    assert fault in problem


@pytest.mark.parametrize("format_", [INDEX, COLOR])
def test_read__damaged_files(tmp_path, format_):
    array = np.random.default_rng(0).integers(0, 12, (50, 50, 3)[: 2 if format_ is INDEX else 3])
    whole = save(tmp_path / "a.png", array.astype(np.uint8)).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(b"no picture")
    problems = find_faults(tmp_path, format_)
    assert len(problems) == 3
    assert "a.png" in problems[0]
    assert "is damaged or truncated" in problems[0]
    assert "is empty" in problems[1]
    assert "is not a photo that bunri reads" in problems[2]


def test_read__too_many_pixels(tmp_path):
    """A header alone says how large it is; nothing is decoded."""
    content = bytearray(save(tmp_path / "a.png", np.zeros((2, 2), np.uint8)).read_bytes())
    content[16:24] = (10**9).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    (problem,) = find_faults(tmp_path)
    assert "more than 120000000 pixels" in problem or "the limit is" in problem


def test_read__colors_that_are_no_class(tmp_path):
    colors = np.zeros((3, 4, 3), np.uint8)
    colors[0] = (191, 1, 128)
    colors[1, :2] = (0, 128, 192)
    colors[2, 3] = (250, 250, 250)
    save(tmp_path / "a.png", colors)
    (problem,) = find_faults(tmp_path, COLOR)
    assert problem == (
        "a.png: 2 colours are no class: (191, 1, 128) (4 px; nearest: General trash "
        "(192, 0, 128)); (250, 250, 250) (1 px; nearest: Plastic bag (192, 192, 128))"
    )


def test_read__many_colors_are_counted(tmp_path):
    save(tmp_path / "a.png", np.arange(3 * 99, dtype=np.uint8).reshape(9, 11, 3))
    (problem,) = find_faults(tmp_path, COLOR)
    assert "colours are no class" in problem
    assert problem.endswith("and 89 more")


def test_read__white_is_to_be_ignored(tmp_path):
    save(tmp_path / "a.png", np.full((1, 2, 3), 255, np.uint8))
    assert COLOR.read(tmp_path, ReadOptions()).warnings


def test_read__table_that_is_told(tmp_path):
    save(tmp_path / "masks" / "a.png", np.array([[(9, 9, 9), (1, 2, 3)]], np.uint8))
    table = tmp_path / "class_dict.csv"
    table.write_text("Name, R, G, B\nCan,1,2,3\nBackgroud,9,9,9\n")
    dataset = COLOR.read(tmp_path, ReadOptions(table=read_class_table(table)))
    assert dataset.table.names == ("Backgroud", "Can")
    assert draw_mask(dataset, dataset.photos[0], RULE).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "first line must be name,r,g,b"),
        ("a,b\n1,2\n", "line 2: needs a name and r, g, b"),
        ("name,r,g,b\nx,1,2,256\n", "line 2"),
        ("name,r,g,b\nx,1,2,-1\n", "line 2"),
        ("name,r,g,b\nx,1,2,99999999999999999999\n", "line 2"),
        ("name,r,g,b\nx,1\n", "line 2"),
        ("name,r,g,b\nx,1,2,3\nX,1,2,4\n", "must be unique"),
        ('name,r,g,b\n"x,1,2,3\n', "is not a CSV"),
        (b"name,r,g,b\n\xff,1,2,3\n", "is not a CSV in UTF-8"),
    ],
)
def test_read_class_table__bad_csv(tmp_path, text, fault):
    path = tmp_path / "c.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_class_table(path)
    assert fault in str(caught.value)


@pytest.mark.parametrize("text", ["7", "{}", "[]", '{"classes": 3}', '[{"name": "x"}]', '["a"]'])
def test_read_class_table__bad_json(tmp_path, text):
    path = tmp_path / "classes.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_class_table(path)


def test_read__classes_that_share_a_color(tmp_path):
    save(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    table = tmp_path / "c.csv"
    table.write_text("name,r,g,b\nCan,1,2,3\nCup,1,2,3\n")
    with pytest.raises(InputError, match="different colours") as caught:
        COLOR.read(tmp_path, ReadOptions(table=read_class_table(table)))
    assert caught.value.problems == ("'Cup' and 'Can' are both (1, 2, 3)",)


def test_read__ids_names_and_classes_of_another_set(tmp_path):
    """With ``--like`` a mask is about the photo of that name, whatever its suffix."""
    like = write_rich_set(tmp_path / "data")
    mask = np.zeros((24, 20), np.uint8)
    mask[0, 0] = 11
    save(tmp_path / "masks" / "폴더" / "사진 2.png", mask)
    dataset = INDEX.read(tmp_path, ReadOptions(like=like))
    (photo,) = dataset.photos
    assert (photo.id, photo.file_name) == (3, "폴더/사진 2.png")
    assert dataset.annotations[3][0].category_id == 10


def test_read__mask_of_another_size_than_its_photo(tmp_path):
    like = write_rich_set(tmp_path / "data")
    save(tmp_path / "masks" / "empty.png", np.zeros((9, 9), np.uint8))
    (problem,) = find_faults(tmp_path, like=like)
    assert "the mask is 9x9, the photo 'empty.jpg' is 9x8" in problem


def test_read__photos_on_disk_give_names(tmp_path):
    document = make_document(images=[make_image(1, "in/a.webp", 4, 4)], annotations=[])
    write_photos(tmp_path / "photos", document)
    save(tmp_path / "masks" / "in" / "a.png", np.zeros((4, 4), np.uint8))
    dataset = INDEX.read(tmp_path / "masks", ReadOptions(image_root=tmp_path / "photos"))
    assert [photo.file_name for photo in dataset.photos] == ["in/a.webp"]
    assert dataset.find_missing_photos() == []


def test_read__photo_cannot_be_told(tmp_path):
    images = [make_image(1, "a.webp", 4, 4), make_image(2, "a.jpg", 4, 4)]
    write_photos(tmp_path / "photos", make_document(images=images, annotations=[]))
    save(tmp_path / "masks" / "a.png", np.zeros((4, 4), np.uint8))
    (problem,) = find_faults(tmp_path / "masks", image_root=tmp_path / "photos")
    assert "it may be about 'a.jpg' or 'a.webp'" in problem


def test_read__nothing(tmp_path):
    with pytest.raises(InputError, match="has no PNG"):
        INDEX.read(tmp_path, ReadOptions())
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(InputError, match="must be a folder of PNGs"):
        INDEX.read(tmp_path / "f", ReadOptions())


def test_write__masks_of_overlaps_follow_the_rule(tmp_path):
    document = make_document(
        annotations=[
            make_annotation(1, 7, 9, [0, 0, 9, 0, 9, 9, 0, 9]),
            make_annotation(2, 7, 2, [0, 0, 3, 0, 3, 3, 0, 3]),
        ]
    )
    dataset = read_coco(write_coco(tmp_path / "data", document))
    expected: dict[OverlapRule, int] = {"largest-first": 3, "highest-class": 10}
    for rule, value in expected.items():
        write_labels(dataset, tmp_path / rule, INDEX, rule)
        with Image.open(tmp_path / rule / "masks" / "batch_01" / "0001.png") as picture:
            assert picture.getpixel((1, 1)) == value
