"""The screen of monit: apps above, graphs of the chosen one, and its workers, output, events and details.

Looks once a second in a thread, so that a master that does not answer never freezes a key. The first look is
made before anything is drawn.
"""

import threading
from collections.abc import Callable
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App as Screen
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Label, RichLog, Sparkline, Static, TabbedContent, TabPane

from forkcluster.cli.list import COLOURS, COLUMNS
from forkcluster.cli.logs import printable
from forkcluster.cli.monit import words
from forkcluster.cli.monit.doing import act
from forkcluster.cli.monit.reading import Reading
from forkcluster.cli.monit.trail import KINDS, Trails
from forkcluster.cli.table import fitting
from forkcluster.errors import ForkclusterError
from forkcluster.manager.output import Record
from forkcluster.manager.register import App, Register
from forkcluster.manager.status import View, look
from forkcluster.wire.capture import ERROR

PERIOD: Final = 1.0  # seconds
EVENTS: Final = 100
TITLES: Final = {"rate": "requests", "p99": "p99", "cpu": "cpu", "memory": "memory"}


class Sure(ModalScreen[bool]):
    """Asks before something is done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """One question, and how to answer it."""
        yield Label(f"{self._question}\n\n[b]y[/b] yes   [b]n[/b] no", id="question")

    def action_answer(self, sure: bool) -> None:
        """Close with the answer."""
        self.dismiss(sure)


class Graph(Vertical):
    """One figure of the chosen app: its last value, and how it came to it."""

    def __init__(self, kind: str) -> None:
        super().__init__(id=f"graph-{kind}")
        self._title = Label(TITLES[kind])
        self._line = Sparkline([0.0], summary_function=max)
        self._kind = kind

    def compose(self) -> ComposeResult:
        """A title above a line."""
        yield self._title
        yield self._line

    def show(self, trails: Trails, name: str) -> None:
        """Draw an app's trail."""
        trail = trails.of(name)
        self._title.update(f"{TITLES[self._kind]} [b]{trail.latest(self._kind)}[/b]")
        # A line needs as many values as it has columns, or it would be drawn in blocks.
        values = list(trail.values[self._kind])[-self.size.width or None :]
        self._line.data = [0.0] * (self.size.width - len(values)) + values


