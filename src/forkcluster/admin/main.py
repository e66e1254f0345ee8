"""The admin's main: takes its order and its descriptors, then serves its site until the master is gone.

A process of its own, so that nobody who asks it can touch the master or a worker. It sees the scoreboard
read-only, and has one line to the master.
"""

import os
import signal

from forkcluster import _process, log
from forkcluster.wire.identity import become, resolve
from forkcluster.wire.orders import AdminOrder
from forkcluster.wire.title import set_title

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
# The library reads these when it is imported, and would write this process's metrics where the app's are.
FOREIGN = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def main(argv: list[str]) -> int:
    """Serve by the order in the descriptor `argv[1]`; `argv[2]` is our title. Ends with the master."""
    _process.quiet_signals(QUIET)
    _process.set_parent_death_signal(signal.SIGKILL)
    order = AdminOrder.from_file(int(argv[1]))
    if os.getppid() != order.master:
        return 1
    for descriptor in (order.listener, order.board, order.control):
        os.set_inheritable(descriptor, False)
    set_title(argv[2])
    log.configure("admin", order.log_level, order.log_format)
    for name in FOREIGN:
        os.environ.pop(name, None)
    from forkcluster.admin.serve import serve  # before the rights to read it may be given up

    identity = resolve(order.user, order.group)
    if identity is not None:
        become(identity)
        _process.set_parent_death_signal(signal.SIGKILL)  # a change of user has cleared it
    _process.give_way()
    return serve(order)
