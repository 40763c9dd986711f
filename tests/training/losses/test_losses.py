"""Rules that every loss follows, rules of single losses, and how a loss is added."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import ConfigError
from bunri.training.config import LossConfig, LossWeight
from bunri.training.losses.losses import LOSSES, check_class_weights, compute_loss
from bunri.training.losses.losses import compute_cross_entropy as cross_entropy
from bunri.training.losses.losses import compute_focal as focal
from bunri.training.losses.losses import compute_ohem as ohem
from bunri.training.losses.region import compute_dice as dice
from bunri.training.losses.region import compute_jaccard as jaccard
from bunri.training.losses.region import compute_tversky as tversky
from tests.training.losses import slow_losses

SETTINGS = {"ohem_share": 0.4, "focal_gamma": 1.5, "tversky_alpha": 0.2, "tversky_beta": 0.9}
shapes = st.tuples(*(st.integers(1, 3), st.integers(2, 5), st.integers(1, 5), st.integers(1, 5)))
seeds = st.integers(0, 9999)


def draw(shape, seed, *, ignored=0.0):
    """Return logits (N, C, H, W) and targets (N, H, W) with a share of ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    n, c, h, w = shape
    logits = torch.randn(shape, generator=generator) * 3
    targets = torch.randint(0, c, (n, h, w), generator=generator)
    targets[torch.rand((n, h, w), generator=generator) < ignored] = 255
    return logits, targets


def answer(targets, num_classes, sureness):
    """Return logits that give the true class, or class 0 where ignored, ``sureness``."""
    logits = torch.zeros(targets.shape[0], num_classes, *targets.shape[1:])
    return logits.scatter_(1, targets.where(targets != 255, 0).unsqueeze(1), sureness)


def compute_gradient(compute, logits, targets):
    leaf = logits.detach().clone().requires_grad_()
    compute(leaf, targets).backward()
    assert leaf.grad is not None
    return leaf.grad


def pick(name, **changed):
    """Return one loss at weight 1, as training calls it."""
    values = {"ce": 0.0, "dice": 0.0, **SETTINGS, **changed, name: 1.0}
    config = LossConfig.model_validate(values)
    return lambda logits, targets: compute_loss(logits, targets, config)


