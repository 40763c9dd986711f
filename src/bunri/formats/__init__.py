"""Labels in the formats of other tools: in to masks and objects, out from them."""
