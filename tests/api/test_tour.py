# SPDX-License-Identifier: Apache-2.0
"""docs/API.md, typed line by line: what it shows is what happens."""

import contextlib
import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import harness
from harness import Images, TOP
from ports import free_port

DONE = "-- done --"


def blocks():
    """(language, first line's number, lines) of each block of the tour."""
    with open(f"{TOP}/docs/API.md", encoding="utf-8") as f:
        lines = f.read().splitlines()
    out, start = [], None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if start is None:
                start = number
            else:
                out.append((lines[start - 1][3:], start + 1, lines[start:number - 1]))
                start = None
    return out


def steps(first, lines):
    """(line number, command, what it shows) of a console block."""
    out = []
    for number, line in enumerate(lines, first):
        if line.startswith("$ "):
            out.append((number, line[2:], []))
        else:
            out[-1][2].append(line)
    return out


def fits(shown, real):
    """`...` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, real, re.S) is not None


class Tourist:
    """A bash and a Python in a folder of their own; the ports of the text are changed for free ones."""

    def __init__(self):
        self.tmp = tempfile.TemporaryDirectory(prefix="croft-tour-")
        os.mkdir(f"{self.tmp.name}/web")
        self.images = Images(f"{self.tmp.name}/web")
        ports = {8080: free_port(), 50051: free_port(), 8443: free_port(), 8000: self.images.server.server_address[1]}
        self.addresses = {f"127.0.0.1:{shown}": f"127.0.0.1:{real}" for shown, real in ports.items()}
        self.folder = f"{self.tmp.name}/work"
        os.mkdir(self.folder)
        os.symlink(os.path.abspath(f"{TOP}/api"), f"{self.folder}/api")
        path = os.path.dirname(harness.program("croftd"))
        env = {**os.environ, "PATH": f"{os.path.abspath(path)}:{os.environ['PATH']}"}
        self.bash = subprocess.Popen(["bash", "--norc"], cwd=self.folder, env=env, stdin=subprocess.PIPE, text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def real(self, text):
        for shown, real in self.addresses.items():
            text = text.replace(shown, real)
        return text

    def shown(self, text):
        for shown, real in self.addresses.items():
            text = text.replace(real, shown)
        return text

    def type(self, command):
        self.bash.stdin.write(f"{self.real(command)}\necho '{DONE}'\n")
        self.bash.stdin.flush()
        out = []
        patience = threading.Timer(60, self.kill)
        patience.start()
        for line in self.bash.stdout:
            if line.rstrip("\n").endswith(DONE):
                patience.cancel()
                out.append(line.rstrip("\n")[:-len(DONE)])
                return self.shown("".join(out)).rstrip("\n")
            out.append(line)
        raise AssertionError(f"the shell has ended, or did not come back, at {command}")

    def python(self, first, lines, names):
        """A block of Python in the names of those before it."""
        out = []
        example = doctest.DocTestParser().get_doctest(self.real("\n".join(lines)) + "\n", names, "docs/API.md", None, first)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(example, out=out.append, clear_globs=False)
        names.update(example.globs)
        assert runner.failures == 0, "".join(out)

    def kill(self):
        """The shell with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.bash.pid, signal.SIGKILL)

    def close(self):
        self.kill()
        self.bash.wait()
        self.images.close()
        self.tmp.cleanup()


def test_tour(_agent):
    socket.setdefaulttimeout(60)
    tourist, names = Tourist(), {}
    sys.path.insert(0, tourist.folder)
    try:
        for language, first, lines in blocks():
            if language == "pycon":
                tourist.python(first, lines, names)
                continue
            assert language == "console", f"docs/API.md:{first}: a block that nobody runs"
            for number, command, shown in steps(first, lines):
                real = tourist.type(command)
                assert fits("\n".join(shown), real), f"docs/API.md:{number}: {command}\nshown: {shown}\nreal: {real}"
    finally:
        sys.path.remove(tourist.folder)
        socket.setdefaulttimeout(None)
        tourist.close()
