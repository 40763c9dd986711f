"""The checkpoint file: written whole or not at all, read without running code."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bunri.core.errors import OutputError, RunError
from bunri.training.checkpoints import Checkpoint
from bunri.training.runs import resume_training
from tests.training.tiny import list_files


def test_checkpoint__comes_back_as_saved(tmp_path):
    network = {"a": torch.arange(6.0).reshape(1, 2, 3, 1)}
    state = {"state": {0: {"step": torch.tensor(2.0)}}}
    saved = Checkpoint(3, network=network, optimizer=state, history=[{"epoch": 1}], best_epoch=1)
    saved.save(tmp_path / "c")
    loaded = Checkpoint.load(tmp_path / "c")
    assert (loaded.num_epochs, loaded.best_epoch, loaded.history) == (3, 1, [{"epoch": 1}])
    assert torch.equal(loaded.network["a"], network["a"])
    assert loaded.optimizer["state"][0]["step"] == 2.0


def test_checkpoint__is_read_by_plain_torch(tmp_path):
    Checkpoint(num_epochs=3).save(tmp_path / "c")
    content = torch.load(io.BytesIO((tmp_path / "c").read_bytes()), weights_only=True)
    assert content["num_epochs"] == 3


def cut_off(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        lambda content: b"not a checkpoint\n",
        lambda content: content.replace(b"best_epoch", b"best_epach"),
    ],
    ids=["cut", "text", "keys"],
)
def test_resume_training__damaged_checkpoint(stopped, damage):
    stopped.checkpoint.write_bytes(damage(stopped.checkpoint.read_bytes()))
    with pytest.raises(RunError, match=r"checkpoint .*last\.ckpt is damaged"):
        resume_training(stopped)


class Trap:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_resume_training__checkpoint_that_would_run_code(stopped, tmp_path):
    torch.save({"num_epochs": Trap(tmp_path / "sprung")}, stopped.checkpoint)
    with pytest.raises(RunError, match="is damaged"):
        resume_training(stopped)
    assert not (tmp_path / "sprung").exists()


def raise_full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["fsync", "write"])
def test_checkpoint__full_disk_leaves_the_old_one(tmp_path, monkeypatch, function):
    path = tmp_path / "last.ckpt"
    Checkpoint(num_epochs=1, network={"a": torch.ones(3)}).save(path)
    before = path.read_bytes()
    if function == "fsync":
        monkeypatch.setattr(os, "fsync", raise_full)
    else:
        monkeypatch.setattr(Path, "write_bytes", raise_full)
    with pytest.raises(OutputError, match="the disk is full"):
        Checkpoint(num_epochs=2, network={"a": torch.zeros(3)}).save(path)
    assert path.read_bytes() == before
    assert list_files(tmp_path) == ["last.ckpt"]


def test_checkpoint__really_full_disk_is_reported_as_such(tmp_path):
    """No monkeypatch: the kernel refuses to let a file grow, as a full disk would."""
    code = """
import resource, signal, sys
from pathlib import Path
import torch
from bunri.core.errors import OutputError
from bunri.training.checkpoints import Checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
Checkpoint(num_epochs=1).save(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Checkpoint(num_epochs=2, network={"a": torch.zeros(100_000)}).save(path)
except OutputError as error:
    print(error)
print(Checkpoint.load(path).num_epochs)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "last.ckpt")], capture_output=True, text=True
    )
    assert done.stderr == ""
    message, num_epochs = done.stdout.splitlines()
    assert message.startswith(f"Cannot write {tmp_path / 'last.ckpt'}: File too large")
    assert num_epochs == "1"
    assert list_files(tmp_path) == ["last.ckpt"]


def test_checkpoint__of_an_earlier_version(tmp_path):
    torch.save({"num_epochs": 2, "steps_done": 0}, tmp_path / "c")
    assert Checkpoint.load(tmp_path / "c").num_epochs == 2
