"""Start of the processes of a training: by ``--devices``, torchrun or SLURM."""

import ctypes
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from bunri.core.errors import ConfigError, RunError
from bunri.training.processes import ALONE, Processes

LEAVE_S = 20  # that processes get to end by themselves after one of them has failed
_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_STARTED_BY_BUNRI = "BUNRI_NUM_DEVICES"


class Layout(NamedTuple):
    """Number of processes on each machine, number of machines, and what starts the processes."""

    num_devices: int
    num_nodes: int
    starter: str


_ENVIRONMENTS: Mapping[str, type[ClusterEnvironment]] = {
    "torchrun": TorchElasticEnvironment,
    "SLURM": SLURMEnvironment,
    "bunri": LightningEnvironment,
}


def find_layout(
    num_devices: int | None, num_nodes: int | None, variables: Mapping[str, str]
) -> Layout:
    """Return how many processes train together; None: as many as were started, else one.

    ``variables`` of the environment show what torchrun or SLURM has started; ConfigError is raised
    if that is another number than what was asked for.
    """
    if "TORCHELASTIC_RUN_ID" in variables:
        local, world = int(variables["LOCAL_WORLD_SIZE"]), int(variables["WORLD_SIZE"])
        started = Layout(local, world // local, "torchrun")
    elif "SLURM_STEP_ID" in variables and int(variables.get("SLURM_NTASKS", 1)) > 1:
        nodes = int(variables["SLURM_NNODES"])
        started = Layout(int(variables["SLURM_NTASKS"]) // nodes, nodes, "SLURM")
    else:
        return Layout(num_devices or 1, num_nodes or 1, "bunri")
    for option, asked, found in (
        ("--devices", num_devices, started.num_devices),
        ("--nodes", num_nodes, started.num_nodes),
    ):
        if asked not in (None, found):
            raise ConfigError(
                f"{option} {asked} does not fit what {started.starter} started: {found}.",
                hint=f"Leave out {option}; the number is taken from {started.starter}.",
            )
    return started


def run_workers(num_devices: int | None, num_nodes: int | None) -> int | None:
    """Run this command in several processes and return the exit status; None if this one trains.

    If one process fails or is killed, the others are ended too. Signals are handed on. For the
    command line only: it repeats ``sys.argv`` and sets signal handlers meanwhile.

    Raises:
        BunriError: The number of processes does not fit the machine, or one was killed.
    """
    layout = find_layout(num_devices, num_nodes, os.environ)
    is_worker = _STARTED_BY_BUNRI in os.environ
    if layout.starter != "bunri" or layout.num_devices * layout.num_nodes == 1 or is_worker:
        return None
    if torch.cuda.is_available() and layout.num_devices > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {layout.num_devices}: this machine has {torch.cuda.device_count()} GPU(s).",
            hint="Give as many or fewer; each process needs one of its own.",
        )
    variables = {**os.environ, _STARTED_BY_BUNRI: str(layout.num_devices)}
    if layout.num_nodes > 1:
        missing = [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in os.environ]
        if missing:
            raise ConfigError(
                f"--nodes {layout.num_nodes}: {', '.join(missing)} not set; machines cannot find "
                "each other.",
                hint="Start the command by torchrun or srun on each machine, or set the address "
                "and port of the first, and each machine's number from 0.",
            )
    else:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
        variables |= {**address, "NODE_RANK": "0"}
    command = [sys.executable, "-m", "bunri", *sys.argv[1:]]
    workers = [
        subprocess.Popen(command, env={**variables, "LOCAL_RANK": str(rank)})
        for rank in range(layout.num_devices)
    ]
    return _watch(workers)


def _watch(workers: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all workers; return the exit status of the first that failed, else 0."""

    def hand_on(number: int, _frame: FrameType | None) -> None:
        for worker in workers:
            worker.send_signal(number)

    earlier = {n: signal.signal(n, hand_on) for n in (signal.SIGTERM, signal.SIGINT)}
    failed: subprocess.Popen[bytes] | None = None
    deadline = math.inf
    try:
        while None in [worker.poll() for worker in workers] and time.monotonic() < deadline:
            if failed is None and (failed := next((w for w in workers if w.returncode), None)):
                deadline = time.monotonic() + LEAVE_S
            time.sleep(_POLL_S)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        for number, handler in earlier.items():
            signal.signal(number, handler)
    failed = failed or next((w for w in workers if w.returncode), workers[0])
    if failed.returncode < 0:
        name = signal.Signals(-failed.returncode).name
        raise RunError(
            f"Process {workers.index(failed)} of {len(workers)} was killed ({name}), and the "
            "others were ended.",
            hint="The last checkpoint is intact. Go on with --resume.",
        )
    return int(failed.returncode)


@contextmanager
def open_processes(num_devices: int | None, num_nodes: int | None) -> Iterator[Processes]:
    """Connect the processes of a training, all of which have been started.

    Raises:
        ConfigError: torchrun or SLURM started another number of processes.
    """
    layout = find_layout(num_devices, num_nodes, os.environ)
    if layout.num_devices * layout.num_nodes == 1:
        yield ALONE
        return
    if layout.starter == "bunri" and sys.platform == "linux":  # SIGTERM once the parent has died
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    environment = _ENVIRONMENTS[layout.starter]()
    options = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
        "strategy": "ddp",
        "devices": layout.num_devices,
        "num_nodes": layout.num_nodes,
        "plugins": [environment],
    }
    count = layout.num_devices * layout.num_nodes
    rank = environment.node_rank() * layout.num_devices + environment.local_rank()
    processes = Processes(rank, count, layout.num_devices, options)
    # Else it announces each process.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        _ = processes.fabric  # connects
        yield processes
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
