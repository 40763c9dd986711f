"""What every network keeps, and how bundles bring them back."""

from copy import deepcopy
from functools import partial
from typing import Any, get_args

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
from bunri.training.config import ModelConfig, ModelName
from bunri.training.networks.build import build_network, describe_network, load_network
from bunri.training.networks.decoders import TIMM_TWINS
from bunri.training.networks.weights import PretrainedWeights, match_tensors

ONE_ENCODER = ("fcn8s", "segnet")
SMALL_TABLE = ClassTable(tuple(ClassInfo(n, n, (i, i, i)) for i, n in enumerate("abcde")))


def list_outputs(outputs):
    """Return what a network gave as a list, whether it is one or several."""
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


STRIDES = {"fpn": 4, "deeplabv3plus": 4, "pan": 4, "upernet": 4, "segformer": 4}
"""Of logits, where they are coarser than the frame."""


class NetworkContract:
    """Inherited by the tests of each network; gives what any network must keep."""

    config: ModelConfig
    num_outputs = 1
    """In training mode."""
    trial_device = "meta"
    """Where only shapes are tried; there nothing is computed."""

    def divide(self, *size_hw):
        """Return the height and width of the logits of a frame."""
        return tuple(side // STRIDES.get(self.config.name, 1) for side in size_hw)

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls):
        torch.manual_seed(0)
        network, weights = build_network(cls.config, 12)
        assert weights is None
        return network

    @pytest.mark.parametrize("size_hw", [(64, 64), (64, 96), (96, 64), (32, 160)])
    def test_forward__one_score_per_class_and_cell(self, network, size_hw):
        with torch.no_grad():
            logits = network.eval()(torch.zeros(2, 3, *size_hw))
        assert logits.shape == (2, 12, *self.divide(*size_hw))
        assert logits.dtype == torch.float32

    def test_forward__number_of_classes(self):
        with torch.device(self.trial_device), torch.no_grad():
            network, _ = build_network(self.config, 2)
            pixels = torch.zeros(2, 3, 64, 64)
            outputs = [*list_outputs(network(pixels)), network.eval()(pixels)]
        assert {logits.shape for logits in outputs} == {(2, 2, *self.divide(64, 64))}

    def test_forward__photos_of_a_batch_are_apart(self, network):
        """In evaluation, a photo's logits do not depend on its neighbours."""
        pair = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            together, alone = network.eval()(pair), network(pair[:1])
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

    def test_forward__same_photo_gives_same_logits(self, network):
        pixels = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            first, again = network.eval()(pixels), network(pixels)
        assert torch.equal(first, again)
        assert not torch.equal(first[0], first[1])

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

    def test_build_network__is_in_training_mode(self):
        with torch.device("meta"):
            network, _ = build_network(self.config, 2)
        assert network.training
        assert all(module.training for module in network.modules())

    def test_load_network__bundle_gives_equal_logits(self, tmp_path):
        torch.manual_seed(4)
        network, _ = build_network(self.config, 5)
        with torch.no_grad():
            for buffer in network.buffers():  # statistics other than those of a new network
                if buffer.dtype == torch.float32:
                    buffer.add_(0.1)
        info = BundleInfo(
            table=SMALL_TABLE,
            preprocessing=Preprocessing(64, (0.0,) * 3, (1.0,) * 3),
            architecture=describe_network(self.config, 5),
        )
        write_bundle(tmp_path / "bundle", info, save(network.state_dict()))
        loaded = load_network(tmp_path / "bundle", read_bundle(tmp_path / "bundle"))
        pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            assert torch.equal(loaded(pixels), network.eval()(pixels))
        assert not any(module.training for module in loaded.modules())


class TestFcn8s(NetworkContract):
    config = ModelConfig(name="fcn8s", encoder="vgg16", weights="none")

    @pytest.mark.slow  # 135 MB, written and hashed
    def test_load_network__bundle_gives_equal_logits(self, tmp_path):
        super().test_load_network__bundle_gives_equal_logits(tmp_path)


