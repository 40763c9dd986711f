"""Several connected processes inside a test, forked so that each starts at once."""

import multiprocessing
import os
import pickle
import tempfile
from pathlib import Path

import torch
from lightning_fabric.plugins.environments.lightning import find_free_network_port

from bunri.training.launching import open_processes

# torch counts devices at its first backward pass, and allows no fork after one that found any. A
# trace for ONNX in an earlier test registers some that are none; so the first pass is made here.
torch.zeros(1, requires_grad=True).sum().backward()


def run_group(work, count=2, limit_s=120, survivors=None):
    """Run ``work(processes)`` in connected processes; return what each gave or raised, in order.

    ``survivors`` are the ranks of those that live to the end, if not all do.
    """
    context = multiprocessing.get_context("fork")
    port = find_free_network_port()
    with tempfile.TemporaryDirectory() as folder:
        started = [
            context.Process(target=_join, args=(work, rank, count, port, Path(folder)))
            for rank in range(count)
        ]
        for process in started:
            process.start()
        try:
            for process in started:
                process.join(limit_s)
                assert not process.is_alive(), "a process waits for ever"
        finally:
            for process in started:
                process.kill()
        results = [Path(folder) / str(rank) for rank in survivors or range(count)]
        return [pickle.loads(path.read_bytes()) for path in results]


def _join(work, rank, count, port, folder):
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank),
    }  # fmt: skip
    try:
        with open_processes(count, None) as processes:
            result = work(processes)
    except BaseException as error:  # noqa: BLE001 (it is the test's to judge)
        result = error
    (folder / str(rank)).write_bytes(pickle.dumps(result))
