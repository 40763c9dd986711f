"""Several connected processes inside a test, forked so that each starts at once."""

import multiprocessing
import pickle
import tempfile
import traceback
from pathlib import Path

import torch.distributed as dist

from bunri.learning.processes import Group


def run_group(work, count=2, limit_s=60):
    """Run ``work(group)`` in connected processes; return what each gave or raised, in order."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        started = [
            context.Process(target=_join, args=(work, rank, count, Path(folder)))
            for rank in range(count)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(limit_s)
            is_hanging = process.is_alive()
            process.kill()
            assert not is_hanging, "a process waits for ever"
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(count)]


def _join(work, rank, count, folder):
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=count)
    try:
        result = work(Group({"accelerator": "cpu", "devices": 1}, count))
    except BaseException as error:
        traceback.print_exc()
        result = error
    (folder / str(rank)).write_bytes(pickle.dumps(result))
