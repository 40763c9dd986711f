"""ZIPs: what tools export is read, what is a trap is refused, and nothing stays behind."""

import struct
import tempfile
import zipfile
from pathlib import Path

import pytest

from bunri.core.errors import BunriError, InputError, OutputError, PathError
from bunri.formats import archive
from bunri.formats.archive import open_source


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where archives are unpacked; must be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def write_zip(tmp_path, entries, name="a.zip", method=zipfile.ZIP_DEFLATED):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", method) as file:
        for entry, content in entries:
            file.writestr(entry, content)
    return path


def list_content(path):
    with open_source(path) as folder:
        return {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file()
        }


def find_fault(path):
    with pytest.raises(InputError) as caught, open_source(path):
        pass
    return str(caught.value)


def test_open_source__files_and_folders_are_given_as_they_are(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    for path in (file, tmp_path):
        with open_source(path) as given:
            assert given == path


def test_open_source__missing(tmp_path):
    with pytest.raises(PathError, match="does not exist"), open_source(tmp_path / "none.zip"):
        pass


def test_open_source__content(tmp_path, temporary):
    path = write_zip(tmp_path, [("x/", ""), ("x/a.txt", "1"), ("y/사진.txt", "2"), ("z", b"")])
    with open_source(path) as folder:
        assert folder.is_relative_to(temporary)
        assert (folder / "y" / "사진.txt").read_text() == "2"
    assert list_content(path) == {"x/a.txt": b"1", "y/사진.txt": b"2", "z": b""}


def test_open_source__single_folders_and_clutter_are_skipped(tmp_path):
    entries = [("set/in/a.txt", "1"), ("set/in/b.txt", "2"), ("__MACOSX/set/._a.txt", "x")]
    path = write_zip(tmp_path, [*entries, ("set/.DS_Store", "x")])
    assert list_content(path) == {"a.txt": b"1", "b.txt": b"2"}


def test_open_source__whatever_its_name(tmp_path):
    assert list_content(write_zip(tmp_path, [("a.txt", "1")], "export")) == {"a.txt": b"1"}


def test_open_source__names_in_utf8_without_saying_so(tmp_path):
    path = write_zip(tmp_path, [("사진.txt", "1")])
    content = path.read_bytes()
    name = "사진.txt".encode()
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + flags
        content = content[:place] + b"\0\0" + content[place + 2 :]
    assert content.count(name) == 2
    path.write_bytes(content)
    assert list_content(path) == {"사진.txt": b"1"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../a.txt", "contains '..'"),
        ("x/../../a.txt", "contains '..'"),
        ("..\\a.txt", "contains '..'"),
        ("/etc/a.txt", "is absolute"),
        ("\\a.txt", "is absolute"),
        ("C:/a.txt", "is absolute"),
        ("c:a.txt", "is absolute"),
    ],
)
def test_open_source__names_that_lead_elsewhere(tmp_path, name, fault):
    path = write_zip(tmp_path, [("good.txt", "1"), (name, "2")])
    assert fault in find_fault(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "temporary"]


def test_open_source__name_that_no_file_can_have(tmp_path):
    path = write_zip(tmp_path, [("x" * 300 + "/a.txt", "1")])
    with (
        pytest.raises(BunriError, match="cannot be unpacked: File name too long"),
        open_source(path),
    ):
        pass


def test_open_source__one_name_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path, [("a.txt", "1"), ("a.txt", "2")])
    assert "'a.txt' is in it more than once" in find_fault(path)


def test_open_source__a_file_that_is_also_a_folder(tmp_path):
    path = write_zip(tmp_path, [("a", "1"), ("a/b", "2"), ("c", "3")])
    with pytest.raises(OutputError, match="cannot be unpacked"), open_source(path):
        pass


def test_open_source__all_odd_entries_at_once(tmp_path):
    path = write_zip(tmp_path, [("../a", "1"), ("/b", "2"), ("good", "3")])
    with pytest.raises(InputError) as caught, open_source(path):
        pass
    assert len(caught.value.problems) == 2
    assert str(tempfile.gettempdir()) not in str(caught.value)


def test_open_source__too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_FREE_BYTES", 1000)
    monkeypatch.setattr(archive, "MAX_EXPANSION", 10)
    path = write_zip(tmp_path, [(f"{n}.txt", b"\0" * 50_000) for n in range(4)])
    limit = 10 * path.stat().st_size
    assert f"unpacks to 200000 bytes; the limit for its size is {limit}" in find_fault(path)


def test_open_source__never_more_than_the_index_states(tmp_path):
    """The headers say one byte; a million would come out."""
    path = write_zip(tmp_path, [("a.txt", b"\0" * 10**6)])
    content = path.read_bytes().replace(struct.pack("<I", 10**6), struct.pack("<I", 1))
    path.write_bytes(content)
    assert "cannot be unpacked: Bad CRC-32" in find_fault(path)


def test_open_source__link_becomes_a_plain_file(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    assert list_content(write_zip(tmp_path, [(link, "/etc"), ("a", "1")]))["link"] == b"/etc"


def test_open_source__too_many_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 3)
    path = write_zip(tmp_path, [(f"{n}", "") for n in range(4)])
    assert "has 4 entries; the limit is 3" in find_fault(path)


def test_open_source__encrypted(tmp_path):
    path = write_zip(tmp_path, [("a", "1")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted" in find_fault(path)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 0.99])
def test_open_source__truncated(tmp_path, part):
    path = write_zip(tmp_path, [(f"{n}.txt", bytes(range(256)) * 9) for n in range(9)])
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "cannot be unpacked" in find_fault(path)


def test_open_source__damaged_content(tmp_path):
    path = write_zip(tmp_path, [("a.txt", bytes(range(256)) * 9)])
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    assert "cannot be unpacked" in find_fault(path)


def test_open_source__not_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    path.write_text("text")
    assert "is not a ZIP archive, though its name ends with .zip" in find_fault(path)


def test_open_source__removed_after_an_error(tmp_path, temporary):
    path = write_zip(tmp_path, [("a", "1")])
    with pytest.raises(ZeroDivisionError), open_source(path) as folder:
        len(list(folder.iterdir())) // 0
    assert list(Path(temporary).iterdir()) == []
