"""Neutral texts and the channels that carry them."""
