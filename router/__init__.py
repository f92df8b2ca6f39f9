"""Auto Efficient's router: decide which model serves a request, and serve it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("auto-efficient")
except PackageNotFoundError:  # a checkout on the path, installed by nobody
    __version__ = "0+unknown"
