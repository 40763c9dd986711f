"""Torch networks as ONNX: any size, nothing about this machine, and a refusal where it fails."""

import numpy as np
import onnxruntime
import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from bunri.core.errors import ModelError
from bunri.exporting.network import trace_network
from bunri.model.onnx_file import FRAME, FRAME_PROBS


class Padded(nn.Module):
    """Halves with TensorFlow's padding, and enlarges again."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            Conv2dSame(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            Conv2dSame(8, 8, 5, stride=2, groups=8),
            Conv2dSame(8, 8, 3, dilation=2),
            nn.Conv2d(8, 4, 1),
            nn.UpsamplingBilinear2d(scale_factor=4),
        )

    def forward(self, pixels):
        return self.layers(pixels)


class OneSize(nn.Module):
    """Knows frames of 192 x 256 only."""

    def forward(self, pixels):
        return pixels.reshape(-1, 3, 192, 256)


@pytest.fixture(scope="module")
def traced():
    torch.manual_seed(0)
    network = Padded().train()
    network(torch.randn(4, 3, 32, 32))  # so that there is something to fold
    network.eval()
    frames = [torch.randn(1, 3, 32, 32), torch.randn(2, 3, 96, 64), torch.randn(3, 3, 64, 224)]
    with torch.no_grad():
        expected = [network(frame).softmax(1).numpy() for frame in frames]
    return trace_network(network, "padded"), frames, expected


def test_trace__says_what_torch_says_at_any_size(traced):
    model, frames, expected = traced
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for frame, probs in zip(frames, expected, strict=True):
        found = session.run([FRAME_PROBS], {FRAME: frame.numpy()})[0]
        np.testing.assert_allclose(found, probs, atol=1e-5)


def test_trace__folds_and_needs_no_sizes_for_padding(traced):
    operators = [node.op_type for node in traced[0].graph.node]
    assert operators.count("Conv") == 4
    assert not {"BatchNormalization", "Pad", "Ceil", "Mod"} & set(operators)


def test_trace__tells_nothing_of_this_machine(traced):
    content = traced[0].SerializeToString()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_trace__refuses_a_network_of_one_size():
    with pytest.raises(ModelError, match="fixed cannot be written as ONNX"):
        trace_network(OneSize().eval(), "fixed")
