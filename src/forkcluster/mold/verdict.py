"""Whether a loaded app may be forked: what would not survive in a worker, or would be shared by all of them.

Judged in a probe fork, since some libraries stop their threads in a fork by themselves (OpenBLAS) and others
do not (grpc). Stand-in: says yes.
"""


def judge() -> list[str]:
    """Give the reasons why this process must not be forked; none when it may."""
    return []
