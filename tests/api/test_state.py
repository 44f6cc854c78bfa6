# SPDX-License-Identifier: Apache-2.0
"""What was answered lasts: kills at any moment, pulls that go on, keys that give the same answer, stores of other versions."""

import contextlib
import hashlib
import http.client
import http.server
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time

import harness
from harness import MESSAGES as m, MIB

KILLS = 20


class Own:
    """An agent of this test alone, which may be killed; the native build where it is there, because it starts quickly."""

    def __init__(self):
        self.agent = harness.Agent(builds=("native", "san"))

    def __enter__(self):
        return self.agent

    def __exit__(self, *_):
        self.agent.close()


def kill(agent):
    agent.channel.close()
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()


def ask(agent, method, path, body=None, key=None, timeout=20):
    """A request without the checks of the contract, which are slow: status and JSON. OSError or HTTPException: not answered."""
    connection = http.client.HTTPConnection("127.0.0.1", agent.rest_port, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Idempotency-Key"] = key
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def everything(agent, collection):
    """All objects of a collection by name, page by page."""
    objects, token = {}, ""
    while True:
        status, page = ask(agent, "GET", f"/v1/{collection}?page_size=1000&page_token={token}")
        assert status == 200, page
        objects.update((o["name"], o) for o in page.get(collection, []))
        token = page.get("next_page_token")
        if not token:
            return objects


def vm_body(name, **labels):
    return {"name": name, "labels": labels, "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny",
                                                     "cmdline_append": "croft.test=idle"}}


def wait_operation(agent, name, seconds=300):
    status, operation = ask(agent, "GET", f"/v1/operations/{name}?wait={seconds}s", timeout=seconds + 10)
    assert status == 200, operation
    return operation


# ---- kill -9 ----------------------------------------------------------------------------------

class Client(threading.Thread):
    """Creates, deletes, starts and pulls until the agent is gone; remembers what it was answered."""

    def __init__(self, agent, label, memory):
        super().__init__(daemon=True)
        self.agent, self.label, self.memory = agent, label, memory

    def run(self):
        count = 0
        try:
            while True:
                count += 1
                self.create(f"{self.label}-{count}")
                if count % 5 == 0:
                    self.drop(f"{self.label}-{count - 1}")
                if count % 5 == 3:
                    self.start_vm(f"{self.label}-{count}")
                if count % 7 == 0:
                    self.pull(f"{self.label}-{count}")
        except (OSError, http.client.HTTPException, ValueError):
            pass  # killed in the midst of it

    def create(self, name):
        self.memory.asked[name] = f"key {name}"
        status, vm = ask(self.agent, "POST", "/v1/vms", vm_body(name, by=self.label), key=f"key {name}")
        assert status == 201, vm
        self.memory.made[name] = vm

    def drop(self, name):
        self.memory.unsure.add(name)
        status, vm = ask(self.agent, "DELETE", f"/v1/vms/{name}")
        assert status == 200, vm
        self.memory.gone.add(name)

    def start_vm(self, name):
        status, operation = ask(self.agent, "POST", f"/v1/vms/{name}:start", {}, key=f"start {name}")
        assert status in (202, 429), operation
        if status == 202:
            self.memory.started[name] = operation

    def pull(self, name):
        body = {"name": name, "spec": {"manifest_url": self.agent.images.url("manifest.json")}}
        status, operation = ask(self.agent, "POST", "/v1/images", body)
        assert status in (202, 429), operation
        if status == 202:
            self.memory.pulled[name] = operation["name"]


