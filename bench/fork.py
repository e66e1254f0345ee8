"""What a master of fork mode costs while nothing happens, and how long a crashed command is away.

Prints PSS, CPU and wake-ups of an idle master (with a memory limit and without), and the time from a KILL of
the command to the first line of its successor: median, and the slowest. `--runs` and `--seconds` choose.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = '#!/bin/sh\necho $$ > "$FIFO"\nexec sleep 1000\n'


def start(directory, *options):
    """Start a master whose command says its pid through the fifo; give it and the fifo's reading end."""
    fifo = Path(directory) / "fifo"
    os.mkfifo(fifo)
    script = Path(directory) / "command.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    environment = {**os.environ, "FORKCLUSTER_HOME": f"{directory}/home", "FIFO": str(fifo)}
    command = [sys.executable, "-m", "forkcluster", "./command.sh", "--interpreter", "none", *options]
    master = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return master, os.open(fifo, os.O_RDWR)


def crash(reader, pid):
    """Kill the command; give its successor's pid and the milliseconds until that spoke."""
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    line = os.read(reader, 64)
    return int(line), (time.perf_counter() - began) * 1e3


def idle(pid, seconds):
    """Give PSS in MiB, CPU in percent and wake-ups per second of a process that is left alone."""
    before = usage(pid)
    time.sleep(seconds)
    after = usage(pid)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return pss / 1024, (after[0] - before[0]) / seconds / 1e7, (after[1] - before[1]) / seconds


def usage(pid):
    """CPU time in nanoseconds, and voluntary switches, so far."""
    switches = Path(f"/proc/{pid}/status").read_text().partition("voluntary_ctxt_switches:")[2].split()[0]
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]), int(switches)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    for options in ((), ("--max-memory", "1G"), ("--cron-restart", "0 3 * * *")):
        with tempfile.TemporaryDirectory() as directory:
            master, reader = start(directory, "--min-uptime", "0", *options)
            pid = int(os.read(reader, 64))
            time.sleep(2)
            pss, cpu, wakes = idle(master.pid, given.seconds)
            print(f"idle {' '.join(options):<26} PSS {pss:.1f} MiB, CPU {cpu:.3f} %, {wakes:.2f} wake-ups/s")
            if not options:
                times = []
                for _ in range(given.runs):
                    time.sleep(0.05)
                    pid, milliseconds = crash(reader, pid)
                    times.append(milliseconds)
                print(
                    f"crash to restart: median {statistics.median(times):.1f} ms, slowest {max(times):.1f} ms"
                )
            master.terminate()
            master.wait(10)
            os.close(reader)


if __name__ == "__main__":
    main()
