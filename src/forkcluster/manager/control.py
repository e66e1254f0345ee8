"""The manager's way to a running app: the client of its control socket."""

from forkcluster.wire.client import NotRunningError, ask

__all__ = ["NotRunningError", "ask"]