class Memory:
    """What clients were answered."""

    def __init__(self):
        self.asked, self.made, self.started, self.pulled = {}, {}, {}, {}
        self.unsure, self.gone = set(), set()
        self.newest = 0  # event

    def check_events(self, agent):
        """The numbers go on where they were, without a gap."""
        after = self.newest
        while True:
            status, page = ask(agent, "GET", f"/v1/events?after={after}&max_events=1000")
            assert status == 200, (after, page)
            numbers = [e["number"] for e in page.get("events", [])]
            assert numbers == list(range(after + 1, after + 1 + len(numbers))), (after, numbers[:3])
            after += len(numbers)
            if after == page.get("newest", 0):
                self.newest = after
                return

    def check(self, agent):
        vms, images = everything(agent, "vms"), everything(agent, "images")
        operations = everything(agent, "operations")
        for name, vm in self.made.items():
            if name in self.gone:
                assert name not in vms, name
            elif name not in self.unsure:
                assert vms[name]["uid"] == vm["uid"], name
        for name, vm in vms.items():
            assert name in self.asked and vm["status"]["state"] != "RUNNING", vm
        for name, operation in self.pulled.items():
            assert images[name]["status"]["state"] in ("PULLING", "READY"), images[name]
            assert operations.get(operation, {"state": "SUCCEEDED"})["state"] in ("RUNNING", "SUCCEEDED"), operation
        for operation in operations.values():
            if operation["verb"] != "pull":
                assert operation["state"] in ("SUCCEEDED", "FAILED"), operation
            if operation["state"] == "FAILED":
                assert operation["error"]["code"] == "UNAVAILABLE" and operation["error"]["detail"], operation
        self.check_events(agent)

    def check_keys(self, agent, rng):
        """The same request gets the same answer; one that was never answered is done now, once."""
        for name in rng.sample(sorted(self.made), min(20, len(self.made))):
            status, vm = ask(agent, "POST", "/v1/vms", vm_body(name, by=name.split("-")[0]), key=self.asked[name])
            assert status == 201 and vm == self.made[name], (status, vm, self.made[name])
        for name in rng.sample(sorted(self.started), min(5, len(self.started))):
            status, operation = ask(agent, "POST", f"/v1/vms/{name}:start", {}, key=f"start {name}")
            assert status == 202 and operation == self.started[name], (status, operation)
        for name in sorted(set(self.asked) - set(self.made)):
            status, vm = ask(agent, "POST", "/v1/vms", vm_body(name, by=name.split("-")[0]), key=self.asked[name])
            assert status == 201, vm
            self.made[name] = vm


def test_kills(_):
    rng = random.Random(4711)
    memory = Memory()
    with Own() as agent:
        agent.images.server.handle_error = lambda *_: None  # who is killed does not say goodbye
        agent.start()
        agent.pull()
        for round_ in range(KILLS):
            clients, made = [Client(agent, f"r{round_}c{i}", memory) for i in range(4)], len(memory.made)
            for client in clients:
                client.start()
            agent.until(lambda made=made: len(memory.made) > made, "a VM")
            if round_ == KILLS - 1:
                agent.until(lambda: memory.pulled and memory.started, "a pull and a start")
            time.sleep(rng.uniform(0.02, 0.25))
            kill(agent)
            for client in clients:
                client.join()
            agent.start()
            memory.check(agent)
            memory.check_keys(agent, rng)
        print(f"    {KILLS} kills: {len(memory.made)} VMs made, {len(memory.gone)} deleted, {len(memory.started)} starts, "
              f"{len(memory.pulled)} pulls, {memory.newest} events")
        assert len(memory.made) >= KILLS
        assert agent.stop() == 0, agent.log_text()[-2000:]


# ---- pulls that go on -------------------------------------------------------------------------