@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    """Rules for all losses; exceptions are named in the test."""

    @pytest.fixture
    def compute(self, name):
        return pick(name)

    @given(shapes, seeds, st.sampled_from([0.0, 0.3, 0.8]))
    @settings(max_examples=25, deadline=None)
    def test_equals_the_formula_pixel_by_pixel(self, name, shape, seed, ignored):
        logits, targets = draw(shape, seed, ignored=ignored)
        expected = getattr(slow_losses, name)(logits.tolist(), targets.tolist(), SETTINGS)
        assert float(pick(name)(logits, targets)) == pytest.approx(expected, abs=2e-5)

    def test_gradient_flows_and_descends(self, compute, name):
        logits, targets = draw((2, 3, 4, 5), 2)
        gradient = compute_gradient(compute, logits, targets)
        reached = gradient.abs().sum(dim=1) > 0
        kept = round(SETTINGS["ohem_share"] * targets.numel())
        assert int(reached.sum()) == (kept if name == "ohem" else targets.numel())
        # A softmax takes from one class what it gives to another.
        assert gradient.sum(dim=1).abs().max() < 1e-6
        before = float(compute(logits, targets))
        assert float(compute(logits - 0.5 * gradient, targets)) < before

    def test_gradient_is_the_slope(self, compute):
        logits, targets = draw((1, 3, 3, 4), 8, ignored=0.2)
        gradient = compute_gradient(compute, logits, targets)
        direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(9))
        step = 1e-2 * direction
        rise = float(compute(logits + step, targets)) - float(compute(logits - step, targets))
        assert rise == pytest.approx(2 * float((gradient * step).sum()), rel=0.02, abs=2e-5)

    @given(shapes, seeds)
    @settings(max_examples=20, deadline=None)
    def test_ignored_pixels_have_no_gradient_and_no_influence(self, name, shape, seed):
        compute = pick(name)
        logits, targets = draw(shape, seed, ignored=0.5)
        ignored = (targets == 255).unsqueeze(1).expand_as(logits)
        assert not compute_gradient(compute, logits, targets)[ignored].any()
        changed = torch.where(ignored, torch.randn_like(logits) * 1e4, logits)
        assert float(compute(changed, targets)) == float(compute(logits, targets))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_all_ignored_is_zero(self, compute, dtype):
        logits = torch.randn(2, 3, 4, 4).to(dtype)
        targets = torch.full((2, 4, 4), 255)
        assert compute(logits, targets).item() == 0.0
        assert torch.equal(compute_gradient(compute, logits, targets), torch.zeros_like(logits))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_logits(self, compute, dtype):
        """Sums over 16,384 pixels overflow or stall in half precision."""
        logits, targets = draw((1, 3, 128, 128), 3, ignored=0.1)
        logits = logits.mul(10).to(dtype)
        loss = compute(logits, targets)
        assert loss.dtype == torch.float32
        assert loss.item() == float(compute(logits.float(), targets))
        gradient = compute_gradient(compute, logits, targets)
        wanted = compute_gradient(compute, logits.float(), targets)
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, wanted.to(dtype))

    def test_under_autocast_as_without(self, compute):
        """Validation computes its loss under autocast; nothing may be cast to half precision."""
        logits, targets = draw((2, 4, 16, 17), 5, ignored=0.1)
        expected = float(compute(logits, targets))
        with torch.autocast("cpu", torch.bfloat16):
            assert float(compute(logits, targets)) == expected

    @pytest.mark.parametrize(
        ("dtype", "size"), [(torch.float16, 65504.0), (torch.bfloat16, 1e30), (torch.float32, 1e30)]
    )
    @pytest.mark.parametrize("is_right", [True, False])
    def test_huge_logits_are_finite(self, compute, dtype, size, is_right):
        _, targets = draw((1, 3, 4, 5), 3, ignored=0.1)
        logits = answer(targets, 3, size if is_right else -size).to(dtype)
        assert math.isfinite(float(compute(logits, targets)))
        assert compute_gradient(compute, logits, targets).isfinite().all()

    def test_memory_format_does_not_matter(self, compute):
        logits, targets = draw((2, 3, 4, 5), 14, ignored=0.2)
        wanted = float(compute(logits, targets))
        last = logits.contiguous(memory_format=torch.channels_last)
        assert float(compute(last, targets)) == pytest.approx(wanted, rel=1e-6)

    def test_label_that_is_no_class(self, compute):
        logits, targets = draw((1, 3, 4, 5), 16)
        targets[0, 0, 0] = 3
        with pytest.raises((IndexError, RuntimeError)):
            compute(logits, targets)


# -- one loss alone -----------------------------------------------------------------------

# Probabilities 3/4 and 1/4; one pixel of class 0, one of class 1.
HAND_LOGITS = torch.tensor([[[[math.log(3.0), math.log(3.0)]], [[0.0, 0.0]]]])  # (1, 2, 1, 2)
HAND_TARGETS = torch.tensor([[[0, 1]]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ce", (math.log(4 / 3) + math.log(4)) / 2),
        ("ohem", math.log(4)),  # one of two
        ("focal", (math.log(4 / 3) / 16 + math.log(4) * 9 / 16) / 2),
        # Class 0: 2 * 3/4 / (6/4 + 1) = 0.6. Class 1: 2 * 1/4 / (2/4 + 1) = 1/3.
        ("dice", ((1 - 0.6) + (1 - 1 / 3)) / 2),
        # Class 0: 3/4 / (6/4 + 1 - 3/4) = 3/7. Class 1: 1/4 / (2/4 + 1 - 1/4) = 1/5.
        ("jaccard", ((1 - 3 / 7) + (1 - 1 / 5)) / 2),
        # Class 0: 3/4 / (3/4 + 1/4 * 3/4 + 3/4 * 1/4). Class 1: 1/4 / (1/4 + 1/16 + 9/16).
        ("tversky", ((1 - 2 / 3) + (1 - 2 / 7)) / 2),
        # Each class: errors 3/4 then 1/4. Class 0: the wrong pixel adds 1/2 to 1 - IoU, the
        # missed one the other 1/2. Class 1: the missed pixel adds 1, nothing is left.
        ("lovasz", ((3 / 4 + 1 / 4) / 2 + 3 / 4) / 2),
        # Distances 1 of H + W = 3. Left: 1/4 missed and 1/4 wrong; right: 3/4 and 3/4.
        ("boundary", (2 / 4 + 6 / 4) / 3 / 2),
    ],
)
def test_compute_loss__by_hand(name, expected):
    chosen = {"ohem_share": 0.5, "focal_gamma": 2.0, "tversky_alpha": 0.25, "tversky_beta": 0.75}
    compute = pick(name, **chosen)
    assert float(compute(HAND_LOGITS, HAND_TARGETS)) == pytest.approx(expected)


