"""Checks for training that diverges, and the way back to the state before an epoch."""

import copy
import math
from collections.abc import Iterable
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


def copy_states(parts: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the states of network, optimiser and average, copied to main memory."""
    return [_copy(part.state_dict()) for part in parts]


def restore_states(parts: Iterable[Any], states: Iterable[dict[str, Any]]) -> None:
    """Bring the parts back to states that were copied."""
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(copy.deepcopy(state))  # which an optimiser would keep and change


def _copy(value: Any) -> Any:  # noqa: ANN401 (a tree of state)
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