class Server:
    """Serves one image whose kernel comes slowly, with ranges or without; notes from where it was asked."""

    def __init__(self, ranges=True):
        self.kernel = harness.kernel() + os.urandom(4 * MIB)
        self.manifest = json.dumps({"name": "slow", "version": "1", "kernel": {
            "url": "kernel", "sha256": hashlib.sha256(self.kernel).hexdigest(), "size": len(self.kernel)}}).encode()
        self.first_bytes, self.slow = [], True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body, first = outer.manifest, 0
                if self.path == "/kernel":
                    body = outer.kernel
                    wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                    first = int(wanted[1]) if wanted and ranges else 0
                    outer.first_bytes.append(first)
                self.send_response(206 if first else 200)
                if first:
                    self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - first))
                self.end_headers()
                try:
                    for at in range(first, len(body), 65536):
                        self.wfile.write(body[at:at + 65536])
                        if outer.slow and self.path == "/kernel":
                            time.sleep(0.02)
                except OSError:
                    pass  # the agent is gone

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/manifest.json"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def pull_over_restart(ranges, end, between=lambda agent: None):
    """Ends the agent in the midst of a pull and starts it again; from where the server was asked."""
    server = Server(ranges)
    try:
        with Own() as agent:
            agent.start()
            status, operation = ask(agent, "POST", "/v1/images", {"name": "slow", "spec": {"manifest_url": server.url}})
            assert status == 202, operation
            name = operation["name"]
            agent.until(lambda: ask(agent, "GET", f"/v1/operations/{name}")[1].get("done_bytes", 0) > MIB, "a MiB")
            end(agent)
            between(agent)
            server.slow = False
            agent.start()
            done = wait_operation(agent, name)
            assert done["state"] == "SUCCEEDED" and done["name"] == name, done
            assert ask(agent, "GET", "/v1/images/slow")[1]["status"]["state"] == "READY"
            left = [f for f in os.listdir(f"{agent.tmp.name}/state/blobs") if f.startswith(".draft")]
            assert not left, left
            assert agent.stop() == 0
        return server.first_bytes
    finally:
        server.close()


def test_pull_goes_on_after_a_kill(_):
    first, second = pull_over_restart(True, kill)
    assert first == 0 and second >= MIB, (first, second)


def test_pull_goes_on_after_an_end(_):
    first, second = pull_over_restart(True, lambda agent: agent.stop())
    assert first == 0 and second >= MIB, (first, second)


def test_pull_begins_anew_without_ranges(_):
    asked = pull_over_restart(False, kill)
    assert asked == [0, 0, 0], asked


def test_pull_begins_anew_with_a_damaged_draft(_):
    def damage(agent):
        blobs = f"{agent.tmp.name}/state/blobs"
        draft, = [f for f in os.listdir(blobs) if f.startswith(".draft")]
        with open(f"{blobs}/{draft}", "r+b") as f:
            f.write(b"not what was sent")

    asked = pull_over_restart(True, kill, damage)
    assert asked[0] == 0 and asked[1] >= MIB and asked[2:] == [0], asked


# ---- the store's file -------------------------------------------------------------------------

def store(agent):
    return contextlib.closing(sqlite3.connect(f"{agent.tmp.name}/state/croft.db"))


def test_newer_schema(_):
    with Own() as agent:
        agent.start()
        assert agent.stop() == 0
        with store(agent) as db:
            db.execute("PRAGMA user_version = 99")
        done = subprocess.run(agent.command(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0 and "newer croftd: its schema is 99, this one knows up to" in done.stderr, done


def test_ten_thousand(_):
    """Lists of 10,000 objects come back, in pages, and one more is made beside them."""
    with Own() as agent:
        agent.start()
        agent.pull()
        assert agent.stop() == 0
        state = {"state": m.VmStatus.State.Value("DEFINED")}
        rows = [m.Vm(name=f"vm-{i:05}", uid=f"uid-{i}", revision=1, labels={"half": str(i % 2)},
                     spec={"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny"}, status=state) for i in range(10000)]
        with store(agent) as db:
            db.executemany("INSERT INTO record VALUES('vm', ?, ?)", [(r.name, r.SerializeToString()) for r in rows])
            db.commit()
        begin = time.monotonic()
        agent.start()
        up = time.monotonic() - begin
        begin = time.monotonic()
        assert list(everything(agent, "vms")) == [r.name for r in rows]
        listed = time.monotonic() - begin
        status, page = ask(agent, "GET", "/v1/vms?filter=labels.half%3D1&page_size=3&page_token=vm-09990")
        assert status == 200 and [v["name"] for v in page["vms"]] == ["vm-09991", "vm-09993", "vm-09995"], page
        begin = time.monotonic()
        assert ask(agent, "POST", "/v1/vms", vm_body("vm-05000-b"))[0] == 201
        made = time.monotonic() - begin
        print(f"    10,000 VMs: up in {up:.2f} s, listed in {listed:.2f} s, one more in {made * 1000:.1f} ms, "
              f"RSS {agent.rss_kib()} KiB")
        assert agent.stop() == 0, agent.log_text()[-2000:]
