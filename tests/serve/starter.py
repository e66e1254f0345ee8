"""Starts the servers of a test, or of a module, and sees that each stops as it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server import Server


class Starter:
    """Starts servers and stops them all; a stop that is not clean fails."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self.servers: list[Server] = []

    def __call__(self, target: str, *options: str, env: dict[str, str] | None = None) -> Server:
        server = Server(target, *options, cwd=self._folder(), env=env)
        self.servers.append(server)
        return server

    def close(self) -> None:
        """Stop what is still running."""
        for server in self.servers:
            code = server.stop()
            assert code == 0, f"the master ended with {code}:\n{server.log}"
            reports = [line for line in server.lines if "runtime error:" in line]
            assert not reports, f"a sanitizer reported {reports}:\n{server.log}"
