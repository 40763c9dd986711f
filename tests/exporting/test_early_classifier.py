"""An FPN is written as a graph that classifies each level before it enlarges and adds."""

import torch

from bunri.exporting.network import trace_network
from bunri.training.config import ModelConfig
from bunri.training.networks.build import build_network


def test_trace_network__enlarges_what_is_classified_already():
    torch.manual_seed(0)
    network = build_network(ModelConfig(weights="none", decoder_channels=64), 3)[0].eval()
    with torch.no_grad():
        before = network(torch.ones(1, 3, 64, 64))
    nodes = trace_network(network, "fpn").graph.node
    with torch.no_grad():  # tracing itself holds the graph against the network
        torch.testing.assert_close(network(torch.ones(1, 3, 64, 64)), before)
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    classifier = convolutions[-1].input[1]
    classified = {node.output[0] for node in convolutions if node.input[1] == classifier}
    assert len(classified) == 4
    enlarged = [n for n in nodes if n.op_type == "Resize" and n.input[0] in classified]
    assert len(enlarged) == 3
    assert "Concat" not in {node.op_type for node in nodes}
