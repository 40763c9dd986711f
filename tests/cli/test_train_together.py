"""``bunri train`` in several processes: started by bunri, by torchrun, and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bunri.core.errors import ConfigError
from bunri.training.launching import find_layout
from tests.builders import write_data
from tests.cli.runner import list_train_arguments, plain_environment, run

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
SLURM = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "6", "SLURM_NNODES": "3"}


def start(command, arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    )


@pytest.mark.parametrize(
    ("asked", "variables", "expected"),
    [
        ((None, None), {}, (1, 1, "bunri")),
        ((2, None), {}, (2, 1, "bunri")),
        ((None, None), TORCHRUN, (4, 2, "torchrun")),
        ((4, 2), TORCHRUN, (4, 2, "torchrun")),
        ((None, 3), SLURM, (2, 3, "SLURM")),
        ((None, None), {"SLURM_NTASKS": "6", "SLURM_NNODES": "3"}, (1, 1, "bunri")),  # no srun
    ],
)
def test_find_layout__as_asked_or_as_started(asked, variables, expected):
    num_devices, num_nodes = asked
    assert find_layout(num_devices, num_nodes, variables) == expected


def test_find_layout__another_number_than_was_started():
    with pytest.raises(ConfigError, match="--devices 2 does not fit what torchrun started: 4"):
        find_layout(2, None, TORCHRUN)
    with pytest.raises(ConfigError, match="--nodes 2 does not fit what SLURM started: 3"):
        find_layout(None, 2, SLURM)


def test_train__several_machines_that_cannot_find_each_other(tmp_path, monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    data = write_data(tmp_path / "data")
    ended = run(*list_train_arguments(data, tmp_path / "run"), "--nodes", "2")
    assert ended.code == 2
    assert "MASTER_ADDR, MASTER_PORT, NODE_RANK not set" in ended.err
    assert not (tmp_path / "run").exists()


def test_train__folds_are_for_one_process(tmp_path):
    data = write_data(tmp_path / "data")
    options = ("--folds", "2", "--devices", "2", "--out", tmp_path / "run")
    ended = run("train", "--data", data.train, *options)
    assert ended.code == 2
    assert "Folds are trained by one process" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize("command", [["bunri"], ["torch.distributed.run", "--nproc-per-node=2"]])
def test_train__two_processes(tmp_path, command):
    data = write_data(tmp_path / "data")
    run_folder = tmp_path / "run"
    arguments = list_train_arguments(data, run_folder, "data.allow_leaks=true")
    if command == ["bunri"]:
        arguments += ["--devices", "2"]
    else:
        command = [*command, "-m", "bunri"]
    process = start(command, arguments)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert out.count("Best epoch") == 1  # one process speaks
    assert err.count("Training epochs 1 to 2") == 1
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["num_photos"] for line in lines] == [4, 4]
    ended = run("evaluate", run_folder, data.val)  # the model is a plain one
    assert ended.code == 0, ended.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_train__ended_and_resumed_by_one(tmp_path, kind):
    """By SIGTERM to the command, or by the death of one of its processes."""
    data = write_data(tmp_path / "data")
    run_folder = tmp_path / "run"
    settings = ("train.epochs=200", "data.allow_leaks=true", "train.num_sample_pictures=0")
    arguments = list_train_arguments(data, run_folder, *settings)
    process = start(["bunri"], [*arguments, "--devices", "2"])
    while not (run_folder / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    if kind == signal.SIGTERM:
        process.send_signal(kind)
    else:
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(workers[1]), kind)
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    if kind == signal.SIGTERM:
        assert process.returncode == 143, err
        assert err.count("Continue with: bunri train --resume") == 1
    else:
        assert process.returncode == 2, err
        assert "Process 1 of 2 was killed (SIGKILL), and the others were ended." in err
        assert "Go on with --resume" in err
    config = run_folder / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 200", "epochs: 1"))
    ended = run("train", "--resume", "--out", run_folder)
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_train__a_fault_is_said_once(tmp_path):
    data = write_data(tmp_path / "data")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    arguments = list_train_arguments(data, tmp_path / "run")
    process = start(["bunri"], [*arguments, "--devices", "2"])
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert err.count("Error:") == 1
    assert "is not empty" in err
    assert "Traceback" not in err
