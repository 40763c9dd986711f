"""Training killed at 25 random moments: no checkpoint is lost, no weight differs in the end."""

import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import torch

from bunri.training.checkpoints import Checkpoint
from bunri.training.plan import RunFolder
from bunri.training.runs import resume_training, start_training
from tests.builders import write_data
from tests.training.tiny import assert_same_run, plan_run

NUM_KILLS = 25
SETTINGS = ("train.epochs=3", "model.dropout=0.5", "train.num_workers=1")


def work(data, folder, is_new):
    """Start or go on with the run; what a process does until it is killed."""
    os.setpgrp()  # its loader dies with it, as when a machine goes down
    torch.set_num_threads(1)
    if is_new:
        start_training(plan_run(data, *SETTINGS), folder)
    else:
        resume_training(folder)


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # not yet a group of its own, or done a moment ago
        process.kill()


@pytest.mark.slow
def test_training__killed_at_random_moments(tmp_path):
    """Each run is killed and resumed until it is done; then the next one starts.

    The moments are spread over half the time of a whole run: they fall into reading, steps,
    validation and writing alike.
    """
    # A process that is forked from one which has loaded everything lives from the first moment.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_sudden_death"])
    data = write_data(tmp_path / "data")

    def start(folder):
        if not folder.config.is_file():  # killed before it was a run
            shutil.rmtree(folder.path, ignore_errors=True)
        is_new = not folder.config.is_file()
        process = context.Process(target=work, args=(data, folder, is_new))
        process.start()
        return process

    expected = RunFolder(tmp_path / "unbroken")
    started = time.monotonic()
    start(expected).join()
    whole_s = time.monotonic() - started
    rng, num_kills, num_runs = random.Random(4), 0, 0
    while num_kills < NUM_KILLS:
        num_runs += 1
        folder = RunFolder(tmp_path / f"run{num_runs}")
        exit_code = None
        while exit_code != 0:
            process = start(folder)
            process.join(timeout=rng.uniform(0.0, 0.6 * whole_s))
            if process.is_alive():
                kill_group(process)
                num_kills += 1
            process.join()
            exit_code = process.exitcode
            assert exit_code in (0, -signal.SIGKILL)
            if folder.checkpoint.is_file():
                Checkpoint.load(folder.checkpoint)  # raises if it is not whole
        assert_same_run(folder, expected)
