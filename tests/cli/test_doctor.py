"""``bunri doctor`` from the command line."""

import json

import pytest

from bunri.doctor.checks import CHECKS
from bunri.scenes import write_sample_dataset
from tests.cli.runner import run
from tests.doctor.clean_set import make_clean_document, write_set


@pytest.fixture
def data(tmp_path):
    return write_set(tmp_path, make_clean_document())


def change(path, list_name, position, **values):
    document = json.loads(path.read_text())
    document[list_name][position] |= values
    path.write_text(json.dumps(document))


def test_doctor__nothing_found(data):
    ended = run("doctor", data)
    assert ended.code == 0
    assert f"{data}: 6 photos, 66 annotations" in ended.out
    assert "57 checks made: nothing found." in ended.out
    assert "3 more need another split (--against OTHER.json)." in ended.out


def test_doctor__rendered_scenes_are_sound(tmp_path):
    scenes = write_sample_dataset(tmp_path / "data", num_scenes=24, size_px=128)
    ended = run("doctor", scenes.root / "train.json", "--against", scenes.root / "val.json",
                "--json")  # fmt: skip
    found = {f["check"] for f in json.loads(ended.out)["findings"] if f["severity"] != "info"}
    assert found <= {"class-absent", "overlap-rule-matters"}
    assert ended.code == 0


def test_doctor__tells_check_place_effect_and_advice(data):
    change(data, "annotations", 14, image_id=99)
    ended = run("doctor", data)
    assert ended.code == 1
    lines = [line.strip() for line in ended.out.splitlines()]
    assert "error dangling-image x 1  An object refers to an image that is not listed." in lines
    assert "annotation 14: there is no image with id 99" in lines
    assert "effect   COCO's index drops it silently." in lines
    assert "do       Add the image, or delete the object." in lines
    assert "--fix    drops the object" in lines
    assert "57 checks made: 1 error(s)." in lines


def test_doctor__warnings_alone_end_with_0(data):
    change(data, "annotations", 14, area=1)
    ended = run("doctor", data)
    assert ended.code == 0
    assert "1 warning(s)" in ended.out


def test_doctor__shows_a_few_examples(data):
    document = json.loads(data.read_text())
    for row in document["annotations"]:
        row["area"] = 1
    data.write_text(json.dumps(document))
    assert run("doctor", data).out.count("'area' is 1, drawn are 60 px") == 3
    assert "... and 63 more (--examples 66, or --json)" in run("doctor", data).out
    assert run("doctor", data, "--examples", "66").out.count("drawn are 60 px") == 66


def test_doctor__json(data):
    change(data, "annotations", 14, bbox=[1, 2, 3, 4])
    ended = run("doctor", data, "--no-photos", "--json")
    report = json.loads(ended.out)
    assert report["ok"] is True
    assert (report["photos"], report["annotations"]) == (6, 66)
    (finding,) = report["findings"]
    assert (finding["check"], finding["severity"], finding["count"]) == (
        "bbox-mismatch", "warning", 1,
    )  # fmt: skip
    assert finding["examples"] == [
        {
            "file": "photos/a1.jpg",
            "image_id": 1,
            "annotation_id": 14,
            "row": "annotations[14]",
            "note": "'bbox' is [1, 2, 3, 4], drawn is [68, 2, 10, 6]",
        }
    ]
    assert "photo-missing" in report["checks_skipped"]


def test_doctor__without_decoding_looks_at_headers_only(data):
    photo = data.parent / "photos/a0.jpg"
    photo.write_bytes(photo.read_bytes()[:-300])
    assert "photo-truncated" not in run("doctor", data, "--no-decode").out
    assert "photo-truncated" in run("doctor", data).out
    photo.unlink()
    assert "photo-missing" in run("doctor", data, "--no-decode").out
    assert "photo-missing" not in run("doctor", data, "--no-photos").out


def test_doctor__images_elsewhere(data, tmp_path):
    moved = tmp_path / "labels" / "data.json"
    moved.parent.mkdir()
    data.rename(moved)
    assert run("doctor", moved).code == 1
    assert run("doctor", moved, "--images", tmp_path).code == 0


def test_doctor__fix(data):
    change(data, "annotations", 14, image_id=99)
    change(data, "annotations", 20, area=1)
    before = data.read_bytes()
    fixed = data.with_name("fixed.json")
    ended = run("doctor", data, "--fix", fixed)
    assert ended.code == 0
    assert data.read_bytes() == before
    path = data.with_name("fixed.changes.jsonl")
    assert (
        f"{fixed}: 2 change(s), each listed in {data.with_name('fixed.changes.jsonl')}" in ended.out
    )
    assert "No error is left." in ended.out
    assert run("doctor", fixed, "--json").code == 0
    log = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["where"] for row in log] == ["annotations[14]", "annotations[20]"]


def test_doctor__fix_cannot_do_everything(data):
    change(data, "images", 1, id=0)
    fixed = data.with_name("fixed.json")
    ended = run("doctor", data, "--fix", fixed, "--json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert report["fix"]["file"] == str(fixed)
    assert report["fix"]["left"]["ok"] is False
    assert "duplicate-image-id" in run("doctor", data, "--fix", data.with_name("more.json")).out


def test_doctor__fix_never_overwrites(data):
    other = data.with_name("other.json")
    other.write_text("mine")
    for target in (data, other, data.parent / "." / "data.json"):
        ended = run("doctor", data, "--fix", target)
        assert ended.code == 2
        assert "nothing is overwritten" in ended.err
    assert other.read_text() == "mine"


def test_doctor__hostile_names_are_shown_not_obeyed(data):
    name = "photos/\x1b[2J[red]x[/red]\x07.jpg"
    change(data, "images", 0, file_name=name)
    change(data, "categories", 2, name="\x1b]0;owned\x07<b>Paper")
    ended = run("doctor", data)
    assert ended.code == 1
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert "[red]x[/red]" in ended.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"images": ' + "[" * 100_000, "nested too deeply"),
        ("[]", "must be an object"),
        ("{", "is not JSON"),
    ],
)
def test_doctor__no_json_object(tmp_path, content, words):
    path = tmp_path / "data.json"
    path.write_text(content)
    ended = run("doctor", path)
    assert ended.code == 2
    assert words in ended.err


def test_doctor__empty_object(tmp_path):
    path = tmp_path / "data.json"
    path.write_text("{}")
    ended = run("doctor", path)
    assert ended.code == 1
    assert "the list 'images' is missing" in ended.out


def test_doctor__list():
    ended = run("doctor", "--list")
    assert ended.code == 0
    assert {check.name for check in CHECKS} <= set(ended.out.split())


def test_doctor__wrong_use(data, tmp_path):
    assert run("doctor", tmp_path / "no.json").code == 2
    assert run("doctor", tmp_path).code == 2
    assert run("doctor", data, "--images", tmp_path / "no").code == 2
    assert run("doctor", data, "--against", tmp_path / "no.json").code == 2
    assert "needs decoded photos" in run("doctor", data, "--model", "m", "--no-decode").err
    assert run("doctor", data, "--model", tmp_path / "no").code == 2


def test_doctor__larger_than_the_limit(data, monkeypatch):
    monkeypatch.setattr("bunri.labels.document.MAX_JSON_BYTES", 1000)
    ended = run("doctor", data)
    assert ended.code == 2
    assert "the limit is 1000" in ended.err
