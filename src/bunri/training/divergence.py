"""Checks for training that diverges, and the way back to the state before an epoch."""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MAX_ROLLBACKS = 3
"""Rollbacks in a whole run; with more, something else than the rate is wrong."""
RATE_FACTOR = 0.5
"""Factor on the learning rate with each rollback to the start of an epoch."""


class DivergenceError(Exception):
    """A loss or a gradient that is not finite; the loop catches it."""


def check_loss(loss: Tensor, part: str) -> float:
    """Return a loss as a number.

    Args:
        loss: Scalar loss.
        part: ``training`` or ``validation``, for the message.

    Raises:
        DivergenceError: The loss is NaN or infinite.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergenceError(f"the {part} loss became {value}")
    return value


def check_gradients(parameters: Iterable[nn.Parameter]) -> float:
    """Return the norm of all gradients together.

    Raises:
        DivergenceError: The norm is not finite.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    if not math.isfinite(norm):
        raise DivergenceError(f"the gradient's norm became {norm}")
    return norm


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """State of network, optimiser and average at one moment, copied to main memory."""

    network: dict[str, Any]
    optimizer: dict[str, Any]
    average: dict[str, Any]

    @classmethod
    def take(
        cls, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
    ) -> "Snapshot":
        """Copy the state as it is now."""
        return cls(
            _copy(network.state_dict()),
            _copy(optimizer.state_dict()),
            {} if average is None else _copy(average.state_dict()),
        )

    def restore(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
    ) -> None:
        """Bring the state back."""
        network.load_state_dict(self.network)
        optimizer.load_state_dict(copy.deepcopy(self.optimizer))  # which it would keep and change
        if average is not None:
            average.load_state_dict(self.average)


def _copy(value: Any) -> Any:  # noqa: ANN401 (a tree of state)
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
