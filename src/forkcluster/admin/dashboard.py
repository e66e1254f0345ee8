"""/: the dashboard's page, and the few files it is made of, all of them ours.

A policy sent with each lets the page load nothing from anywhere else, and run no script but ours.
"""

from importlib.resources import files

from forkcluster.admin.site import Handler, Request, Response, Site

TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


class Dashboard:
    """Gives out the page."""

    def add_to(self, site: Site) -> None:
        """Have the paths of its files answered, "/" with the page itself."""
        for name in TYPES:
            site.add("GET", f"/{name}" if name != "index.html" else "/", self._handler(name))

    def _handler(self, name: str) -> Handler:
        async def give(_request: Request) -> Response:
            content = (files(__package__) / "page" / name).read_bytes()
            return Response(content, type=TYPES[name], headers=HEADERS)

        return give
