"""Start and resumption of a run: its folder, its lock, its logger, its checkpoint."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from bunri.core.files import lock_folder
from bunri.training.checkpoints import Checkpoint
from bunri.training.listener import TrainingListener, TrainingResult
from bunri.training.loggers import open_logger
from bunri.training.loop import Trainer
from bunri.training.plan import RunFolder, RunPlan, refuse_used
from bunri.training.processes import ALONE, Processes
from bunri.training.termination import Termination


def start_training(
    plan: RunPlan,
    folder: RunFolder,
    listener: TrainingListener | None = None,
    processes: Processes = ALONE,
    stop: Termination | None = None,
) -> TrainingResult:
    """Train from the beginning, in a new or empty folder.

    Without ``stop``, an interrupted run goes on from its last complete epoch.

    Raises:
        BunriError: Settings, data or the folder cannot be used; before training where possible.
    """
    listener = listener if listener and processes.is_first else TrainingListener()

    def write_plan() -> None:
        # Reading photos takes long: another run may have come first.
        refuse_used(folder.path, "run")
        plan.write(folder)

    # The generator is seeded at every step; whoever calls this keeps the state of theirs.
    with processes.noticing_loss(), torch.random.fork_rng(devices=[]):
        processes.do_first(lambda: refuse_used(folder.path, "run"))
        with open_logger(plan.config, folder, listener, is_first=processes.is_first) as logger:
            with processes.together():
                trainer = Trainer(plan, folder, Checkpoint(), listener, logger, processes, stop)
            with _lock(folder, processes):
                processes.do_first(write_plan)
                return trainer.run()


def resume_training(
    folder: RunFolder,
    listener: TrainingListener | None = None,
    processes: Processes = ALONE,
    stop: Termination | None = None,
) -> TrainingResult:
    """Go on with a run after its last checkpoint, with as many processes as there are now.

    Raises:
        RunError: There is nothing to resume, it is in use, or its data changed.
    """
    listener = listener if listener and processes.is_first else TrainingListener()
    with processes.noticing_loss(), torch.random.fork_rng(devices=[]):
        with processes.together():
            plan = RunPlan.read(folder)
        with (
            _lock(folder, processes),
            open_logger(plan.config, folder, listener, is_first=processes.is_first) as logger,
        ):
            with processes.together():
                found = folder.checkpoint.is_file()
                checkpoint = Checkpoint.load(folder.checkpoint) if found else Checkpoint()
                trainer = Trainer(plan, folder, checkpoint, listener, logger, processes, stop)
            return trainer.run()


@contextmanager
def _lock(folder: RunFolder, processes: Processes) -> Iterator[None]:
    """Hold the run's folder; the first process does it for all."""
    with ExitStack() as held:
        processes.do_first(lambda: held.enter_context(lock_folder(folder.path)))
        yield