class Monit(Screen[None]):
    """The program."""

    CSS_PATH = "monit.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "ask('reload')", "reload"),
        Binding("R", "ask('restart')", "restart"),
        Binding("plus,equals_sign", "ask('+1')", "more"),
        Binding("minus", "ask('-1')", "fewer"),
        Binding("s", "ask('stop')", "stop"),
        Binding("w", "show_pane('workers')", "workers"),
        Binding("o", "show_pane('output')", "output"),
        Binding("e", "show_pane('events')", "events"),
        Binding("d", "show_pane('details')", "details"),
        Binding("q,ctrl+c", "quit", "quit"),
    ]

    def __init__(self, register: Register, apps: Callable[[], list[App]]) -> None:
        super().__init__()
        self._home = register
        self._apps = apps
        self._trails = Trails()
        self._views: list[View] = []
        self._chosen = ""
        self._told: object = None
        self._reading: Reading | None = None
        self._read_one_at_a_time = threading.Lock()
        self._over = False

    def compose(self) -> ComposeResult:
        """Lay the panes out."""
        yield DataTable(id="apps", cursor_type="row", zebra_stripes=True)
        with Horizontal(id="graphs"):
            yield from (Graph(kind) for kind in KINDS)
        with TabbedContent(id="panes"):
            with TabPane("Workers", id="workers"):
                yield DataTable(id="workers-table", cursor_type="none")
            with TabPane("Output", id="output"):
                yield RichLog(id="output-lines", wrap=True, max_lines=1000)
            with TabPane("Events", id="events"):
                yield RichLog(id="events-lines", wrap=True, max_lines=EVENTS)
            with TabPane("Details", id="details"):
                yield Static(id="details-text")
        yield Footer()

    def on_mount(self) -> None:
        """Take the first look, then one a period."""
        views = self._look()
        self._take(views, [])
        self._take(views, self._read(views))
        self.query_one("#apps").focus()
        self.set_interval(PERIOD, self._go_on)

    def on_unmount(self) -> None:
        """Close what is open; a look that is still under way opens nothing again."""
        with self._read_one_at_a_time:
            self._over = True
            self._stop_reading()

    def on_resize(self, _event: Resize) -> None:
        """Another width has room for other columns."""
        self.call_after_refresh(self._draw)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Another app is chosen."""
        if event.data_table.id == "apps" and event.row_key.value and event.row_key.value != self._chosen:
            self._chosen = event.row_key.value
            self.query_one("#output-lines", RichLog).clear()
            self._draw_chosen()
            self._go_on()

    def action_show_pane(self, pane: str) -> None:
        """Bring a pane to the front."""
        self.query_one("#panes", TabbedContent).active = pane

    def action_ask(self, what: str) -> None:
        """Ask whether it shall be done to the chosen app; then do it."""
        view = self._view()
        if view is None:
            return
        question = {"+1": "One worker more for", "-1": "One worker fewer for"}.get(what, what.capitalize())

        def heard(sure: bool | None) -> None:
            if sure:
                self._do(view.app, what)

        self.push_screen(Sure(f"{question} [b]{view.app.name}[/b]?"), heard)

    @work(thread=True, group="doing")
    def _do(self, app: App, what: str) -> None:
        try:
            said, severity = act(self._home, app, what), "information"
        except ForkclusterError as error:
            said, severity = "\n".join(filter(None, [str(error), getattr(error, "details", "")])), "error"
        self.call_from_thread(self.notify, said, severity=severity, timeout=8, markup=False)

    @work(thread=True, exclusive=True, group="looking")
    def _go_on(self) -> None:
        views = self._look()
        self.call_from_thread(self._take, views, self._read(views))

    def _look(self) -> list[View]:
        try:
            return look(self._apps(), events=EVENTS)
        except ForkclusterError:  # the apps that were asked for are gone
            return []

    def _read(self, views: list[View]) -> list[Record]:
        """Give what the chosen app has printed since the last look."""
        app = next((view.app for view in views if view.app.name == self._chosen), None)
        with self._read_one_at_a_time:
            if app is None or self._over:
                return []
            if self._reading is None or self._reading.name != app.name:
                self._stop_reading()
                self._reading = Reading(app)
            return self._reading.read()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _take(self, views: list[View], output: list[Record]) -> None:
        self._views = views
        self._trails.add(views)
        names = [view.app.name for view in views]
        if self._chosen not in names:
            self._chosen = names[0] if names else ""
        self._draw()
        for record in output:
            self._put(record)

    def _put(self, record: Record) -> None:
        """Add one record of the chosen app to its output."""
        if record.file.app != self._chosen:
            return  # another was chosen meanwhile
        log = self.query_one("#output-lines", RichLog)
        head = f"{record.time[11:19]} {record.worker:>6} "
        for line in record.text.split("\n"):
            bar = ("| ", "red" if record.file.stream == ERROR else "green")
            log.write(Text.assemble((head, "dim"), bar, Text.from_ansi(printable(line))))

    def _view(self) -> View | None:
        return next((view for view in self._views if view.app.name == self._chosen), None)

    def _draw(self) -> None:
        table = self.query_one("#apps", DataTable)
        kept = fitting(COLUMNS, self._views, self.size.width - 2)
        if [column.label.plain for column in table.ordered_columns] != [each.title for each in kept]:
            table.clear(columns=True)
            for column in kept:
                table.add_column(column.title, key=column.title)
        rows = {view.app.name: view for view in self._views}
        for key in [key for key in table.rows if key.value not in rows]:
            table.remove_row(key)
        for name, view in rows.items():
            cells = [
                Text(
                    each.cell(view),
                    style=_style(view) if each.title == "status" else "",
                    justify="right" if each.right else "left",
                )
                for each in kept
            ]
            if name in {key.value for key in table.rows}:
                for each, cell in zip(kept, cells, strict=True):
                    table.update_cell(name, each.title, cell, update_width=True)
            else:
                table.add_row(*cells, key=name)
        self._draw_chosen()

    def _draw_chosen(self) -> None:
        view = self._view()
        for graph in self.query(Graph):
            graph.show(self._trails, self._chosen)
        self._draw_workers(view)
        self._draw_events(view)
        pairs = words.details(view) if view else ()
        lines = Text("\n").join(
            Text.assemble((f"{name:<12}", "dim"), value) for name, value in pairs if value
        )
        self.query_one("#details-text", Static).update(lines)

    def _draw_workers(self, view: View | None) -> None:
        table = self.query_one("#workers-table", DataTable)
        if not table.columns:
            table.add_columns(*words.WORKERS)
        table.clear()
        table.add_rows(words.workers(view) if view else ())

    def _draw_events(self, view: View | None) -> None:
        events = view.status.get("events") if view else None
        told = (self._chosen, events)
        if told == self._told:
            return
        self._told = told
        log = self.query_one("#events-lines", RichLog)
        log.clear()
        for each in events if isinstance(events, list) else ():
            text, style = words.event(each)
            log.write(Text(text, style))


def _style(view: View) -> str:
    return COLOURS[view.state]
