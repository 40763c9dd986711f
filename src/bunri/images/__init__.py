"""Photos as arrays: decoding, the network frame and back, fingerprints, drawing."""
