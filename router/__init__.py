"""Auto Efficient's router: decide which model serves a request, and serve it."""

from importlib.metadata import version

__version__ = version("auto-efficient")
