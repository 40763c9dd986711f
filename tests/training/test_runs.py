"""How runs start, stop and go on: folders, locks, signals, full disks; resuming is bit-exact."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from itertools import product

import pytest
import torch
from filelock import FileLock

from bunri.core.errors import ConfigError, OutputError, RunError
from bunri.core.files import write_json
from bunri.training.checkpoints import Checkpoint
from bunri.training.listener import TrainingListener
from bunri.training.numerics import Numerics
from bunri.training.plan import RunFolder
from bunri.training.run_writer import RunWriter
from bunri.training.runs import resume_training
from bunri.training.termination import TerminatedError, Termination
from tests.builders import TINY_SETTINGS, change_document
from tests.cli.runner import plain_environment
from tests.training.tiny import (
    ONE_STEP,
    THREE_EPOCHS,
    NotingListener,
    StoppingListener,
    assert_same_run,
    cut_power,
    list_files,
    read_lines,
    train,
)

# -- folders -------------------------------------------------------------------------------


def test_start_training__folder_that_is_not_empty(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty") as e:
        train(data, tmp_path / "run")
    assert "--resume" in e.value.hint
    assert list_files(tmp_path / "run") == ["notes.txt"]


def test_start_training__file_in_place_of_the_folder(data, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        train(data, tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_start_training__folder_taken_while_photos_were_read(data, tmp_path):
    class Rival(TrainingListener):
        def progress(self, label, total):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "config.yaml").write_text("of another run")
            return super().progress(label, total)

    with pytest.raises(RunError, match="is not empty"):
        train(data, tmp_path / "run", listener=Rival())
    assert (tmp_path / "run" / "config.yaml").read_text() == "of another run"


def hold_lock(path):
    """Hold a run's lock in another process; return it."""
    code = (
        "import sys; from pathlib import Path; from bunri.core.files import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_training__folder_that_another_process_holds(data, tmp_path):
    holder = hold_lock(tmp_path / "run")
    try:
        with pytest.raises(RunError, match="in use by another bunri process"):
            train(data, tmp_path / "run", *ONE_STEP)
        assert list_files(tmp_path / "run") == [".lock"]
    finally:
        holder.kill()
        holder.communicate()

    class Prober(TrainingListener):
        def end_step(self, loss):
            lock = FileLock(tmp_path / "run" / ".lock", is_singleton=False)
            with pytest.raises(TimeoutError):
                lock.acquire(timeout=0)

    # The lock went with its process, and the run holds its own.
    train(data, tmp_path / "run", *ONE_STEP, listener=Prober())


def test_resume_training__run_that_another_process_holds(stopped):
    holder = hold_lock(stopped.path)
    try:
        with pytest.raises(RunError, match="in use by another bunri process"):
            resume_training(stopped)
    finally:
        holder.communicate()


# -- resuming ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3])
def test_resume_training__as_if_never_stopped(unbroken, data, tmp_path, step):
    """Step 1 is before any checkpoint; step 3 in the second epoch of two steps."""
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="power cut"):
        train(data, folder.path, *THREE_EPOCHS, listener=StoppingListener(step, cut_power))
    assert len(read_lines(folder.metrics)) == step // 2
    torch.manual_seed(12345)  # whatever state the next process is in
    result = resume_training(folder)
    assert_same_run(folder, unbroken)
    assert result.num_epochs == 3
    assert [r["epoch"] for r in read_lines(folder.timings)] == [1, 2, 3]


@pytest.mark.parametrize("function", ["write_samples", "write_history"])
def test_resume_training__stopped_between_two_files_of_an_epoch(
    unbroken, data, tmp_path, monkeypatch, function
):
    """Around the checkpoint: the bundle is of epoch 2 before, metrics of epoch 1 after."""
    folder = RunFolder(tmp_path / "run")
    calls = []
    original = getattr(RunWriter, function)

    def stop_at_epoch_2(writer, *args):
        calls.append(1)
        if len(calls) == (3 if function == "write_history" else 2):
            raise ValueError("power cut")
        original(writer, *args)

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, function, stop_at_epoch_2)
        with pytest.raises(ValueError, match="power cut"):
            train(data, folder.path, *THREE_EPOCHS)
    assert len(read_lines(folder.metrics)) == 1
    resume_training(folder)
    assert_same_run(folder, unbroken)


# -- signals -------------------------------------------------------------------------------


def list_command(data, path, *settings):
    """Return the command line of a run in a process of its own."""
    arguments = [sys.executable, "-m", "bunri", "train", "--data", str(data.train)]
    arguments += ["--val", str(data.val), "--out", str(path)]
    for setting in (*TINY_SETTINGS, *settings):
        arguments += ["--set", setting]
    return arguments


def open_process(arguments):
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, env=plain_environment(), process_group=0
    )


def wait_for_line(process, start):
    assert process.stderr is not None
    assert any(line.startswith(start) for line in iter(process.stderr.readline, ""))


