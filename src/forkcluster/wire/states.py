"""How a process of fork mode, or an app, is: the words that status, list and people use."""

from enum import Enum


class State(str, Enum):
    """One word each; a state is its own text in JSON."""

    STARTING = "starting"  # it runs, and is not ready yet
    READY = "ready"
    STOPPING = "stopping"  # it was asked to end
    WAITING = "waiting"  # it ended, and its restart has a time
    STOPPED = "stopped"  # it ended, as it may
    ERRORED = "errored"  # it ended too often too early; it is not started again by itself
