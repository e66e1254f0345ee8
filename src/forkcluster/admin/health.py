"""Whether the app lives, whether it can be sent requests, and how it is: for probes and for people."""

from forkcluster._scoreboard import Scoreboard
from forkcluster.admin.line import Present
from forkcluster.admin.site import Request, Response, Site
from forkcluster.errors import ForkclusterError


class Health:
    """/livez: the master answers. /readyz: the app can be sent requests. /status: everything, as JSON."""

    def __init__(self, board: Scoreboard, present: Present) -> None:
        self._board = board
        self._present = present

    def add_to(self, site: Site) -> None:
        """Have its paths answered."""
        site.add("GET", "/livez", self._livez)
        site.add("GET", "/readyz", self._readyz)
        site.add("GET", "/status", self._status)

    async def _livez(self, _request: Request) -> Response:
        try:
            await self._present.status()
        except ForkclusterError as error:
            return Response(f"{error}\n", 503)
        return Response("ok\n")

    async def _readyz(self, _request: Request) -> Response:
        if self._board.ready:
            return Response("ok\n")
        try:
            reason = str((await self._present.status()).get("unready") or "it is just becoming ready")
        except ForkclusterError as error:
            reason = str(error)
        return Response(f"not ready: {reason}\n", 503)

    async def _status(self, _request: Request) -> Response:
        return Response.of(await self._present.status())
