"""Texts (`<locale>.toml`, one file per language) and the two layouts that every message shares."""
