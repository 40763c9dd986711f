"""Writing that is never half done, paths that never leave their root, one writer per run."""

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import example, given
from hypothesis import strategies as st

from bunri.core import files
from bunri.core.errors import OutputError, PathError, RunError
from bunri.core.files import (
    check_writable,
    find_cache_folder,
    hash_file,
    is_file,
    is_folder,
    join_under,
    lock_folder,
    replace_atomically,
    replace_folder,
    write_bytes,
    write_json,
    write_text,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


class Crash(BaseException):
    """Stands for a process that ends in the middle: no ``except Exception`` catches it."""


def list_tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, hidden ones too, with the content of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def fail_with(error: BaseException):
    def fail(*args, **kwargs):
        raise error

    return fail


def half_write(path: Path, error: BaseException) -> None:
    with replace_atomically(path) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise error


# --- one file -----------------------------------------------------------------------------------


def test_write_bytes__new_file_in_new_folders(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "c.bin", b"\x00\xff")
    assert list_tree(tmp_path) == {"a": None, "a/b": None, "a/b/c.bin": b"\x00\xff"}


def test_write_bytes__replaces_the_old_file(tmp_path):
    path = tmp_path / "c.bin"
    path.write_bytes(b"a much longer old content")
    write_bytes(path, b"new")
    assert list_tree(tmp_path) == {"c.bin": b"new"}


def test_write_text__is_utf8(tmp_path):
    write_text(tmp_path / "분리.txt", "종이")
    assert (tmp_path / "분리.txt").read_bytes() == "종이".encode()


def test_write_json__korean_readable_and_a_line_end(tmp_path):
    write_json(tmp_path / "a.json", {"이름": "종이", "n": [1, None]})
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == {"이름": "종이", "n": [1, None]}
    assert "종이" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_write_json__nan_is_refused_and_the_old_file_kept(tmp_path, value):
    (tmp_path / "a.json").write_bytes(b"old")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", value)
    assert list_tree(tmp_path) == {"a.json": b"old"}


def test_replace_atomically__temporary_lies_beside_and_keeps_the_suffix(tmp_path):
    with replace_atomically(tmp_path / "m.npy") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npy"
        assert temporary.name.startswith(".partial-m-")
        assert not (tmp_path / "m.npy").exists()
        temporary.write_bytes(b"x")
    assert list_tree(tmp_path) == {"m.npy": b"x"}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Crash()])
