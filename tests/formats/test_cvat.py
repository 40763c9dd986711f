"""CVAT: its XML to the letter, masks along rows, and XML that is a trap."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bunri.core.errors import AnnotationError, InputError, PathError
from bunri.formats.base import ReadOptions
from bunri.formats.convert import write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Polygons, RunLengths
from tests.coco_data import make_document, make_image, write_coco
from tests.formats.sets import RULE, write_rich_set

CVAT = FORMATS["cvat"]
LABELS = "".join(f"<label><name>{name}</name></label>" for name in ("Can", "Cup"))
POLYGON = '<polygon label="Can" points="1.00,1.00;6,1;6,4;1,4"/>'


def write(folder, *shapes, text=None, image='name="a.jpg" width="20" height="10"', labels=LABELS):
    folder.mkdir(parents=True, exist_ok=True)
    meta = f"<meta><task><labels>{labels}</labels></task></meta>" if labels else ""
    body = f'<image id="0" {image}>{"".join(shapes)}</image>'
    path = folder / "annotations.xml"
    path.write_text(
        text or f"<annotations><version>1.1</version>{meta}{body}</annotations>", "utf-8"
    )
    return path


def read(folder, *shapes, **changes):
    return CVAT.read(write(folder, *shapes, **changes), ReadOptions())


def find_fault(folder, *shapes, **changes):
    with pytest.raises(AnnotationError) as caught:
        read(folder, *shapes, **changes)
    return "\n".join([caught.value.message, *caught.value.problems])


def make_mask(rle="2, 3, 1", left=17, top=8, width=3, height=2):
    box = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="Cup" rle="{rle}" {box} z_order="1"/>'


def test_write__polygon_group_mask_and_order(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    write_labels(dataset, tmp_path / "out.xml", CVAT, RULE)
    root = ET.parse(tmp_path / "out.xml").getroot()
    assert root.findtext("version") == "1.1"
    labels = root.findall("meta/task/labels/label")
    assert (labels[2].findtext("name"), labels[2].findtext("color")) == ("Paper", "#0080c0")
    images = root.findall("image")
    assert [(i.get("name"), i.get("width"), i.get("height")) for i in images] == [
        ("batch_01/0001.jpg", "40", "30"),
        ("폴더/사진 2.png", "20", "24"),
        ("empty.jpg", "9", "8"),
    ]
    shapes = list(images[0])
    assert [(s.tag, s.get("label"), s.get("z_order"), s.get("group_id")) for s in shapes] == [
        ("mask", "Plastic", "0", None),
        ("polygon", "General trash", "1", None),
        ("polygon", "Paper", "2", None),
        ("polygon", "Metal", "3", "1"),
        ("polygon", "Metal", "3", "1"),
    ]
    assert shapes[2].get("points") == "5,8;15,8;15,14;5,14"
    assert shapes[3].get("points") == "0,8;5,8;5,14;0,14"
    box = [shapes[0].get(key) for key in ("left", "top", "width", "height")]
    assert box == ["20", "2", "20", "26"]


def test_write__mask_counts_along_rows(tmp_path):
    region = np.zeros((30, 40), np.uint8)
    region[3, 5:8] = region[4, 6] = 1
    counts = np.flatnonzero(np.diff(region.T.ravel(), prepend=0, append=0))
    runs = {"size": [30, 40], "counts": np.diff([0, *counts, 1200]).tolist()}
    document = make_document()
    document["annotations"][0]["segmentation"] = runs
    dataset = read_coco(write_coco(tmp_path / "data", document))
    write_labels(dataset, tmp_path / "out.xml", CVAT, RULE)
    (mask,) = ET.parse(tmp_path / "out.xml").getroot().iter("mask")
    assert mask.get("rle") == "0, 3, 1, 1, 1"
    box = [mask.get(key) for key in ("left", "top", "width", "height")]
    assert box == ["5", "3", "3", "2"]


def test_write__names_are_quoted(tmp_path):
    name = "<b>\"Can\" & 'Cup'</b>"
    document = make_document(
        images=[make_image(7, "a & <b>.jpg")], categories=[{"id": 2, "name": name}]
    )
    dataset = read_coco(write_coco(tmp_path / "data", document))
    write_labels(dataset, tmp_path / "out.xml", CVAT, RULE)
    root = ET.parse(tmp_path / "out.xml").getroot()
    assert [image.get("name") for image in root.iter("image")] == ["a & <b>.jpg"]
    assert [polygon.get("label") for polygon in root.iter("polygon")] == [name]
    assert root.findtext("meta/task/labels/label/name") == name


def test_write__names_that_xml_cannot_hold(tmp_path):
    document = make_document(categories=[{"id": 2, "name": "Can\x1b[2J"}])
    dataset = read_coco(write_coco(tmp_path / "data", document))
    with pytest.raises(InputError, match="XML cannot hold names with control characters"):
        write_labels(dataset, tmp_path / "out.xml", CVAT, RULE)
    assert not (tmp_path / "out.xml").exists()


def test_read__polygon(tmp_path):
    dataset = read(tmp_path, POLYGON)
    assert dataset.table.names == ("Background", "Can", "Cup")
    (row,) = dataset.annotations[0]
    assert isinstance(row.segmentation, Polygons)
    assert row.segmentation.parts[0].tolist() == [1, 1, 6, 1, 6, 4, 1, 4]


def test_read__mask(tmp_path):
    dataset = read(tmp_path, make_mask())
    (row,) = dataset.annotations[0]
    assert isinstance(row.segmentation, RunLengths)
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    assert mask[8:10, 17:20].tolist() == [[0, 0, 2], [2, 2, 0]]
    assert (mask > 0).sum() == 3


def test_read__groups_and_layers(tmp_path):
    dataset = read(
        tmp_path,
        '<polygon label="Can" points="0,0;1,0;1,1" group_id="3" z_order="2"/>',
        '<polygon label="Can" points="5,5;6,5;6,6" group_id="3" z_order="2"/>',
        '<polygon label="Cup" points="5,5;6,5;6,6" group_id="3" z_order="1"/>',
        '<polygon label="Can" points="2,2;3,2;3,3" group_id="0"/>',
        '<polygon label="Can" points="2,2;3,2;3,3" group_id="0"/>',
    )
    rows = [(row.category_id, len(row.segmentation.parts)) for row in dataset.annotations[0]]
    assert rows == [(0, 1), (0, 1), (1, 1), (0, 2)]


def test_read__what_is_no_outline_is_counted(tmp_path):
    dataset = read(tmp_path, '<box label="Can" xtl="1"/>', "<tag/>", "<box/>", POLYGON)
    assert dataset.warnings == ("2 x <box> left out", "1 x <tag> left out")
    assert len(dataset.annotations[0]) == 1


def test_read__photos_beside_in_images(tmp_path):
    (tmp_path / "images").mkdir()
    assert read(tmp_path, POLYGON).image_root == tmp_path / "images"
    assert CVAT.read(tmp_path, ReadOptions()).image_root == tmp_path / "images"


def test_read__labels_of_a_project_or_none(tmp_path):
    text = f"<annotations><meta><project><labels>{LABELS}</labels></project></meta></annotations>"
    assert read(tmp_path, text=text).category_names == {0: "Can", 1: "Cup"}
    dataset = read(tmp_path, POLYGON.replace("Can", "Glass"), labels="")
    assert dataset.category_names[dataset.annotations[0][0].category_id] == "Glass"


BAD_SHAPES = {
    POLYGON.replace("Can", "Cam"): "there is no class 'Cam'. Did you mean 'Can'?",
    '<polygon label="Can"/>': "'points' must look like x,y;x,y;...",
    '<polygon label="Can" points="1,2,3;4,5;6,7"/>': "'points' must look like",
    '<polygon label="Can" points="1,x;1,1;2,2"/>': "'points' must be numbers",
    '<polygon label="Can" points="0,0;1,1;2,2" group_id="x"/>': "'group_id' must be an integer",
    make_mask(rle="2, 3"): "'rle' covers 5 pixels, its box 3x2 has 6",
    make_mask(rle="2, 3.0, 1"): "'rle' must be counts",
    make_mask(rle=f"2, {2**64}, 1"): "'rle' must be counts",
    make_mask(left=18): "the mask's box (left 18, top 8, width 3, height 2) must lie in the photo",
    make_mask(width=10**11): "must lie in the photo",
    make_mask(width="10000000000000"): "'width' must be an integer",
}


@pytest.mark.parametrize("shape", BAD_SHAPES)
def test_read__bad_shape(tmp_path, shape):
    assert BAD_SHAPES[shape] in find_fault(tmp_path, shape)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        ('name="a.jpg" width="20"', "'height' must be an integer"),
        ('name="a.jpg" width="20" height="1e1"', "'height' must be an integer"),
        ('name="../a.jpg" width="20" height="10"', "contains '..'"),
    ],
)
def test_read__bad_image(tmp_path, image, fault):
    assert fault in find_fault(tmp_path, image=image)


def test_read__all_faults_at_once(tmp_path):
    text = find_fault(tmp_path, *BAD_SHAPES)
    assert f"{len(BAD_SHAPES)} fault(s)" in text


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
TRAPS = {
    "entities": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotations>&l9;</annotations>',
    "external": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>',
    "doctype": "<!DOCTYPE annotations><annotations/>",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_read__entities_are_refused(tmp_path, trap):
    assert "declares a document type or entities" in find_fault(tmp_path, text=TRAPS[trap])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<annotations>", "is not XML: no element found"),
        ("text", "is not XML: syntax error"),
        (" ", "is not XML"),
        ("<annotations><image></annotations>", "is not XML: mismatched tag"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "is not XML"),
        ("<kml></kml>", "it begins with <kml>, not with <annotations>"),
        ("<annotations><track/></annotations>", "this is CVAT for video"),
    ],
)
def test_read__bad_xml(tmp_path, text, fault):
    assert fault in find_fault(tmp_path, text=text)


def test_read__deep_xml(tmp_path):
    depth = 50_000
    text = "<annotations>" + "<image>" * depth + "</image>" * depth + "</annotations>"
    assert "image 1" in find_fault(tmp_path, text=text)


def test_read__which_file(tmp_path):
    with pytest.raises(PathError, match=r"has 0 files that end with .xml"):
        CVAT.read(tmp_path, ReadOptions())
    write(tmp_path)
    (tmp_path / "other.xml").write_text("<a/>")
    assert len(CVAT.read(tmp_path, ReadOptions()).photos) == 1
    with pytest.raises(PathError, match=re.escape(f"{tmp_path}/none.xml does not exist")):
        CVAT.read(tmp_path / "none.xml", ReadOptions())
