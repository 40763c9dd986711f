"""From ``--devices`` and ``--nodes`` to connected processes, by torchrun, SLURM or ourselves.

Owns how many processes there are, who starts them, and that none is left behind. The launcher and
the rendezvous are lightning-fabric's. What processes exchange is ``processes'``.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from bunri.core.errors import ConfigError
from bunri.training.processes import ALONE, Group, Processes

_LEAVE_S = 20
"""How long started processes have to end once the first has."""


class _Layout(NamedTuple):
    """How many processes, and who starts them."""

    num_devices: int
    num_nodes: int
    starter: str


@contextmanager
def open_processes(num_devices: int | None, num_nodes: int | None) -> Iterator[Processes]:
    """Connect the processes of a training, after starting those that nobody else starts.

    These run the same command again, up to this place.

    Args:
        num_devices: Processes on each machine, one a GPU; None: as they were started, else one.
        num_nodes: Machines; None: as they were started, else one.

    Raises:
        ConfigError: There are not so many GPUs, or torchrun or SLURM started another number.
    """
    layout = find_layout(num_devices, num_nodes, os.environ)
    if layout.num_devices * layout.num_nodes == 1:
        yield ALONE
        return
    fabric = _connect(layout)
    options = {"accelerator": "cpu", "devices": 1}
    if fabric.device.type == "cuda":
        options = {"accelerator": "cuda", "devices": [fabric.device.index]}
    try:
        yield Group(options, layout.num_devices)
    finally:
        _leave(fabric)


def find_layout(
    num_devices: int | None, num_nodes: int | None, variables: Mapping[str, str]
) -> _Layout:
    """Return how many processes there shall be.

    Args:
        num_devices: As asked for.
        num_nodes: As asked for.
        variables: The environment, in which torchrun and SLURM say what they started.

    Raises:
        ConfigError: They started another number than is asked for.
    """
    if "TORCHELASTIC_RUN_ID" in variables:
        local, world = int(variables["LOCAL_WORLD_SIZE"]), int(variables["WORLD_SIZE"])
        started = _Layout(local, world // local, "torchrun")
    elif "SLURM_STEP_ID" in variables and int(variables.get("SLURM_NTASKS", 1)) > 1:
        nodes = int(variables["SLURM_NNODES"])
        started = _Layout(int(variables["SLURM_NTASKS"]) // nodes, nodes, "SLURM")
    else:
        return _Layout(num_devices or 1, num_nodes or 1, "bunri")
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


def _connect(layout: _Layout) -> Fabric:
    """Start the missing processes, and wait until all have met."""
    on_gpu = torch.cuda.is_available()
    if on_gpu and layout.num_devices > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {layout.num_devices}: this machine has {torch.cuda.device_count()} GPU(s).",
            hint="Give as many or fewer; each process needs one of its own.",
        )
    if layout.starter == "bunri" and layout.num_nodes > 1:
        _require_address(layout.num_nodes)
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        strategy="ddp",
        devices=layout.num_devices,
        num_nodes=layout.num_nodes,
        plugins=[_ENVIRONMENTS[layout.starter]()],
    )
    fabric.launch()
    return fabric


_ENVIRONMENTS: Mapping[str, type[ClusterEnvironment]] = {
    "torchrun": TorchElasticEnvironment,
    "SLURM": SLURMEnvironment,
    "bunri": LightningEnvironment,
}


def _require_address(num_nodes: int) -> None:
    missing = [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in os.environ]
    if missing:
        raise ConfigError(
            f"--nodes {num_nodes}: {', '.join(missing)} not set; machines cannot find each other.",
            hint="Start the command by torchrun or srun on each machine, or set the address and "
            "port of the first, and each machine's number from 0.",
        )


def _leave(fabric: Fabric) -> None:
    """Part from the others; the process that started some waits until they have ended."""
    started: list[subprocess.Popen[bytes]] = getattr(fabric.strategy.launcher, "procs", [])
    for process in started:
        try:
            process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:  # it waits for an answer that will not come
            process.kill()
    if dist.is_initialized():
        dist.destroy_process_group()
