"""Several connected processes inside a test, forked so that each starts at once."""

import multiprocessing
import pickle
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from bunri.training.processes import Group

# torch counts devices at its first backward pass, and allows no fork after one that found any. A
# trace for ONNX in an earlier test registers some that are none; so the first pass is made here.
torch.zeros(1, requires_grad=True).sum().backward()


def run_group(work, count=2, limit_s=120, survivors=None):
    """Run ``work(group)`` in connected processes; return what each gave or raised, in order.

    ``survivors`` are those that live to tell, if not all do.
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        started = [
            context.Process(target=_join, args=(work, rank, count, Path(folder)))
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
        told = [Path(folder) / str(rank) for rank in survivors or range(count)]
        return [pickle.loads(path.read_bytes()) for path in told]


def _join(work, rank, count, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=count)
    try:
        result = work(Group({"accelerator": "cpu", "devices": 1}, count))
    except BaseException as error:  # noqa: BLE001 (it is the test's to judge)
        result = error
    (folder / str(rank)).write_bytes(pickle.dumps(result))
