"""The one place of the version number; read by the build, by `maze --version` and by HELLO."""

__version__ = "0.1.0"