class TestSegnet(NetworkContract):
    config = ModelConfig(name="segnet", encoder="vgg16_bn", weights="none")

    @pytest.mark.slow  # 118 MB, written and hashed
    def test_load_network__bundle_gives_equal_logits(self, tmp_path):
        super().test_load_network__bundle_gives_equal_logits(tmp_path)


class TestFpnOnLite0(NetworkContract):
    config = ModelConfig(weights="none", decoder_channels=64)


class TestFpnOnResnet18(NetworkContract):
    config = ModelConfig(encoder="resnet18", weights="none", decoder_channels=128, dropout=0.0)


class TestUnet(NetworkContract):
    config = ModelConfig(
        name="unet", encoder="mobilenetv2_050", weights="none", decoder_channels=64
    )


class TestUnetplusplus(NetworkContract):
    config = ModelConfig(
        name="unetplusplus", encoder="mobilenetv2_050", weights="none", decoder_channels=64
    )


class TestUnet3plus(NetworkContract):
    config = ModelConfig(name="unet3plus", encoder="resnet18", weights="none", decoder_channels=64)
    num_outputs = 5


class TestUnet3plusWithoutStride2(NetworkContract):
    config = ModelConfig(
        name="unet3plus", encoder="convnext_atto", weights="none", decoder_channels=64
    )
    num_outputs = 4


class TestDeeplabv3plus(NetworkContract):
    config = ModelConfig(
        name="deeplabv3plus", encoder="mobilenetv2_050", weights="none", decoder_channels=64
    )


class TestDeeplabv3plusOnAnEncoderOfSmp(NetworkContract):
    config = ModelConfig(
        name="deeplabv3plus", encoder="mobilenet_v2", weights="none", decoder_channels=64
    )


class TestPan(NetworkContract):
    config = ModelConfig(
        name="pan", encoder="mobilenetv2_050", weights="none", decoder_channels=128
    )


class TestUpernet(NetworkContract):
    config = ModelConfig(
        name="upernet", encoder="mobilenetv2_050", weights="none", decoder_channels=64
    )


class TestSegformer(NetworkContract):
    config = ModelConfig(
        name="segformer", encoder="mobilenetv2_050", weights="none", decoder_channels=64
    )


def test_network_contract__is_inherited_for_every_name():
    here = [tests for tests in NetworkContract.__subclasses__() if tests.__module__ == __name__]
    # Those of transformers are tested in test_hf.
    names = {name for name in get_args(ModelName) if not name.startswith("hf_")}
    assert {tests.config.name for tests in here} == names


def test_build_network__unknown_encoder_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no encoder 'resnet19'\. Did you mean 'resnet1") as e:
        build_network(ModelConfig(encoder="resnet19", weights="none"), 12)
    assert "model.encoder" in str(e.value)


def test_build_network__fcn8s_with_another_encoder_is_refused():
    config = ModelConfig(name="fcn8s", encoder="resnet34", weights="none")
    with pytest.raises(ConfigError, match=r"'resnet34' is not allowed: fcn8s is defined on vgg16"):
        build_network(config, 12)


@pytest.mark.parametrize(
    "encoder",
    [
        "vit_tiny_patch16_224",  # one stride only
        pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow),  # one size only
    ],
)
def test_build_network__encoder_that_is_no_pyramid_is_refused(encoder):
    with pytest.raises(ConfigError, match=f"'{encoder}' cannot be the encoder of an fpn") as e:
        build_network(ModelConfig(encoder=encoder, weights="none"), 12)
    assert "resnet34" in e.value.hint


def test_build_network__trying_it_out_changes_nothing():
    """The trial run may neither draw random numbers nor touch running statistics."""
    torch.manual_seed(1)
    network, _ = build_network(ModelConfig(weights="none", decoder_channels=64), 3)
    first = torch.rand(1)
    torch.manual_seed(1)
    again, _ = build_network(ModelConfig(weights="none", decoder_channels=64), 3)
    assert torch.equal(first, torch.rand(1))
    assert all(map(torch.equal, network.state_dict().values(), again.state_dict().values()))
    means = [b for n, b in network.named_buffers() if n.endswith("running_mean")]
    assert means
    assert not any(mean.any() for mean in means)