@pytest.mark.parametrize(("kind", "num_workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 0)])
def test_training__signal_saves_the_steps_that_were_made(
    unbroken, data, tmp_path, kind, num_workers
):
    """Also where the whole group of processes, the loader's too, is told to end."""
    path = tmp_path / "run"
    settings = (*THREE_EPOCHS, f"train.num_workers={num_workers}")
    process = open_process(list_command(data, path, *settings))
    wait_for_line(process, "epoch   1/3")
    os.killpg(process.pid, kind)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == (143 if kind == signal.SIGTERM else 130)
    assert f"Stopped. Continue with: bunri train --resume --out {path}" in error
    assert "Traceback" not in error
    saved = Checkpoint.load(RunFolder(path).checkpoint)
    assert saved.num_epochs >= 1
    resume_training(RunFolder(path))
    assert_same_run(RunFolder(path), unbroken)


@pytest.mark.parametrize("step", [1, 3])
def test_training__sigterm_in_the_middle_of_an_epoch(unbroken, data, tmp_path, step):
    """The steps that were made are not made again, not even in the first epoch."""
    folder = RunFolder(tmp_path / "run")
    listener = StoppingListener(step, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TerminatedError), Termination() as stop:
        train(data, folder.path, *THREE_EPOCHS, listener=listener, stop=stop)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    saved = Checkpoint.load(folder.checkpoint)
    assert (saved.num_epochs, len(saved.losses_done)) == (step // 2, 1)
    noting = NotingListener()
    resume_training(folder, noting)
    assert [event[0] for event in noting.events].count("step") == 6 - step
    assert_same_run(folder, unbroken)


def test_training__from_python_leaves_signals_and_generators_alone(data, tmp_path):
    """Ctrl-C may then cut a step in two: nothing of its epoch is saved."""
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    found: list[object] = []

    def interrupt():
        found.extend(signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT))
        raise KeyboardInterrupt

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", *ONE_STEP, listener=StoppingListener(1, interrupt))
    assert found == handlers
    assert torch.equal(torch.get_rng_state(), state)
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_termination__waits_for_what_must_not_be_cut():
    done = []

    def work(stop):
        with stop.held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(1)
        done.append(2)

    with Termination() as stop, pytest.raises(TerminatedError):
        work(stop)
    assert done == [1]


def test_termination__signal_that_was_swallowed_is_raised_at_the_next_safe_point():
    """As in a finaliser, or an import within a bare except."""
    stop = Termination()

    def work():
        with contextlib.suppress(TerminatedError):
            os.kill(os.getpid(), signal.SIGTERM)
        with stop.held_back():
            done.append(1)
        done.append(2)

    done: list[int] = []
    with stop, pytest.raises(TerminatedError):
        work()
    assert done == [1]


def test_termination__of_a_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look():
        with Termination():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_termination__of_several_processes_waits_until_all_meet(kind):
    with Termination() as stop:
        stop.agree = lambda number: number
        os.kill(os.getpid(), kind)
        with stop.held_back():
            pass
        with pytest.raises(TerminatedError if kind == signal.SIGTERM else KeyboardInterrupt):
            stop.meet()
        stop.meet()  # it was heard
        stop.agree = lambda number: 1  # of another process
        with pytest.raises(KeyboardInterrupt):
            stop.meet()


# -- what is there to resume ---------------------------------------------------------------


def test_resume_training__computes_as_it_began(stopped):
    numerics = Numerics(precision="bf16", memory_format="contiguous")
    write_json(stopped.numerics, numerics.model_dump())
    resume_training(stopped)
    assert Numerics.read(stopped.numerics).precision == "bf16"


def test_resume_training__of_a_finished_run_changes_nothing(unbroken):
    before = {name: (unbroken.path / name).read_bytes() for name in list_files(unbroken.path)}
    assert resume_training(unbroken).num_epochs == 3
    assert before == {n: (unbroken.path / n).read_bytes() for n in list_files(unbroken.path)}


def test_resume_training__without_a_run(tmp_path):
    with pytest.raises(RunError, match="no run to resume") as e:
        resume_training(RunFolder(tmp_path / "run"))
    assert str(tmp_path / "run") in e.value.hint
    assert not (tmp_path / "run").exists()


def test_resume_training__annotation_file_that_changed(stopped, tmp_path):
    change_document(tmp_path / "val.json", lambda d: d["annotations"].pop())
    with pytest.raises(RunError, match="data changed since the run was started") as e:
        resume_training(stopped)
    assert e.value.problems == (f"{tmp_path / 'val.json'} has another content",)


def test_resume_training__annotation_file_that_is_gone(stopped, tmp_path):
    (tmp_path / "train.json").unlink()
    with pytest.raises(RunError) as e:
        resume_training(stopped)
    assert e.value.problems == (f"{tmp_path / 'train.json'} is gone",)


@pytest.mark.parametrize(
    ("name", "content"),
    [*product(("data.json", "config.yaml"), (b"\xff\xfe", b"[1, 2]", b'{"train": 3}'))],
)
def test_resume_training__damaged_plan(stopped, name, content):
    (stopped.path / name).write_bytes(content)
    with pytest.raises((RunError, ConfigError), match=name.replace(".", r"\.")):
        resume_training(stopped)


def test_resume_training__settings_edited_into_another_network(stopped):
    text = stopped.config.read_text()
    assert "decoder_channels: 64" in text
    stopped.config.write_text(text.replace("decoder_channels: 64", "decoder_channels: 128"))
    with pytest.raises(RunError, match=r"last\.ckpt does not fit the network"):
        resume_training(stopped)


# -- a full disk ---------------------------------------------------------------------------


def raise_full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_training__full_disk_keeps_checkpoint_and_bundle(stopped, monkeypatch):
    before = {n: (stopped.path / n).read_bytes() for n in list_files(stopped.path)}

    class Filler(TrainingListener):
        def end_step(self, loss):
            monkeypatch.setattr(os, "fsync", raise_full)

    with pytest.raises(OutputError, match="the disk is full"):
        resume_training(stopped, Filler())
    monkeypatch.undo()
    assert before == {n: (stopped.path / n).read_bytes() for n in list_files(stopped.path)}
    resume_training(stopped)  # and with space again, on it goes
    assert len(read_lines(stopped.metrics)) == 2
