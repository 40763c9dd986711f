"""Networks, and the pretrained weights they start from."""