def test_compute_loss__weighted_sum_of_all():
    logits, targets = draw((2, 3, 4, 4), 7, ignored=0.1)
    weights = {str(name): 0.5 + index for index, name in enumerate(LOSSES)}
    alone = {name: float(pick(name)(logits, targets)) for name in LOSSES}
    assert len({round(value, 5) for value in alone.values()}) == len(LOSSES)
    expected = sum(weights[name] * alone[name] for name in LOSSES)
    loss = compute_loss(logits, targets, LossConfig.model_validate({**SETTINGS, **weights}))
    assert float(loss) == pytest.approx(expected)


def test_losses__each_has_a_weight_in_the_settings():
    assert list(LOSSES) == LossConfig.list_losses()


def test_losses__adding_one_takes_a_row_and_a_field(monkeypatch):
    """The steps of CONTRIBUTING.md: a function, its row in LOSSES, its weight in LossConfig."""

    def compute_mean_error(logits, targets):
        wrong = 1 - logits.softmax(dim=1).gather(1, targets.unsqueeze(1))
        return wrong.mean()

    monkeypatch.setitem(LOSSES, "mean_error", lambda x, y, _: compute_mean_error(x, y))

    class ExtendedConfig(LossConfig):
        mean_error: LossWeight = 0.0

    assert ExtendedConfig.list_losses() == list(LOSSES)
    config = ExtendedConfig(ce=0.0, dice=0.0, mean_error=2.0)
    # Probabilities of the true class: 3/4 and 1/4.
    assert float(compute_loss(HAND_LOGITS, HAND_TARGETS, config)) == pytest.approx(2 * 0.5)
    with pytest.raises(ValueError, match="boundary, mean_error a positive weight"):
        ExtendedConfig(ce=0.0, dice=0.0)


def test_compute_loss__default_is_cross_entropy_and_dice():
    logits, targets = draw((2, 3, 4, 4), 7, ignored=0.1)
    expected = cross_entropy(logits, targets) + dice(logits, targets)
    assert torch.equal(compute_loss(logits, targets, LossConfig()), expected)


def test_compute_loss__coarse_logits_are_brought_to_the_size_of_the_targets():
    coarse, _ = draw((2, 3, 2, 3), 7)
    _, targets = draw((2, 3, 8, 12), 8, ignored=0.1)
    # By hand: a pixel lies a quarter of a cell, or three, from the centres of the two beside it.
    steps = torch.arange(8 * 1.0).add(0.5).div(4).sub(0.5).clamp(0, 1)
    rows = torch.stack([1 - steps, steps])
    across = torch.arange(12 * 1.0).add(0.5).div(4).sub(0.5).clamp(0, 2)
    columns = (1 - (across - torch.arange(3.0)[:, None]).abs()).clamp(0)
    fine = torch.einsum("nchw,hy,wx->ncyx", coarse, rows, columns)
    loss = compute_loss(coarse, targets, LossConfig())
    torch.testing.assert_close(loss, compute_loss(fine, targets, LossConfig()))


def test_compute_loss__the_settings_of_cross_entropy_reach_it():
    logits, targets = draw((2, 3, 4, 4), 7, ignored=0.1)
    config = LossConfig(dice=0.0, class_weights=(1.0, 2.0, 5.0), label_smoothing=0.1)
    expected = cross_entropy(logits, targets, (1.0, 2.0, 5.0), 0.1)
    assert torch.equal(compute_loss(logits, targets, config), expected)


