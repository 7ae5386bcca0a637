"""One small game, written three times: docs/comparison.md shows and counts them."""
