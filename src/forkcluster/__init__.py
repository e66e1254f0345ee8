"""forkcluster: serve Python web applications on every CPU. Owns the version; imports nothing."""

__version__ = "0.1.0"
