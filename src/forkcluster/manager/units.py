"""The systemd unit that starts all apps at boot: its text, its place, and systemctl's word for it.

No app's process is the unit's main process: `resurrect` starts masters, each a session of its own, and ends;
the unit stays active. Stopping it stops the apps for now, so that the next boot finds them wanted.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError, StateError, UsageError
from forkcluster.wire.files import write_whole

START_TIME = 600  # seconds
STOP_TIME = 120
PATIENCE = 60.0

TEXT = """\
# Written by: forkcluster startup. Undo with: forkcluster unstartup{undo}
[Unit]
Description=The apps that forkcluster manages for {user}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
{identity}WorkingDirectory=/
Environment={home}
Environment={path}
ExecStart={command} resurrect
ExecReload={command} reload all --running
ExecStop={command} stop all --for-now
TimeoutStartSec={start}
TimeoutStopSec={stop}
LimitNOFILE=65536

[Install]
WantedBy={target}
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. `system`: the machine's manager, run by root; else the user's own."""

    user: str
    home: str  # FORKCLUSTER_HOME
    python: str
    path: str  # PATH
    system: bool
    name: str = ""

    @property
    def service(self) -> str:
        """The unit's name."""
        if self.name:
            return self.name if self.name.endswith(".service") else f"{self.name}.service"
        return f"forkcluster-{self.user}.service" if self.system else "forkcluster.service"

    @property
    def file(self) -> str:
        """Where the unit is."""
        if self.system:
            return os.path.join("/etc/systemd/system", self.service)
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return os.path.join(base, "systemd", "user", self.service)

    @property
    def text(self) -> str:
        """What the unit says."""
        return TEXT.format(
            undo="" if self.system else " --user",
            user=self.user,
            identity=f"User={self.user}\n" if self.system else "",
            home=quoted(f"FORKCLUSTER_HOME={self.home}"),
            path=quoted(f"PATH={self.path}"),
            command=f"{quoted(self.python.replace('$', '$$'))} -m forkcluster",
            start=START_TIME,
            stop=STOP_TIME,
            target="multi-user.target" if self.system else "default.target",
        )

    def systemctl(self, *words: str) -> list[str]:
        """The command line of systemctl for this unit's manager."""
        return ["systemctl", *([] if self.system else ["--user"]), *words]


def quoted(text: str) -> str:
    """One word of a unit file (systemd.syntax(7)): quoted, % as itself."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def present() -> bool:
    """Whether this machine was booted with systemd: sd_booted(3)."""
    return os.path.isdir("/run/systemd/system") and shutil.which("systemctl") is not None


def user_name() -> str:
    """The name of the user that this process is."""
    return pwd.getpwuid(os.geteuid()).pw_name


def check_user(user: str) -> None:
    """Raise UsageError for a user that this machine does not know."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user} on this machine", "getent passwd lists them") from None


def install(unit: Unit) -> list[str]:
    """Write, check, enable and verify the unit; give what was done, in words. Raise ForkclusterError."""
    os.makedirs(os.path.dirname(unit.file), exist_ok=True)
    try:
        write_whole(unit.file, unit.text.encode(), 0o644)
    except OSError as error:
        raise ConfigurationError(f"writing {unit.file}: {error.strerror}") from error
    said = [f"written: {unit.file}"]
    if shutil.which("systemd-analyze"):
        run(["systemd-analyze", *([] if unit.system else ["--user"]), "verify", unit.file])
        said.append("checked: systemd-analyze verify has nothing to say")
    run(unit.systemctl("daemon-reload"))
    run(unit.systemctl("enable", unit.service))
    enabled = run(unit.systemctl("is-enabled", unit.service)).strip()
    if enabled != "enabled":
        raise StateError(f"{unit.service} is {enabled}, not enabled", f"systemctl status {unit.service}")
    said.append(f"enabled: {unit.service} starts at boot")
    if not unit.system:
        said.append(_linger(unit.user))
    return said


def remove(unit: Unit) -> list[str]:
    """Disable the unit and remove its file; the apps go on. Raise ForkclusterError."""
    if not os.path.exists(unit.file):
        raise StateError(f"there is no unit {unit.file}", "forkcluster startup writes one")
    run(unit.systemctl("disable", unit.service))
    try:
        os.unlink(unit.file)
    except OSError as error:
        raise ConfigurationError(f"removing {unit.file}: {error.strerror}") from error
    run(unit.systemctl("daemon-reload"))
    return [f"disabled and removed: {unit.file}", "the apps that run go on; forkcluster stop all stops them"]


def _linger(user: str) -> str:
    """Have the user's manager start at boot, not at the first login."""
    run(["loginctl", "enable-linger", user])
    return f"lingering: {user}'s services start at boot, without a login"


def run(words: Sequence[str]) -> str:
    """Run a program of systemd; give what it printed. Raise StateError with what it said."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StateError(f"running {' '.join(words)}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise StateError(f"running {' '.join(words)}: {said}")
    return done.stdout
