"""What the control socket can ask of a cluster's master, beyond what every master can be asked."""

import time
from functools import partial

from forkcluster.errors import UsageError
from forkcluster.master.commands import Commands, Emit, Placed
from forkcluster.master.control import Reply
from forkcluster.master.facts import Worker
from forkcluster.master.history import History
from forkcluster.master.status import Status
from forkcluster.options.frozen import Options
from forkcluster.wire.control import Body


class ClusterCommands(Commands):
    """The commands of a master whose workers are ours."""

    def __init__(
        self, status: Status, emit: Emit, history: History, *, options: Options, placed: Placed
    ) -> None:
        super().__init__(status.cluster, status.crew, emit, history, options=options, placed=placed)
        self._status_of_cluster = status
        self._cluster = status.cluster
        self._crew = status.crew
        self._commands["stacks"] = self._stacks

    def _report(self) -> Body:
        return {**super()._report(), "mode": "cluster", **self._status_of_cluster.body(time.monotonic())}

    def _stacks(self, request: Body, reply: Reply) -> None:
        slots = self._chosen(request)
        chosen = [w for w in self._cluster.workers.values() if slots is None or w.slot in slots]
        found: list[Body] = []

        def collect(worker: Worker, text: str) -> None:
            found.append({"slot": worker.slot, "pid": worker.pid, "stacks": text})
            if len(found) == len(chosen):
                reply({"ok": True, "workers": sorted(found, key=lambda each: str(each["slot"]))})

        if not chosen:
            raise UsageError("there is no worker to ask")
        for worker in chosen:
            self._crew.ask_stacks(worker.who, partial(collect, worker))
