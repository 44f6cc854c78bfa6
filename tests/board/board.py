# SPDX-License-Identifier: Apache-2.0
"""What the board's tests stand on: the board as a process, its API over HTTP, and a web server for images."""

import contextlib
import http.client
import http.server
import importlib.machinery
import json
import os
import subprocess
import sys
import threading
import time

import ports

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
PATIENCE = 600  # seconds, for what takes one on a quiet PC: a processor that is emulated is slow, and the PC may be busy
sys.dont_write_bytecode = True
channel = importlib.machinery.SourceFileLoader("channel", f"{TOP}/images/board/exec").load_module()


def until(condition, what):
    """What the condition gives, once it is true; `what` says, or is called to say, what was waited for in vain."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.3)
    return found


class Answer:
    """Status and body of one HTTP answer."""

    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"{self.status} {self.raw[:600]!r}"


class Board:
    """The virtual board in QEMU, booted by images/board/run with these variables."""

    def __init__(self, name, **variables):
        self.dir = f"{TOP}/out/board/{name}"
        os.makedirs(self.dir, exist_ok=True)
        self.port, self.grpc_port = ports.free_port(), ports.free_port()
        env = dict(os.environ, BOARD_DIR=self.dir, CROFT_PORT=str(self.port), CROFT_GRPC_PORT=str(self.grpc_port),
                   **variables)
        with open(f"{self.dir}/qemu.log", "w") as log:
            self.qemu = subprocess.Popen([f"{TOP}/images/board/run"], env=env, stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log)

    def request(self, method, path, body=None, timeout=PATIENCE, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def wait_ready(self):
        def ready():
            assert self.qemu.poll() is None, f"QEMU ended with {self.qemu.returncode}, see {self.dir}"
            with contextlib.suppress(OSError):
                return self.request("GET", "/readyz", timeout=5).status == 200
        until(ready, f"croftd is not ready, see {self.dir}/console.log")

    def run(self, command, seconds=PATIENCE):
        """Runs a shell command on the board; its output, with an AssertionError when it fails."""
        status, output = channel.run(command, seconds, f"{self.dir}/debug.sock")
        text = output.decode(errors="replace")
        assert status == 0, f"{command}: status {status}: {text[-2000:]}"
        return text

    def pinned(self):
        """Pages that are pinned and not yet released; the CPUs' own counts are added up first."""
        output = self.run("echo 1 >/proc/sys/vm/stat_refresh; cat /proc/vmstat")
        stat = dict(line.split() for line in output.splitlines())
        return int(stat["nr_foll_pin_acquired"]) - int(stat["nr_foll_pin_released"])

    def free_kib(self):
        self.run("echo 3 >/proc/sys/vm/drop_caches")
        for line in self.run("cat /proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1])
        raise AssertionError("no MemAvailable")

    def off(self):
        """Powers off as a user would; QEMU's exit status."""
        try:
            channel.run("off", PATIENCE, f"{self.dir}/debug.sock")
        except channel.BoardGone:
            pass
        return self.qemu.wait(timeout=PATIENCE)

    def kill(self):
        if self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()


class Images:
    """A web server on the PC's loopback with the guest image and whatever a test puts there."""

    def __init__(self, directory):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, directory=directory, **kwargs)

            def log_message(self, *args):
                pass

        self.directory = directory
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        """How the board names a file: 10.0.2.2 is the PC in QEMU's user network."""
        return f"http://10.0.2.2:{self.server.server_port}/{path}"
