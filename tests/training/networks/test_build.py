"""The contract of every network, how a network is added, and bundles."""

from copy import deepcopy
from functools import partial
from typing import Any, Literal, get_args

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from bunri.core.classes import ClassInfo, ClassTable
from bunri.core.errors import ConfigError, ModelError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.images.frames import Preprocessing
from bunri.model.bundle import read_bundle, write_bundle
from bunri.model.info import BundleInfo
from bunri.training.config import LossConfig, ModelConfig, ModelName
from bunri.training.losses.losses import compute_training_loss
from bunri.training.networks import fcn8s, segnet
from bunri.training.networks.build import NETWORKS, build_network, describe_network, load_network
from bunri.training.networks.decoders import DECODERS, TIMM_TWINS
from bunri.training.networks.weights import PretrainedWeights, match_tensors

SMALL_TABLE = ClassTable(tuple(ClassInfo(n, n, (i, i, i)) for i, n in enumerate("abcde")))


def list_outputs(outputs):
    """Return the outputs of a network as a list, whether there are one or several."""
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


STRIDES = {"fpn": 4, "deeplabv3plus": 4, "pan": 4, "upernet": 4, "segformer": 4}
"""Of logits, where they are coarser than the frame."""


class NetworkContract:
    """Tests of the rules that every network follows; inherited once per network."""

    config: ModelConfig
    num_outputs = 1
    """Number of logits in training mode."""

    def divide(self, *size_hw):
        """Return the height and width of the logits of a frame."""
        return tuple(side // STRIDES.get(self.config.name, 1) for side in size_hw)

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls):
        torch.manual_seed(0)
        network, weights = build_network(cls.config, 12)
        assert weights is None
        assert all(module.training for module in network.modules())
        return network

    @pytest.mark.parametrize("size_hw", [(64, 96), (160, 32)])
    def test_forward__one_score_per_class_and_cell(self, network, size_hw):
        with torch.no_grad():
            logits = network.eval()(torch.zeros(2, 3, *size_hw))
        assert logits.shape == (2, 12, *self.divide(*size_hw))
        assert logits.dtype == torch.float32

    def test_forward__depends_on_the_photo_alone(self, network):
        """In evaluation, logits depend neither on chance nor on other photos of the batch."""
        pair = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            together, again, alone = network.eval()(pair), network(pair), network(pair[:1])
        assert torch.equal(together, again)
        assert not torch.equal(together[0], together[1])
        torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-4)

    def test_backward__reaches_every_parameter(self, network):
        network.train().zero_grad()
        with torch.no_grad():
            for parameter in network.parameters():
                # timm starts the last scale of a residual branch at 0, which lets none through.
                if not parameter.any():
                    parameter.fill_(0.5)
        pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        torch.manual_seed(3)
        weights = torch.rand(12, *self.divide(64, 64))
        sum((logits * weights).sum() for logits in list_outputs(network(pixels))).backward()
        gradients = {n: p.grad for n, p in network.named_parameters()}
        assert [n for n, g in gradients.items() if g is None or not g.isfinite().all()] == []
        # In training, normalisation takes out the biases before it, whose gradient is then 0.
        network.eval().zero_grad()
        (network(pixels) * weights).sum().backward()
        dead = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        network.zero_grad()
        assert dead == []

    def test_forward__trains_on_a_single_photo(self, network):
        """As the last batch of an epoch may be, on the smallest frame that settings allow."""
        pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(6))
        outputs = list_outputs(network.train()(pixels))
        assert len(outputs) == self.num_outputs
        for logits in outputs:
            assert logits.shape == (1, 12, *self.divide(64, 64))
            assert logits.isfinite().all()

    @pytest.mark.slow  # seconds for each network
    def test_export__gives_equal_logits(self, network):
        pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(8))
        with torch.no_grad():
            exported = torch.export.export(network.eval(), (pixels,)).module()
            torch.testing.assert_close(exported(pixels), network(pixels), atol=1e-5, rtol=1e-5)

    def test_deepcopy__shares_nothing(self, network):
        """The average of the weights is made from a copy."""
        pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
        copy = deepcopy(network).eval()
        with torch.no_grad():
            expected = copy(pixels)
            for parameter in copy.parameters():
                parameter.zero_()
            assert torch.equal(network.eval()(pixels), expected)
            assert not torch.equal(copy(pixels), expected)

    def test_encoder__is_a_part_with_parameters(self, network):
        encoder = {id(p) for p in network.get_submodule("encoder").parameters()}
        everything = {id(p) for p in network.parameters()}
        assert encoder
        assert encoder < everything

    def test_load_network__bundle_gives_equal_logits(self, tmp_path):
        torch.manual_seed(4)
        network, _ = build_network(self.config, 5)
        with torch.no_grad():
            for buffer in network.buffers():  # statistics other than those of a new network
                if buffer.dtype == torch.float32:
                    buffer.add_(0.1)
        write_network(tmp_path / "bundle", network, describe_network(self.config, 5))
        loaded = load_network(tmp_path / "bundle", read_bundle(tmp_path / "bundle"))
        pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            logits = loaded(pixels)
            assert logits.shape == (1, 5, *self.divide(64, 96))
            assert torch.equal(logits, network.eval()(pixels))
        assert not any(module.training for module in loaded.modules())


