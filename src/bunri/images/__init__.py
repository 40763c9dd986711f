"""A photo to the network frame and back, and how masks are drawn. Knows nothing of models."""
