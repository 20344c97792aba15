"""The sentence encoder and the trained heads on top of it."""

from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "weights"
