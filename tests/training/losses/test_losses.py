"""What every loss must hold, by one class for all of them, and what only one must."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import ConfigError
from bunri.training.config import LOSS_NAMES, LossConfig
from bunri.training.losses.losses import check_class_weights, compute_loss
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


@pytest.mark.parametrize("name", LOSS_NAMES)
class TestEveryLoss:
    """Each test is for all of them; what differs is named in the test."""

    @pytest.fixture
    def compute(self, name):
        return pick(name)

    @given(shapes, seeds, st.sampled_from([0.0, 0.3, 0.8]))
    @settings(max_examples=25, deadline=None)
    def test_equals_the_formula_pixel_by_pixel(self, name, shape, seed, ignored):
        logits, targets = draw(shape, seed, ignored=ignored)
        expected = getattr(slow_losses, name)(logits.tolist(), targets.tolist(), SETTINGS)
        assert float(pick(name)(logits, targets)) == pytest.approx(expected, abs=2e-5)

    def test_softmax_runs_over_classes(self, compute):
        """Photos, classes, rows and columns all 3: any axis would do, and give another value.

        What is added to all classes of a pixel changes nothing; over any other axis it does.
        """
        targets = torch.tensor([[[0, 1, 2], [0, 1, 1], [2, 0, 1]]] * 3)
        logits, _ = draw((3, 3, 3, 3), 3)
        shift = torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(4)) * 9
        value = float(compute(logits, targets))
        assert float(compute(logits + shift, targets)) == pytest.approx(value, rel=1e-4)
        perfect = answer(targets, 3, 50.0)
        assert float(compute(perfect + shift, targets)) == pytest.approx(0.0, abs=1e-6)
        assert float(compute(perfect.roll(1, dims=1) + shift, targets)) > 0.1

    def test_about_zero_when_sure_and_right(self, compute):
        _, targets = draw((2, 4, 5, 6), 1, ignored=0.2)
        assert float(compute(answer(targets, 4, 50.0), targets)) == pytest.approx(0.0, abs=1e-6)

    def test_smaller_the_surer_when_right_and_larger_when_wrong(self, compute):
        _, targets = draw((2, 4, 5, 6), 1, ignored=0.2)
        values = [float(compute(answer(targets, 4, s), targets)) for s in (-9, -3, 0, 3, 9)]
        assert values == sorted(values, reverse=True)
        assert len({round(value, 4) for value in values[:4]}) == 4

    def test_larger_the_more_pixels_are_wrong(self, compute):
        _, targets = draw((1, 3, 6, 7), 2)
        values = []
        for num_wrong in (0, 4, 12, 30):
            wrong = targets.flatten().clone()
            wrong[:num_wrong] = (wrong[:num_wrong] + 1) % 3
            values.append(float(compute(answer(wrong.view_as(targets), 3, 6.0), targets)))
        assert values == sorted(values)
        assert values[0] < values[1] < values[2]

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

    def test_ignored_margin_changes_nothing(self, compute, name):
        """As padding does; the boundary loss alone knows the frame, which is its unit."""
        logits, targets = draw((2, 3, 4, 5), 6)
        wide = torch.nn.functional.pad(logits, (0, 4, 2, 0), value=9.0)
        marked = torch.nn.functional.pad(targets, (0, 4, 2, 0), value=255)
        scale = (4 + 5) / (6 + 9) if name == "boundary" else 1.0
        expected = scale * float(compute(logits, targets))
        assert float(compute(wide, marked)) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_all_ignored_is_zero(self, compute, dtype):
        logits = torch.randn(2, 3, 4, 4).to(dtype)
        targets = torch.full((2, 4, 4), 255)
        assert compute(logits, targets).item() == 0.0
        assert torch.equal(compute_gradient(compute, logits, targets), torch.zeros_like(logits))

    def test_a_single_valid_pixel(self, compute):
        logits, targets = draw((2, 3, 4, 4), 1)
        alone = torch.full_like(targets, 255)
        alone[1, 2, 3] = targets[1, 2, 3]
        assert math.isfinite(float(compute(logits, alone)))
        gradient = compute_gradient(compute, logits, alone)
        assert gradient.isfinite().all()
        assert not gradient[(alone == 255).unsqueeze(1).expand_as(gradient)].any()

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
        """Validation reckons its loss there; nothing may be taken down to half precision."""
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

    def test_absent_class(self, compute):
        """Sure and right without it is 0; to invent it costs, and its gradient pushes it down."""
        targets = torch.tensor([[[0, 0, 1], [0, 1, 1]]])
        assert float(compute(answer(targets, 3, 50.0), targets)) == pytest.approx(0.0, abs=1e-6)
        invented = answer(targets, 3, 8.0)
        invented[0, 2, 0, 0] = 9.0
        assert float(compute(invented, targets)) > 1e-3
        assert compute_gradient(compute, invented, targets)[0, 2, 0, 0] > 0

    def test_one_class_everywhere(self, compute):
        targets = torch.ones(2, 4, 5, dtype=torch.int64)
        logits, _ = draw((2, 3, 4, 5), 4)
        assert 0.0 <= float(compute(logits, targets)) < 100.0
        assert compute_gradient(compute, logits, targets).isfinite().all()

    @given(st.permutations(range(4)), seeds)
    @settings(max_examples=15, deadline=None)
    def test_names_of_classes_do_not_matter(self, name, order, seed):
        compute = pick(name)
        logits, targets = draw((2, 4, 3, 5), seed, ignored=0.2)
        lookup = torch.full((256,), 255)
        lookup[torch.tensor(order)] = torch.arange(4)
        renamed = compute(logits[:, order], lookup[targets])
        assert float(renamed) == pytest.approx(float(compute(logits, targets)), rel=1e-4)
        gradient = compute_gradient(compute, logits, targets)[:, order]
        moved = compute_gradient(compute, logits[:, order], lookup[targets])
        torch.testing.assert_close(moved, gradient, rtol=1e-3, atol=1e-6)

    def test_places_of_pixels_do_not_matter_but_to_the_boundary(self, compute, name):
        logits, targets = draw((2, 3, 4, 5), 12, ignored=0.2)
        order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
        mixed = logits.movedim(1, 0).flatten(1)[:, order].view(3, 2, 4, 5).movedim(0, 1)
        value = float(compute(mixed, targets.flatten()[order].view(2, 4, 5)))
        is_same = value == pytest.approx(float(compute(logits, targets)), rel=1e-5)
        assert is_same == (name != "boundary")

    @pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
    def test_mirrored_as_before(self, compute, dims):
        logits, targets = draw((2, 3, 4, 5), 13, ignored=0.2)
        mirrored = compute(logits.flip(dims), targets.flip([d - 1 for d in dims]))
        assert float(mirrored) == pytest.approx(float(compute(logits, targets)), rel=1e-5)

    def test_memory_format_does_not_matter(self, compute):
        logits, targets = draw((2, 3, 4, 5), 14, ignored=0.2)
        wanted = float(compute(logits, targets))
        last = logits.contiguous(memory_format=torch.channels_last)
        assert float(compute(last, targets)) == pytest.approx(wanted, rel=1e-6)

    def test_batch_of_one_twice_is_the_same(self, compute):
        logits, targets = draw((1, 3, 4, 5), 15, ignored=0.2)
        value = float(compute(logits, targets))
        assert value > 0
        twice = float(compute(logits.repeat(2, 1, 1, 1), targets.repeat(2, 1, 1)))
        assert twice == pytest.approx(value, rel=1e-5)

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
    weights = {str(name): 0.5 + index for index, name in enumerate(LOSS_NAMES)}
    alone = {name: float(pick(name)(logits, targets)) for name in LOSS_NAMES}
    assert len({round(value, 5) for value in alone.values()}) == len(LOSS_NAMES)
    expected = sum(weights[name] * alone[name] for name in LOSS_NAMES)
    loss = compute_loss(logits, targets, LossConfig.model_validate({**SETTINGS, **weights}))
    assert float(loss) == pytest.approx(expected)


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


def test_cross_entropy__equal_class_weights_change_nothing():
    logits, targets = draw((2, 3, 3, 4), 3, ignored=0.3)
    for weight in (1e-3, 1.0, 1e3):
        value = cross_entropy(logits, targets, [weight] * 3)
        torch.testing.assert_close(value, cross_entropy(logits, targets))


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
    """Truth 0.9 and 0.1 of two classes; smallest where the network says just that."""
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


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "lovasz"])
class TestOverTheWholeBatch:
    """Photos are not averaged."""

    def test_two_photos_give_what_one_of_both_would_give(self, name):
        logits, targets = draw((2, 3, 4, 5), 5, ignored=0.1)
        joined = pick(name)(torch.cat([*logits], 1)[None], torch.cat([*targets])[None])
        torch.testing.assert_close(pick(name)(logits, targets), joined)

    def test_absent_class_does_not_count(self, name):
        """Half right for class 0 and nothing for class 1, over two classes and not three."""
        compute = pick(name, tversky_alpha=0.5, tversky_beta=0.5)
        logits = torch.full((1, 3, 1, 2), -60.0)
        logits[0, 0] = 0.0  # everything is said to be class 0
        index = 1 / 2 if name in ("jaccard", "lovasz") else 2 / 3
        value = float(compute(logits, torch.tensor([[[0, 1]]])))
        assert value == pytest.approx(((1 - index) + 1) / 2)


@given(shapes, seeds)
@settings(max_examples=25, deadline=None)
def test_lovasz__is_one_minus_iou_where_the_network_is_sure(shape, seed):
    """What it extends: at probabilities of 0 and 1 it is the mean 1 - IoU of classes present."""
    _, targets = draw(shape, seed, ignored=0.2)
    _, guesses = draw(shape, seed + 1)
    value = pick("lovasz")(answer(guesses, shape[1], 90.0), targets)
    valid, scores = targets != 255, []
    for k in targets[valid].unique():
        truth, guess = (targets == k) & valid, (guesses == k) & valid
        scores.append(1 - int((truth & guess).sum()) / int((truth | guess).sum()))
    expected = sum(scores) / len(scores) if scores else 0.0
    assert float(value) == pytest.approx(expected, abs=1e-5)


def test_boundary__a_wrong_pixel_costs_its_distance_to_the_border():
    """A row of 8, classes 0 and 1 in halves; H + W = 9, both classes see the same pixel."""
    targets = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]]])
    for place, distance in enumerate([4, 3, 2, 1, 1, 2, 3, 4]):
        guess = targets.clone()
        guess[0, 0, place] = 1 - guess[0, 0, place]
        value = float(pick("boundary")(answer(guess, 2, 60.0), targets))
        assert value == pytest.approx(2 * distance / 9 / 8)


def test_boundary__ignored_pixels_are_no_border_and_photos_are_apart():
    logits, _ = draw((2, 2, 1, 4), 1)
    # Each photo holds one class beside what is ignored: no border in either.
    targets = torch.tensor([[[0, 0, 255, 255]], [[1, 255, 1, 1]]])
    assert float(pick("boundary")(logits, targets)) == 0.0
