"""What may be done from the admin's site, with the token that --admin-actions gave: reload, scale, stacks.

Off without a token. The token comes as `Authorization: Bearer …` and is compared in constant time; so no page
of another site can act in a browser's name.
"""

import hmac
import json

from forkcluster.admin.line import MasterLine
from forkcluster.admin.site import Handler, Request, Response, Site
from forkcluster.errors import UsageError

MOST_RELOAD = 600.0  # seconds that an answer to /reload is waited for


class Actions:
    """POST /reload, /scale {"workers": "+1"}, /stacks {"slot": 0}: asked of the master, answered in JSON."""

    def __init__(self, token: str, master: MasterLine) -> None:
        self._token = token.encode()
        self._master = master

    def add_to(self, site: Site) -> None:
        """Have its paths answered."""
        for path, act in (("/reload", self._reload), ("/scale", self._scale), ("/stacks", self._stacks)):
            site.add("POST", path, self._guarded(act))

    def _guarded(self, act: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not self._token:
                return Response("actions are off; --admin-actions turns them on\n", 403)
            if not self._allowed(request.headers.get("authorization", "")):
                challenge = {"WWW-Authenticate": "Bearer"}
                return Response("this needs the token of --admin-actions\n", 401, headers=challenge)
            return await act(request)

        return guarded

    def _allowed(self, credentials: str) -> bool:
        scheme, _, token = credentials.partition(" ")
        same = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token)
        return same and scheme.lower() == "bearer"

    async def _reload(self, request: Request) -> Response:
        return Response.of(await self._ask(request, "reload", MOST_RELOAD))

    async def _scale(self, request: Request) -> Response:
        workers = (await _body(request)).get("workers")
        return Response.of(await self._ask(request, "scale", 10.0, workers=str(workers)))

    async def _stacks(self, request: Request) -> Response:
        slot = (await _body(request)).get("slot")
        return Response.of(await self._ask(request, "stacks", 10.0, slot=slot))

    async def _ask(self, request: Request, command: str, patience: float, **arguments: object) -> object:
        who = f"{request.client}, by the admin address"
        return await self._master.ask(command, patience=patience, asked_by=who, **arguments)


async def _body(request: Request) -> dict[str, object]:
    """Read a JSON object; nothing at all is an empty one. Raise UsageError."""
    text = await request.body()
    try:
        body = json.loads(text or b"{}")
    except ValueError as error:
        raise UsageError(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError("the body is no JSON object")
    return body
