"""An FPN is written without copying its maps to sum them."""

import torch

from bunri.config import ModelConfig
from bunri.export.network import trace_network
from bunri.learning.networks import build_network


def test_trace_network__adds_maps_one_after_the_other():
    torch.manual_seed(0)
    network = build_network(ModelConfig(weights="none", decoder_channels=64), 3)[0].eval()
    with torch.no_grad():
        before = network(torch.ones(1, 3, 64, 64))
    written = {node.op_type for node in trace_network(network, "fpn").graph.node}
    assert "Concat" not in written
    with torch.no_grad():  # tracing itself holds the graph against the network
        torch.testing.assert_close(network(torch.ones(1, 3, 64, 64)), before)