def write_network(folder, network, architecture, table=SMALL_TABLE):
    """Write a bundle of a network."""
    info = BundleInfo(
        table=table,
        preprocessing=Preprocessing(64, (0.0,) * 3, (1.0,) * 3),
        architecture=architecture,
    )
    write_bundle(folder, info, save(network.state_dict()))


def configure(name, encoder="test_efficientnet"):
    """Return settings of a narrow network on one of timm's tiny encoders for tests."""
    return ModelConfig(name=name, encoder=encoder, weights="none", decoder_channels=64)


class TestFcn8s(NetworkContract):
    config = configure("fcn8s", "vgg16")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _narrow(cls):
        """Make fc6 and fc7 narrow; test_fcn8s builds the network at its real widths."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcn8s, "FC_CHANNELS", 64)
            yield


class TestSegnet(NetworkContract):
    config = configure("segnet", "vgg16_bn")

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _narrow(cls):
        """Divide the widths by 8; test_segnet builds the network at its real widths."""
        stages = tuple(tuple(w if w == 3 else w // 8 for w in ws) for ws in segnet.STAGE_CHANNELS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segnet, "STAGE_CHANNELS", stages)
            yield


class TestFpn(NetworkContract):
    config = configure("fpn")


class TestUnet(NetworkContract):
    config = configure("unet")


class TestUnetplusplus(NetworkContract):
    config = configure("unetplusplus")


class TestUnet3plus(NetworkContract):
    config = configure("unet3plus")
    num_outputs = 5


class TestUnet3plusWithoutStride2(NetworkContract):
    config = configure("unet3plus", "test_convnext")
    num_outputs = 4


class TestDeeplabv3plus(NetworkContract):
    config = configure("deeplabv3plus")


class TestPan(NetworkContract):
    config = configure("pan")


class TestUpernet(NetworkContract):
    config = configure("upernet")


class TestSegformer(NetworkContract):
    config = configure("segformer")


def test_network_contract__is_inherited_for_every_name():
    here = [tests for tests in NetworkContract.__subclasses__() if tests.__module__ == __name__]
    # Those of transformers are tested in test_hf.
    names = {name for name in get_args(ModelName) if not name.startswith("hf_")}
    assert {tests.config.name for tests in here} == names


def test_networks__each_has_a_name_in_the_settings():
    assert set(NETWORKS) == set(get_args(ModelName))


def test_networks__adding_one_takes_a_row_and_a_name(monkeypatch, tmp_path):
    """The steps of CONTRIBUTING.md: a class, its row in NETWORKS, its name in ModelName."""

    class Tiny(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.encoder = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
            self.classifier = nn.Conv2d(8, num_classes, kernel_size=1)

        def forward(self, pixels):
            return self.classifier(self.encoder(pixels).relu())

    monkeypatch.setitem(NETWORKS, "tiny", lambda _config, num_classes: Tiny(num_classes))

    class ExtendedConfig(ModelConfig):
        name: Literal["fpn", "tiny"] = "tiny"  # type: ignore[assignment]

    monkeypatch.setattr("bunri.training.networks.build.ModelConfig", ExtendedConfig)
    encoder = Tiny(2).encoder.state_dict()
    torch.save(encoder, tmp_path / "encoder.pth")
    config = ExtendedConfig(weights=str(tmp_path / "encoder.pth"))
    network, _ = build_network(config, 5)
    assert torch.equal(network.get_submodule("encoder").state_dict()["weight"], encoder["weight"])
    loss = compute_training_loss(
        network(torch.rand(2, 3, 64, 32)), torch.zeros(2, 64, 32, dtype=torch.int64), LossConfig()
    )
    assert loss.isfinite()
    write_network(tmp_path / "bundle", network, describe_network(config, 5))
    loaded = load_network(tmp_path / "bundle", read_bundle(tmp_path / "bundle"))
    assert isinstance(loaded, Tiny)


def test_build_network__unknown_encoder_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no encoder 'resnet19'\. Did you mean 'resnet1") as e:
        build_network(ModelConfig(encoder="resnet19", weights="none"), 12)
    assert "model.encoder" in str(e.value)


@pytest.mark.parametrize(("name", "own"), [("fcn8s", "vgg16"), ("segnet", "vgg16_bn")])
def test_build_network__another_encoder_than_the_only_one(name, own):
    with pytest.raises(
        ConfigError, match=rf"'resnet34' is not allowed: {name} is defined on {own}"
    ):
        build_network(configure(name, "resnet34"), 12)


@pytest.mark.parametrize(
    ("name", "encoder", "needs"),
    [
        ("fpn", "test_vit", "an fpn, which needs features at strides 4 to 32"),  # one stride only
        ("fpn", "test_maxvit", "an fpn, which needs .* photos of any size"),  # one size only
        ("pan", "inceptionv4", "a pan, which needs .* stride 16"),  # not to be dilated
    ],
)
def test_build_network__encoder_that_does_not_fit_is_refused(name, encoder, needs):
    with pytest.raises(ConfigError, match=f"'{encoder}' cannot be the encoder of {needs}") as e:
        build_network(configure(name, encoder), 12)
    assert "resnet34" in e.value.hint


def test_build_network__trying_it_out_changes_nothing():
    """The trial run may neither draw random numbers nor touch running statistics."""
    torch.manual_seed(1)
    network, _ = build_network(configure("fpn"), 3)
    first = torch.rand(1)
    torch.manual_seed(1)
    again, _ = build_network(configure("fpn"), 3)
    assert torch.equal(first, torch.rand(1))
    assert all(map(torch.equal, network.state_dict().values(), again.state_dict().values()))
    means = [b for n, b in network.named_buffers() if n.endswith("running_mean")]
    assert means
    assert not any(mean.any() for mean in means)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 4}, "cannot be built"),
        ({"decoder_channels": 128}, "cannot be built"),
        ({"name": "unknown"}, "cannot be built"),
        ({}, "5 outputs for 12 classes"),
    ],
)
def test_load_network__description_that_does_not_fit(tmp_path, change, message):
    network, _ = build_network(configure("fpn"), 5)
    architecture = {**describe_network(configure("fpn"), 5), **change}
    table = SMALL_TABLE if change else COMPETITION_TABLE
    write_network(tmp_path / "b", network, architecture, table)
    with pytest.raises(ModelError, match=message):
        load_network(tmp_path / "b", read_bundle(tmp_path / "b"))


@pytest.mark.parametrize("old", ["timm-regnety_120", "timm-efficientnet-b0"])
def test_build_network__deprecated_name_is_refused_without_a_warning(old):
    with pytest.raises(ConfigError, match=f"no encoder '{old}'. Did you mean"):
        build_network(ModelConfig(name="unet", encoder=old, weights="none"), 12)


@pytest.mark.parametrize("name", DECODERS)
def test_build_network__width_of_the_decoder_can_be_chosen(name):
    def count(decoder_channels):
        config = configure(name).model_copy(update={"decoder_channels": decoder_channels})
        with torch.device("meta"):
            network, _ = build_network(config, 12)
        return sum(p.numel() for p in network.parameters())

    assert count(64) < count(128)


@pytest.mark.parametrize("own", TIMM_TWINS)
def test_timm_twins__hold_the_tensors_of_the_encoder(own):
    with torch.device("meta"):
        encoder = get_encoder(own, weights=None).state_dict()
        twin = timm.create_model(TIMM_TWINS[own]).state_dict()
    assert match_tensors(twin, encoder).keys() == encoder.keys()


@pytest.mark.parametrize("own", ["mobilenet_v2", "se_resnet50"])
def test_timm_twins__compute_the_same(own):
    """Inception is left out: its padding, which has no tensors, differs."""
    torch.manual_seed(1)
    twin: Any = timm.create_model(TIMM_TWINS[own])
    encoder: nn.Module = get_encoder(own, weights=None)
    encoder.load_state_dict(match_tensors(twin.state_dict(), encoder.state_dict()))
    pixels = torch.rand(2, 3, 64, 96)
    with torch.no_grad():  # in training mode, where no layer fades
        expected = twin.train().forward_features(pixels)
        found = encoder.train()(pixels)[-1]
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_build_network__imagenet_weights_of_a_twin(monkeypatch):
    asked = []

    def load(config):
        asked.append(config.encoder)
        twin = timm.create_model(config.encoder)
        return PretrainedWeights(twin.state_dict(), "test", "none")

    monkeypatch.setattr("bunri.training.networks.build.load_weights", load)
    config = ModelConfig(name="unet", encoder="mobilenet_v2")
    network, weights = build_network(config, 12)
    assert asked == ["mobilenetv2_100"]
    assert weights is not None
    first = next(iter(network.get_submodule("encoder").parameters()))
    assert torch.equal(first, next(iter(weights.tensors.values())))
    assert describe_network(config, 12)["encoder"] == "mobilenet_v2"


def test_pan__pads_small_frames_and_leaves_large_ones_alone():
    config = configure("pan")
    torch.manual_seed(1)
    network = build_network(config, 3)[0].eval()
    pixels = torch.rand(1, 3, 128, 160)
    with torch.no_grad():
        plain: Any = partial(smp.PAN.forward, network)
        assert torch.equal(network(pixels), plain(pixels))
        small = pixels[..., :64, :96]
        padded = torch.zeros(1, 3, 128, 128)
        padded[..., :64, :96] = small
        assert torch.equal(network(small), plain(padded)[..., :16, :24])