@given(seeds, st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_cross_entropy__class_weights_are_repeats(seed, weights):
    """Twice the weight is the pixel twice: the mean weighted by each pixel's own class."""
    logits, targets = draw((2, 3, 3, 4), seed, ignored=0.3)
    losses = torch.nn.functional.cross_entropy(logits, targets, ignore_index=255, reduction="none")
    counts = torch.tensor([*weights, *[0.0] * 253])[targets]
    expected = float((losses * counts).sum() / counts.sum().clamp(min=1e-3))
    assert float(cross_entropy(logits, targets, weights)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weights", [None, (1e-3, 1e-3)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy__all_ignored_with_weights_and_smoothing(weights, label_smoothing):
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 3, 3), 255), weights, label_smoothing)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_cross_entropy__label_smoothing_by_hand():
    """Targets 0.9 and 0.1 of two classes; the loss is smallest at these probabilities."""
    value = float(cross_entropy(HAND_LOGITS, HAND_TARGETS, label_smoothing=0.2))
    right, wrong = math.log(4 / 3), math.log(4)
    assert value == pytest.approx((0.9 * right + 0.1 * wrong + 0.9 * wrong + 0.1 * right) / 2)
    targets = torch.zeros(1, 1, 1, dtype=torch.int64)
    sureness = [float(cross_entropy(answer(targets, 2, s), targets, None, 0.2)) for s in range(9)]
    assert min(range(9), key=sureness.__getitem__) == round(math.log(9))


@pytest.mark.parametrize("num_classes", [1, 2, 4, 12])
def test_check_class_weights__one_per_class(num_classes):
    check_class_weights(LossConfig(), num_classes)
    check_class_weights(LossConfig(class_weights=(1.0,) * num_classes), num_classes)
    with pytest.raises(ConfigError) as caught:
        check_class_weights(LossConfig(class_weights=(1.0, 2.0, 3.0)), num_classes)
    assert caught.value.message == (
        f"loss.class_weights has 3 numbers, but there are {num_classes} classes."
    )


def test_ohem__all_pixels_are_the_cross_entropy():
    logits, targets = draw((2, 3, 4, 5), 1, ignored=0.2)
    torch.testing.assert_close(ohem(logits, targets, 1.0), cross_entropy(logits, targets))


@pytest.mark.parametrize(
    ("share", "num_kept"), [(1e-9, 1), (0.1, 1), (0.16, 2), (0.7, 7), (0.99, 10)]
)
def test_ohem__share_of_the_valid_pixels_rounded(share, num_kept):
    """Ten valid pixels of twenty, losses apart; the ignored ten would be the hardest."""
    logits, targets = draw((1, 2, 4, 5), 2)
    targets[0, :2] = 255
    gradient = compute_gradient(lambda x, y: ohem(x, y, share), logits, targets)
    assert int((gradient.abs().sum(dim=1) > 0).sum()) == num_kept


def test_focal__gamma_0_is_the_cross_entropy():
    logits, targets = draw((2, 3, 4, 5), 1, ignored=0.2)
    torch.testing.assert_close(focal(logits, targets, 0.0), cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("sureness", [0.0, 20.0, 200.0])
def test_focal__gradient_is_finite_at_perfection(gamma, sureness):
    targets = torch.tensor([[[0, 1]]])
    gradient = compute_gradient(
        lambda x, y: focal(x, y, gamma), answer(targets, 2, sureness), targets
    )
    assert gradient.isfinite().all()


@given(shapes, seeds)
@settings(max_examples=25, deadline=None)
def test_tversky__is_dice_at_a_half_and_jaccard_at_one(shape, seed):
    logits, targets = draw(shape, seed, ignored=0.2)
    torch.testing.assert_close(tversky(logits, targets, 0.5, 0.5), dice(logits, targets))
    torch.testing.assert_close(tversky(logits, targets, 1.0, 1.0), jaccard(logits, targets))
    weights = compute_gradient(lambda x, y: tversky(x, y, 1e-9, 1e-9), logits, targets)
    assert weights.isfinite().all()


def test_boundary__a_wrong_pixel_costs_its_distance_to_the_border():
    """A row of 8, classes 0 and 1 in halves; H + W = 9, both classes see the same pixel."""
    targets = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]]])
    for place, distance in enumerate([4, 3, 2, 1, 1, 2, 3, 4]):
        guess = targets.clone()
        guess[0, 0, place] = 1 - guess[0, 0, place]
        value = float(pick("boundary")(answer(guess, 2, 60.0), targets))
        assert value == pytest.approx(2 * distance / 9 / 8)
