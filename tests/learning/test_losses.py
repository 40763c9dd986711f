"""Losses against values reckoned by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.config import LossConfig
from bunri.learning.losses import compute_cross_entropy, compute_dice, compute_loss

LOSSES = pytest.mark.parametrize("compute", [compute_cross_entropy, compute_dice])
shapes = st.tuples(*(st.integers(1, 4), st.integers(2, 5), st.integers(1, 6), st.integers(1, 6)))


def draw(shape, seed, *, ignored=0.0):
    """Return logits (N, C, H, W) and targets (N, H, W) with a share of ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    n, c, h, w = shape
    logits = torch.randn(shape, generator=generator) * 3
    targets = torch.randint(0, c, (n, h, w), generator=generator)
    targets[torch.rand((n, h, w), generator=generator) < ignored] = 255
    return logits, targets


def reckon_cross_entropy(logits, targets):
    """Pixel by pixel in plain Python."""
    losses = []
    n, c, h, w = logits.shape
    for i in range(n):
        for y in range(h):
            for x in range(w):
                if targets[i, y, x] == 255:
                    continue
                scores = [float(logits[i, k, y, x]) for k in range(c)]
                top = max(scores)
                log_sum = top + math.log(sum(math.exp(s - top) for s in scores))
                losses.append(log_sum - scores[targets[i, y, x]])
    return sum(losses) / len(losses) if losses else 0.0


def reckon_dice(logits, targets):
    """Class by class in plain Python."""
    n, c, h, w = logits.shape
    hits, probs, sizes = [0.0] * c, [0.0] * c, [0] * c
    for i in range(n):
        for y in range(h):
            for x in range(w):
                if targets[i, y, x] == 255:
                    continue
                scores = [math.exp(float(logits[i, k, y, x])) for k in range(c)]
                for k in range(c):
                    probs[k] += scores[k] / sum(scores)
                truth = int(targets[i, y, x])
                hits[truth] += scores[truth] / sum(scores)
                sizes[truth] += 1
    losses = [1 - 2 * hits[k] / (probs[k] + sizes[k]) for k in range(c) if sizes[k]]
    return sum(losses) / len(losses) if losses else 0.0


@given(shapes, st.integers(0, 999), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=40, deadline=None)
def test_compute_cross_entropy__equals_plain_python(shape, seed, ignored):
    logits, targets = draw(shape, seed, ignored=ignored)
    expected = reckon_cross_entropy(logits, targets)
    assert float(compute_cross_entropy(logits, targets)) == pytest.approx(expected, abs=1e-5)


@given(shapes, st.integers(0, 999), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=40, deadline=None)
def test_compute_dice__equals_plain_python(shape, seed, ignored):
    logits, targets = draw(shape, seed, ignored=ignored)
    assert float(compute_dice(logits, targets)) == pytest.approx(
        reckon_dice(logits, targets), abs=1e-5
    )


def test_compute_cross_entropy__by_hand():
    """Probabilities 3/4 and 1/4; one pixel of class 0, one of class 1."""
    logits = torch.tensor([[[[math.log(3.0), math.log(3.0)]], [[0.0, 0.0]]]])  # (1, 2, 1, 2)
    targets = torch.tensor([[[0, 1]]])
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert float(compute_cross_entropy(logits, targets)) == pytest.approx(expected)


def test_compute_dice__by_hand():
    """Class 0: 2 * 3/4 / (6/4 + 1) = 0.6. Class 1: 2 * 1/4 / (2/4 + 1) = 1/3."""
    logits = torch.tensor([[[[math.log(3.0), math.log(3.0)]], [[0.0, 0.0]]]])
    targets = torch.tensor([[[0, 1]]])
    expected = ((1 - 0.6) + (1 - 1 / 3)) / 2
    assert float(compute_dice(logits, targets)) == pytest.approx(expected)


def test_compute_dice__over_the_whole_batch():
    """Photos are not averaged: two photos give what one photo of both would give."""
    logits, targets = draw((2, 3, 4, 4), 5)
    joined = torch.cat([logits[:1], logits[1:]], dim=3), torch.cat([targets[:1], targets[1:]], 2)
    torch.testing.assert_close(compute_dice(logits, targets), compute_dice(*joined))


