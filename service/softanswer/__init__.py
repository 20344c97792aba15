"""Softanswer scores a brand's draft before it is published."""

from importlib.metadata import version

__version__ = version("softanswer")
