"""Counting CPUs: a pure function of the affinity set and the texts of files."""

import os

import pytest

from forkcluster.options import cpus
from forkcluster.options.cpus import Cpus, Workers

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1 = "/sys/fs/cgroup/cpu,cpuacct"


def v2(cgroup, files, mount=V2_MOUNT):
    """The files of a machine with the unified tree."""
    return {"/proc/self/cgroup": f"0::{cgroup}\n", "/proc/self/mountinfo": mount + "\n", **files}


def v1(cgroup, files, mount=V1_MOUNT):
    """The files of a machine with the old trees."""
    text = f"12:cpu,cpuacct:{cgroup}\n3:cpuset:/\n1:name=systemd:/user.slice\n0::/\n"
    return {"/proc/self/cgroup": text, "/proc/self/mountinfo": mount + "\n", **files}


CASES = {
    "nothing limits": (64, {}, Cpus(64, 64)),
    "affinity": (8, {}, Cpus(8, 64, "affinity")),
    "v2 quota": (
        64,
        v2("/app", {"/sys/fs/cgroup/app/cpu.max": "400000 100000\n"}),
        Cpus(4, 64, "cgroup quota"),
    ),
    "v2 without a quota": (64, v2("/app", {"/sys/fs/cgroup/app/cpu.max": "max 100000\n"}), Cpus(64, 64)),
    "v2 quota of a cgroup above": (
        64,
        v2(
            "/a.slice/b.scope",
            {
                "/sys/fs/cgroup/a.slice/cpu.max": "200000 100000",
                "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "max 100000",
            },
        ),
        Cpus(2, 64, "cgroup quota"),
    ),
    "the smallest of nested quotas": (
        64,
        v2(
            "/a/b",
            {"/sys/fs/cgroup/a/cpu.max": "800000 100000", "/sys/fs/cgroup/a/b/cpu.max": "300000 100000"},
        ),
        Cpus(3, 64, "cgroup quota"),
    ),
    "a fraction is cut": (
        64,
        v2("/", {"/sys/fs/cgroup/cpu.max": "250000 100000"}),
        Cpus(2, 64, "cgroup quota"),
    ),
    "less than one CPU is one": (
        64,
        v2("/", {"/sys/fs/cgroup/cpu.max": "10000 100000"}),
        Cpus(1, 64, "cgroup quota"),
    ),
    "a quota above the affinity": (
        2,
        v2("/", {"/sys/fs/cgroup/cpu.max": "400000 100000"}),
        Cpus(2, 64, "affinity"),
    ),
    "a container sees its cgroup as the mount's root": (
        64,
        v2(
            "/docker/x",
            {"/sys/fs/cgroup/cpu.max": "200000 100000"},
            "30 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw",
        ),
        Cpus(2, 64, "cgroup quota"),
    ),
    "a cgroup outside the namespace": (
        64,
        v2("/../../x", {"/sys/fs/cgroup/cpu.max": "200000 100000"}),
        Cpus(2, 64, "cgroup quota"),
    ),
    "v1 quota": (
        64,
        v1("/x", {f"{V1}/x/cpu.cfs_quota_us": "200000\n", f"{V1}/x/cpu.cfs_period_us": "100000\n"}),
        Cpus(2, 64, "cgroup quota"),
    ),
    "v1 without a quota": (
        64,
        v1("/", {f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"}),
        Cpus(64, 64),
    ),
    "v1 quota of a cgroup above, with another period": (
        64,
        v1("/a/b", {f"{V1}/a/cpu.cfs_quota_us": "150000", f"{V1}/a/cpu.cfs_period_us": "50000"}),
        Cpus(3, 64, "cgroup quota"),
    ),
    "a mount point with a space": (
        64,
        v2("/", {"/my cg/cpu.max": "100000 100000"}, "30 23 0:26 / /my\\040cg rw - cgroup2 cgroup2 rw"),
        Cpus(1, 64, "cgroup quota"),
    ),
    "nonsense limits nothing": (
        64,
        {
            "/proc/self/cgroup": "what\n\n0::\n",
            "/proc/self/mountinfo": "is this\n - \n",
            "/sys/fs/cgroup/cpu.max": "soon",
        },
        Cpus(64, 64),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_usable_cpus(case):
    """Affinity and the smallest quota decide; the words say which."""
    affinity, files, expected = CASES[case]
    assert expected == cpus.usable(frozenset(range(affinity)), 64, files.get)


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ("0", Workers(4, "4 of 64 CPUs, cgroup quota")),
        ("max", Workers(4, "4 of 64 CPUs, cgroup quota")),
        ("-1", Workers(3, "4 of 64 CPUs, cgroup quota, one kept free")),
        ("1", Workers(1)),
        ("12", Workers(12)),
    ],
)
def test_instances_become_workers(instances, expected):
    """0 and max: one for each CPU; -1: one fewer; a number: that many."""
    assert expected == cpus.workers(instances, Cpus(4, 64, "cgroup quota"))


def test_one_fewer_than_one_is_one():
    """There is always a worker."""
    assert Workers(1, "1 of 1 CPU") == cpus.workers("-1", Cpus(1, 1))


@pytest.mark.parametrize("text", ["-2", "many", "1.5", "", "342", "99999999999999999999"])
def test_wrong_instances_are_refused(text):
    """Nothing but max, -1, 0 and a number the scoreboard can hold."""
    with pytest.raises(ValueError, match="expected"):
        cpus.check_instances(text)


def test_this_very_machine_is_understood():
    """Looking at the real files gives at least one CPU and no more than affinity allows."""
    assert 1 <= cpus.observe().usable <= len(os.sched_getaffinity(0))