def test_replace_atomically__body_fails(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        half_write(path, error)
    assert list_tree(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "no permission; choose another folder"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_replace_atomically__write_fails(tmp_path, code, words):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as caught:
        half_write(path, OSError(code, os.strerror(code)))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert list_tree(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize("call", ["fsync", "open", "close"])
def test_write_bytes__disk_full_in_a_system_call(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail_with(FULL))
    with pytest.raises(OutputError, match="the disk is full"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    if call != "close":  # which leaves the temporary behind only where even closing fails
        assert list_tree(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize("method", ["write_bytes", "replace"])
def test_write_bytes__disk_full_in_a_step(tmp_path, monkeypatch, method):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, method, fail_with(FULL))
    with pytest.raises(OutputError, match="the disk is full"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert list_tree(tmp_path) == {"a.txt": b"old"}


def test_replace_atomically__not_durable_is_atomic_but_does_not_flush(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail_with(FULL))
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with replace_atomically(path, durable=False) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert list_tree(tmp_path) == {"a.txt": b"new"}


def test_write_bytes__content_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    steps = []

    def note(name: str, function: Any) -> Any:
        def call(*args):
            steps.append(name)
            return function(*args)

        return call

    monkeypatch.setattr(os, "fsync", note("flush", os.fsync))
    monkeypatch.setattr(Path, "replace", note("rename", Path.replace))
    write_bytes(tmp_path / "a.txt", b"new")
    assert steps == ["flush", "rename", "flush"]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write_bytes__permission_bits_follow_the_umask(tmp_path, mask, expected):
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "a.txt", b"new")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == expected
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_write_bytes__a_folder_of_that_name(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"Cannot write .*Nothing was changed"):
        write_bytes(tmp_path / "a", b"new")
    assert list_tree(tmp_path) == {"a": None}


def test_write_bytes__a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a file is where a folder is needed|File exists"):
        write_bytes(tmp_path / "a" / "b.txt", b"new")
    assert list_tree(tmp_path) == {"a": b"old"}


def test_check_writable__touches_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b" / "c.txt")
    assert list(tmp_path.iterdir()) == []


def test_check_writable__a_file_may_be_replaced(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    check_writable(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_check_writable__a_folder_has_the_name(tmp_path):
    with pytest.raises(OutputError, match=r"a folder has this name; choose another name"):
        check_writable(tmp_path)


def test_check_writable__a_file_in_place_of_a_folder(tmp_path):
    write_text(tmp_path / "a", "")
    with pytest.raises(OutputError, match="a file is where a folder is needed"):
        check_writable(tmp_path / "a" / "b" / "c.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_writable__no_permission(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_writable(folder / "c.txt")


def test_check_writable__a_folder_that_says_no(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match="no permission; choose another folder"):
        check_writable(tmp_path / "c.txt")


@pytest.mark.parametrize("name", ["x" * 255, "가" * 85, "x." + "y" * 253])
def test_write_bytes__longest_name_that_a_file_can_have(tmp_path, name):
    try:
        write_bytes(tmp_path / name, b"new")
    except OutputError:
        assert list_tree(tmp_path) == {}  # refusing is fine, half a file is not
    else:
        assert list_tree(tmp_path) == {name: b"new"}


def test_write_bytes__name_longer_than_a_file_can_have(tmp_path):
    with pytest.raises(OutputError, match="File name too long"):
        write_bytes(tmp_path / ("x" * 256), b"new")
    assert list_tree(tmp_path) == {}


# --- one folder ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an old file and an old folder in it."""
    path = tmp_path / "bundle"
    (path / "sub").mkdir(parents=True)
    (path / "old.txt").write_bytes(b"old")
    return path


OLD = {"bundle": None, "bundle/old.txt": b"old", "bundle/sub": None}
NEW = {"bundle": None, "bundle/new.txt": b"new"}


def write_new(folder: Path, error: BaseException | None = None) -> None:
    with replace_folder(folder) as temporary:
        (temporary / "new.txt").write_bytes(b"new")
        if error:
            raise error


def test_replace_folder__new_folder_in_new_parents(tmp_path):
    write_new(tmp_path / "a" / "bundle")
    assert list_tree(tmp_path / "a") == NEW


def test_replace_folder__nothing_of_the_old_one_is_left(tmp_path, folder):
    write_new(folder)
    assert list_tree(tmp_path) == NEW


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Crash()])
def test_replace_folder__body_fails(tmp_path, folder, error):
    with pytest.raises(type(error)):
        write_new(folder, error)
    assert list_tree(tmp_path) == OLD


def test_replace_folder__disk_full(tmp_path, folder):
    with pytest.raises(OutputError, match="the disk is full"):
        write_new(folder, FULL)
    assert list_tree(tmp_path) == OLD


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("error", [FULL, Crash()])
def test_replace_folder__a_rename_fails(tmp_path, folder, monkeypatch, number, error):
    replace, calls = Path.replace, []

    def replace_or_fail(path, target):
        calls.append(path)
        if len(calls) == number:
            raise error
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)
    with pytest.raises((OutputError, Crash)):
        write_new(folder)
    assert list_tree(tmp_path) == OLD


def test_replace_folder__last_flush_fails(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(files, "_flush_to_disk", fail_with(Crash()))
    with pytest.raises(Crash):
        write_new(folder)
    assert list_tree(tmp_path) == NEW


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from bunri.core import files

step, steps = int(sys.argv[2]), 0
def die_at(function):
    def call(*args, **kwargs):
        global steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

for name in ("replace", "mkdir", "write_bytes"):
    setattr(Path, name, die_at(getattr(Path, name)))
files.shutil.rmtree = die_at(files.shutil.rmtree)
with files.replace_folder(Path(sys.argv[1])) as temporary:
    (temporary / "new.txt").write_bytes(b"new")
"""


def test_replace_folder__killed_at_any_step_and_then_written_again(tmp_path, folder):
    for step in range(1, 20):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(step)], capture_output=True, text=True
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        # Whatever was left behind, the next one starts from a whole folder, old or new.
        with suppress(Crash), replace_folder(folder):
            raise Crash
        assert list_tree(tmp_path) in (OLD, NEW)
    assert step > 5
    assert ended.returncode == 0
    assert list_tree(tmp_path) == NEW


def test_replace_folder__leftovers_of_a_killed_process_do_not_get_in(tmp_path, folder):
    (tmp_path / ".bundle.new").mkdir()
    (tmp_path / ".bundle.new" / "half.txt").write_bytes(b"ha")
    (tmp_path / ".bundle.old").mkdir()
    write_new(folder)
    assert list_tree(tmp_path) == NEW


def test_replace_folder__a_file_of_that_name_is_kept(tmp_path):
    path = tmp_path / "bundle"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"Cannot write .*bundle"):
        write_new(path)
    assert list_tree(tmp_path) == {"bundle": b"mine"}


def test_replace_folder__a_link_to_a_folder(tmp_path, folder):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    write_new(link)
    assert (link / "new.txt").read_bytes() == b"new"
    assert (folder / "old.txt").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "link"]


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("batch_01/0002.jpg", "batch_01/0002.jpg"),
        ("batch_01\\0002.jpg", "batch_01/0002.jpg"),
        ("./a/./b.jpg", "a/b.jpg"),
        ("a//b.jpg", "a/b.jpg"),
        ("재활용/사진 1.jpg", "재활용/사진 1.jpg"),
        ("재활용\\사진.jpg", "재활용/사진.jpg"),
        ("..a/b..jpg", "..a/b..jpg"),
        ("~/a.jpg", "~/a.jpg"),
        ("$HOME/%41.jpg", "$HOME/%41.jpg"),
        ("ab:c.jpg", "ab:c.jpg"),
        ("...", "..."),
    ],
)
def test_join_under__stays_inside(tmp_path, relative, expected):
    assert join_under(tmp_path, relative) == tmp_path / expected


@pytest.mark.parametrize(
    "relative",
    [
        "", ".", "./", "..", "../a.jpg", "a/../../b.jpg", "a/..", "a/../b.jpg", "..\\a.jpg",
        "a\\..\\..\\b", "/etc/passwd", "//server/share/a.jpg", "\\\\server\\share\\a.jpg",
        "\\a.jpg", "C:\\a.jpg", "c:/a.jpg", "c:a.jpg", "\\\\?\\C:\\a.jpg", "a\0b", "\0", "a/\0",
        "\ud800.jpg",
    ],
)  # fmt: skip
def test_join_under__refused(tmp_path, relative):
    with pytest.raises(PathError) as caught:
        join_under(tmp_path, relative)
    assert repr(relative) in str(caught.value)


def test_join_under__link_that_leads_out(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_bytes(b"")
    (root / "up").symlink_to(tmp_path)
    (root / "a.jpg").symlink_to(tmp_path / "secret.txt")
    for relative in ("up", "up/secret.txt", "up/new.txt", "a.jpg"):
        with pytest.raises(PathError, match=r"leads out of .* through a symbolic link"):
            join_under(root, relative)


def test_join_under__link_that_stays_inside(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    assert join_under(tmp_path, "link/a.jpg").read_bytes() == b"x"


def test_join_under__root_that_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert join_under(tmp_path / "root", "a.jpg") == tmp_path / "root" / "a.jpg"


def test_join_under__sibling_whose_name_starts_alike(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root-2")
    with pytest.raises(PathError, match="leads out"):
        join_under(tmp_path / "root", "link/a.jpg")


def test_join_under__loop_of_links(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    try:
        path = join_under(tmp_path, "a/x.jpg")
    except PathError as error:
        assert "cannot be followed" in error.message  # noqa: PT017 (as Python before 3.13 sees it)
    else:
        assert not is_file(path)


def test_join_under__name_longer_than_a_file_can_have(tmp_path):
    try:
        path = join_under(tmp_path, "x" * 5000)
    except PathError:
        return
    assert path == tmp_path / ("x" * 5000)


PATH_BITS = st.sampled_from(
    ["..", ".", "/", "\\", "a", "가", "C:", " ", "\0", "//", "~", "link", "out", "\ud800", "\udc80"]
)


@pytest.fixture(scope="session")
def root_with_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "root"
    (root / "a").mkdir(parents=True)
    (root / "link").symlink_to("a")
    (root / "out").symlink_to("..")
    (root / "a" / "out").symlink_to("/")
    return root


@given(relative=st.lists(PATH_BITS, max_size=8).map("".join) | st.text(max_size=12))
@example(relative="link/../../x")
def test_join_under__never_leaves_the_root(root_with_links, relative):
    try:
        path = join_under(root_with_links, relative)
    except PathError as error:
        assert error.message  # noqa: PT017 (either outcome is right)
    else:
        real = os.path.realpath(path)
        assert real.startswith(os.path.realpath(root_with_links) + os.sep)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800", "missing", ""])
def test_is_file__paths_that_no_file_can_have(tmp_path, name):
    assert not is_file(tmp_path / name)
    assert is_folder(tmp_path / name) == (name == "")


def test_is_file__tells_files_from_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert is_file(tmp_path / "a")
    assert not is_folder(tmp_path / "a")


# --- hashes, locks, the cache -------------------------------------------------------------------


def test_hash_file__is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert hash_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


HOLDER = """
import sys, time
from pathlib import Path
from typing import Any
from bunri.core.files import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_lock_folder__another_process_is_refused_until_the_first_is_killed(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunError, match="in use by another") as caught, lock_folder(folder):
                pass
            assert "choose another folder" in caught.value.hint
        finally:
            holder.kill()
    with lock_folder(folder):
        pass


_DIE_WRITING = """
import os, signal, sys
from pathlib import Path
from bunri.core.files import lock_folder, replace_atomically
folder = Path(sys.argv[1])
with lock_folder(folder), replace_atomically(folder / "deep" / "last.ckpt") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_lock_folder__removes_what_a_killed_process_left_half_written(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "last.ckpt").write_bytes(b"whole")
    (tmp_path / "deep" / "partial-note.txt").write_bytes(b"the user's own")
    killed = subprocess.run([sys.executable, "-c", _DIE_WRITING, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "deep").iterdir())) == 3
    with lock_folder(tmp_path):
        pass
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"last.ckpt", "partial-note.txt"}
    assert (tmp_path / "deep" / "last.ckpt").read_bytes() == b"whole"


def test_lock_folder__is_free_after_an_error(tmp_path, monkeypatch):
    kept = []  # else Python would free the lock on its own as soon as nobody holds the object

    def keep(path):
        kept.append(FileLock(path))
        return kept[-1]

    monkeypatch.setattr(files, "FileLock", keep)
    with pytest.raises(ValueError, match="no"), lock_folder(tmp_path):
        raise ValueError("no")
    with lock_folder(tmp_path):
        assert [lock.is_locked for lock in kept] == [False, True]


def test_lock_folder__two_in_one_process(tmp_path):
    with lock_folder(tmp_path), pytest.raises(RunError, match="in use"), lock_folder(tmp_path):
        pass


def test_lock_folder__two_folders_at_once(tmp_path):
    with lock_folder(tmp_path / "a"), lock_folder(tmp_path / "b"):
        assert (tmp_path / "a").is_dir()


def test_lock_folder__a_file_of_that_name(tmp_path):
    (tmp_path / "run").write_bytes(b"mine")
    with pytest.raises(OutputError, match="Cannot write"), lock_folder(tmp_path / "run"):
        pass
    assert list_tree(tmp_path) == {"run": b"mine"}


def test_find_cache_folder__environment_first(monkeypatch):
    monkeypatch.setenv("BUNRI_CACHE", "/somewhere/else")
    assert find_cache_folder() == Path("/somewhere/else")


@pytest.mark.parametrize("value", [None, ""])
def test_find_cache_folder__else_the_users(monkeypatch, value):
    monkeypatch.delenv("BUNRI_CACHE")
    if value is not None:
        monkeypatch.setenv("BUNRI_CACHE", value)
    assert find_cache_folder().name == "bunri"
    assert find_cache_folder().is_absolute()
