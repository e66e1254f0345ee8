"""What the control socket can ask of a cluster's master, beyond what every master can be asked."""

from functools import partial

from forkcluster.errors import UsageError
from forkcluster.master.cluster import Cluster
from forkcluster.master.commands import Commands, Emit, Placed
from forkcluster.master.control import Reply
from forkcluster.master.crew import Crew
from forkcluster.master.facts import Worker
from forkcluster.master.history import History
from forkcluster.master.status import Status
from forkcluster.options.frozen import Options
from forkcluster.wire.control import Body


class ClusterCommands(Commands):
    """The commands of a master whose workers are ours."""

    def __init__(
        self,
        cluster: Cluster,
        crew: Crew,
        emit: Emit,
        history: History,
        *,
        options: Options,
        placed: Placed,
        status: Status,
    ) -> None:
        super().__init__(cluster, crew, emit, history, options=options, placed=placed, status=status)
        self._cluster = cluster
        self._crew = crew
        self._commands["stacks"] = self._stacks

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
