"""How a run begins, and how it goes on: its folder, its lock, its trackers, its checkpoint.

Owns who may write to a run folder, and when. What training is, is the loop's.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bunri.core.errors import RunError
from bunri.core.files import lock_folder
from bunri.training.checkpoints import Checkpoint
from bunri.training.listener import MutedListener, TrainingListener, TrainingResult
from bunri.training.loop import Trainer
from bunri.training.plan import RunFolder, RunPlan
from bunri.training.processes import ALONE, Processes
from bunri.training.trackers import open_tracking


def start_training(
    plan: RunPlan, folder: RunFolder, listener: TrainingListener, processes: Processes = ALONE
) -> TrainingResult:
    """Train from the beginning.

    Raises:
        BunriError: Whatever is wrong with settings, data or the folder; before any training
            where it can be known.
    """

    def write_plan() -> None:
        refuse_used(
            folder.path, "run"
        )  # reading photos takes long: another run may have come first
        plan.write(folder)

    with processes.sharing_fate():
        processes.do_first(lambda: refuse_used(folder.path, "run"))
        with _open_tracking(plan, folder, listener, processes) as tracked:
            trainer = Trainer(plan, folder, Checkpoint(), tracked, processes)
            with _lock(folder, processes):
                processes.do_first(write_plan)
                return trainer.run()


def refuse_used(folder: Path, what: str) -> None:
    """Refuse a folder that has something in it.

    Args:
        folder: Where ``what`` shall be written.
        what: ``run`` or ``folds``, for the message.

    Raises:
        RunError: It has, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.", hint="Choose another folder with --out.")
    if folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint=f"Go on with its {what} by --resume, or choose another folder with --out.",
        )


def resume_training(
    folder: RunFolder, listener: TrainingListener, processes: Processes = ALONE
) -> TrainingResult:
    """Go on with a run after its last checkpoint, with as many processes as there are now.

    Raises:
        RunError: There is nothing to resume, it is in use, or its data changed.
    """
    with processes.sharing_fate():
        plan = RunPlan.read(folder)
        with _lock(folder, processes), _open_tracking(plan, folder, listener, processes) as tracked:
            found = folder.checkpoint.is_file()
            checkpoint = Checkpoint.load(folder.checkpoint) if found else Checkpoint()
            return Trainer(plan, folder, checkpoint, tracked, processes).run()


@contextmanager
def _lock(folder: RunFolder, processes: Processes) -> Iterator[None]:
    """Hold the run's folder; the first process does it for all."""
    with ExitStack() as held:
        processes.do_first(lambda: held.enter_context(lock_folder(folder.path)))
        yield


@contextmanager
def _open_tracking(
    plan: RunPlan, folder: RunFolder, listener: TrainingListener, processes: Processes
) -> Iterator[TrainingListener]:
    """Give the listener that a run shall tell; only the first process's is heard."""
    if not processes.is_first:
        yield MutedListener()
        return
    with open_tracking(plan.config, folder, listener) as tracked:
        yield tracked
