# SPDX-License-Identifier: Apache-2.0
"""Tools that are not installed but fetched into out/: npm's packages, pinned by a lock file, and promtool."""

import contextlib
import fcntl
import filecmp
import glob
import os
import platform
import shutil
import subprocess

from harness import Skip, TOP

NPM = f"{TOP}/out/npm"
PROMTOOL = f"{TOP}/out/promtool"
# What npm says when it is the network that fails, and not the packages.
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH")


def run(command, **other):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **other)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def alone(folder):
    """The folder is there, and no other process of the tests fills it meanwhile."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def npm():
    """The folder of npm's packages, as tests/api/npm pins them. Nothing of theirs runs while they are installed."""
    pins = f"{TOP}/tests/api/npm"
    done = f"{NPM}/installed"
    with alone(NPM):
        if os.path.exists(done) and filecmp.cmp(f"{pins}/package-lock.json", done, shallow=False):
            return f"{NPM}/node_modules"
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(f"{pins}/{name}", f"{NPM}/{name}")
        status, text = run(["npm", "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--no-audit",
                            "--no-fund", "--no-update-notifier"], cwd=NPM, timeout=300)
        if status and any(word in text for word in NO_NETWORK):
            raise Skip("npm's registry cannot be reached")
        assert status == 0, text
        shutil.copyfile(f"{pins}/package-lock.json", done)
    return f"{NPM}/node_modules"


def buf(*args):
    """buf with these arguments; its status and what it says."""
    machine = {"x86_64": "x64"}.get(platform.machine(), platform.machine())
    return run([f"{npm()}/@bufbuild/buf-linux-{machine}/bin/buf", *args], cwd=TOP)


def node(script, *args, timeout=120):
    """A script of tests/api/npm under Node.js; it finds the packages in out/npm."""
    return run(["node", "--no-deprecation", f"{TOP}/tests/api/npm/{script}", *args], timeout=timeout,
               env={**os.environ, "NPM": npm()})


def promtool():
    """promtool out of Debian's package prometheus, whose service nobody needs installed."""
    program = f"{PROMTOOL}/root/usr/bin/promtool"
    with alone(PROMTOOL):
        if os.path.exists(program):
            return program
        machine = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
        fetch = [f"{TOP}/images/apt", "get", "download", f"prometheus:{machine}"]
        status, text = run(fetch, cwd=PROMTOOL)
        if status:  # the lists are old, or not here yet
            run([f"{TOP}/images/apt", "get", "update"])
            status, text = run(fetch, cwd=PROMTOOL)
        if status and ("resolve" in text or "connect" in text):
            raise Skip("Debian's archive cannot be reached")
        assert status == 0, text
        package = glob.glob(f"{PROMTOOL}/prometheus_*.deb")[-1]
        subprocess.run(["dpkg-deb", "-x", package, f"{PROMTOOL}/root"], check=True)
    return program