@pytest.mark.parametrize("change", [{"num_classes": 11}, {"decoder_channels": 128}])
def test_load_network__weights_of_another_shape(tmp_path, change):
    config = ModelConfig(weights="none", decoder_channels=64)
    network, _ = build_network(config, 12)
    info = BundleInfo(
        table=COMPETITION_TABLE,
        preprocessing=Preprocessing(64, (0.0,) * 3, (1.0,) * 3),
        architecture={**describe_network(config, 12), **change},
    )
    write_bundle(tmp_path / "b", info, save(network.state_dict()))
    with pytest.raises(ModelError, match="cannot be built"):
        load_network(tmp_path / "b", read_bundle(tmp_path / "b"))


def test_load_network__other_number_of_classes_than_the_table(tmp_path):
    config = ModelConfig(weights="none", decoder_channels=64)
    network, _ = build_network(config, 12)
    info = BundleInfo(
        table=SMALL_TABLE,
        preprocessing=Preprocessing(64, (0.0,) * 3, (1.0,) * 3),
        architecture=describe_network(config, 12),
    )
    write_bundle(tmp_path / "b", info, save(network.state_dict()))
    with pytest.raises(ModelError, match="12 outputs for 5 classes"):
        load_network(tmp_path / "b", read_bundle(tmp_path / "b"))


def test_load_network__unknown_architecture(tmp_path):
    info = BundleInfo(
        table=SMALL_TABLE,
        preprocessing=Preprocessing(64, (0.0,) * 3, (1.0,) * 3),
        architecture={"name": "unknown", "num_classes": 5},
    )
    write_bundle(tmp_path / "b", info, save({"x": torch.zeros(1)}))
    with pytest.raises(ModelError, match="cannot be built"):
        load_network(tmp_path / "b", read_bundle(tmp_path / "b"))


def test_build_network__segnet_with_another_encoder_is_refused():
    config = ModelConfig(name="segnet", encoder="vgg16", weights="none")
    with pytest.raises(ConfigError, match=r"'vgg16' is not allowed: segnet is defined on vgg16_bn"):
        build_network(config, 12)


@pytest.mark.parametrize("name", ["deeplabv3plus", "pan"])
def test_build_network__encoder_that_cannot_be_kept_at_stride_16_is_refused(name):
    config = ModelConfig(name=name, encoder="inceptionv4", weights="none")
    expected = f"'inceptionv4' cannot be the encoder of a {name}, which needs .* stride 16"
    with pytest.raises(ConfigError, match=expected):
        build_network(config, 12)


@pytest.mark.parametrize("old", ["timm-regnety_120", "timm-efficientnet-b0"])
def test_build_network__deprecated_name_is_refused_without_a_warning(old):
    with pytest.raises(ConfigError, match=f"no encoder '{old}'. Did you mean"):
        build_network(ModelConfig(name="unet", encoder=old, weights="none"), 12)


@pytest.mark.parametrize(
    "network_name",
    [n for n in get_args(ModelName) if n not in ONE_ENCODER and not n.startswith("hf_")],
)
def test_build_network__width_of_the_decoder_can_be_chosen(network_name):
    def count(decoder_channels):
        config = ModelConfig(
            name=network_name,
            encoder="mobilenetv2_050",
            weights="none",
            decoder_channels=decoder_channels,
        )
        with torch.device("meta"):
            network, _ = build_network(config, 12)
        return sum(p.numel() for p in network.parameters())

    assert count(64) < count(128) < count(256)


@pytest.mark.parametrize("own", TIMM_TWINS)
def test_timm_twins__hold_the_tensors_of_the_encoder(own):
    with torch.device("meta"):
        encoder = get_encoder(own, weights=None).state_dict()
        twin = timm.create_model(TIMM_TWINS[own]).state_dict()
    assert match_tensors(twin, encoder).keys() == encoder.keys()


@pytest.mark.parametrize(
    "own",
    ["mobilenet_v2", "se_resnet50", pytest.param("se_resnext101_32x4d", marks=pytest.mark.slow)],
)
def test_timm_twins__compute_the_same(own):
    """Inception does not, by its padding alone, which holds no tensors."""
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
    config = ModelConfig(name="pan", encoder="mobilenetv2_050", weights="none")
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