@LOSSES
def test_losses__softmax_runs_over_classes(compute):
    """Three classes, rows and columns, so that any axis would do and give another value.

    Over classes every pixel is sure and right. Over rows or columns the same logits are a
    tie between three equal values, and over photos there is but one.
    """
    targets = torch.tensor([[[0, 1, 2]] * 3])  # the class is the column
    logits = torch.zeros(1, 3, 3, 3)
    for column in range(3):
        logits[0, column, :, column] = 40.0
    assert float(compute(logits, targets)) == pytest.approx(0.0, abs=1e-6)
    uniform = torch.full((1, 3, 3, 3), 7.0)
    # Over classes 1/3 each; dice per class: 2 * (3 / 3) / (9 / 3 + 3) = 1/3.
    expected = math.log(3) if compute is compute_cross_entropy else 1 - 1 / 3
    assert float(compute(uniform, targets)) == pytest.approx(expected, abs=1e-6)
    # Constant along the classes, strong along a row: over classes still 1/3 each.
    striped = torch.zeros(1, 3, 3, 3)
    striped[:, :, 1] = 40.0
    assert float(compute(striped, targets)) == pytest.approx(expected, abs=1e-6)


@LOSSES
def test_losses__about_zero_when_sure_and_right(compute):
    _, targets = draw((2, 4, 5, 6), 1, ignored=0.2)
    logits = torch.zeros(2, 4, 5, 6)
    logits.scatter_(1, targets.clamp(max=3).unsqueeze(1), 50.0)
    assert float(compute(logits, targets)) == pytest.approx(0.0, abs=1e-6)


def test_losses__large_when_sure_and_wrong():
    targets = torch.zeros(1, 2, 2, dtype=torch.int64)
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 1] = 50.0
    assert float(compute_cross_entropy(logits, targets)) == pytest.approx(50.0)
    assert float(compute_dice(logits, targets)) == pytest.approx(1.0)


@LOSSES
def test_losses__gradient_flows_and_descends(compute):
    logits, targets = draw((2, 3, 4, 5), 2)
    logits.requires_grad_()
    loss = compute(logits, targets)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().amin(dim=1).gt(0).all()  # at every pixel, every class
    stepped = logits.detach() - 1.0 * logits.grad
    assert float(compute(stepped, targets)) < loss.item()


@given(shapes, st.integers(0, 999))
@settings(max_examples=25, deadline=None)
@LOSSES
def test_losses__ignored_pixels_have_no_gradient_and_no_influence(compute, shape, seed):
    logits, targets = draw(shape, seed, ignored=0.5)
    logits.requires_grad_()
    loss = compute(logits, targets)
    loss.backward()
    ignored = (targets == 255).unsqueeze(1).expand_as(logits)
    assert logits.grad is not None
    assert not logits.grad[ignored].any()
    changed = torch.where(ignored, torch.full_like(logits, -33.0), logits.detach())
    assert float(compute(changed, targets)) == pytest.approx(loss.item(), abs=1e-6)


@LOSSES
def test_losses__all_ignored_is_zero(compute):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = compute(logits, torch.full((2, 4, 4), 255))
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@LOSSES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses__half_precision_logits(compute, dtype):
    """Sums over 16,384 pixels overflow or stall in half precision."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 3, 128, 128, generator=generator).mul(30).to(dtype)
    targets = torch.randint(0, 3, (1, 128, 128), generator=generator)
    loss = compute(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(float(compute(logits.double(), targets)), rel=1e-4)
    logits.requires_grad_()
    compute(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_compute_dice__absent_class_does_not_count():
    """Class 2 is nowhere true: half right for class 0 and 1, whatever class 2 gets."""
    logits = torch.full((1, 3, 1, 2), -60.0)
    logits[0, 0] = 0.0  # everything is said to be class 0
    targets = torch.tensor([[[0, 1]]])
    # Class 0: 2 * 1 / (2 + 1); class 1: 0. Averaged over two, not over three.
    assert float(compute_dice(logits, targets)) == pytest.approx(((1 - 2 / 3) + 1) / 2)


def test_compute_dice__inventing_an_absent_class_costs_those_present():
    logits = torch.full((1, 3, 1, 2), -60.0)
    logits[0, 2] = 0.0
    targets = torch.tensor([[[0, 0]]])
    assert float(compute_dice(logits, targets)) == pytest.approx(1.0)


@pytest.mark.parametrize(("ce", "dice"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 3.0)])
def test_compute_loss__weighted_sum(ce, dice):
    logits, targets = draw((2, 3, 4, 4), 7, ignored=0.1)
    expected = ce * compute_cross_entropy(logits, targets) + dice * compute_dice(logits, targets)
    loss = compute_loss(logits, targets, LossConfig(ce=ce, dice=dice))
    torch.testing.assert_close(loss, expected)
