"""astromorphic: the front door, the command line and the pipeline; see the packages biosim, bridge, models and figures."""

from importlib import metadata

try:
    __version__ = metadata.version("astromorphic")
except metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
