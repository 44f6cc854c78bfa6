# SPDX-License-Identifier: Apache-2.0
"""An agent under test, an image server, and clients of both doors: curl, sockets, python3-grpcio."""

import contextlib
import hashlib
import http.server
import importlib.util
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import yaml

from ports import free_port

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
MIB = 1 << 20


class Skip(Exception):
    """The test cannot run here; says why."""


# ---- the contract -----------------------------------------------------------------------------

class Contract:
    """api/openapi/croft.yaml, and answers checked by it."""

    def __init__(self):
        with open(f"{TOP}/api/openapi/croft.yaml", encoding="utf-8") as f:
            self.doc = yaml.safe_load(f)
        self.patterns = [(re.compile(re.sub(r"\\{name\\}", "[^/:]+", re.escape(path)) + "$"), path)
                         for path in self.doc["paths"]]

    def resolve(self, node):
        while "$ref" in node:
            target = self.doc
            for key in node["$ref"][2:].split("/"):
                target = target[key]
            node = target
        return node

    def path_of(self, path):
        return next((p for regex, p in self.patterns if regex.match(path)), None)

    def operation(self, method, path):
        return self.doc["paths"].get(path, {}).get("get" if method == "HEAD" else method.lower())

    def response(self, method, path, status):
        responses = self.operation(method, path)["responses"]
        return self.resolve(responses.get(str(status)) or responses["default"])

    def check(self, value, schema, where=""):
        """The JSON value is what the schema says; AssertionError names the place."""
        schema = self.resolve(schema)
        kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
                 "null": type(None)}
        kind = schema.get("type")
        if isinstance(kind, list):  # of patches: a type, or null
            kind = "null" if value is None else kind[0]
        assert kind is None or isinstance(value, kinds[kind]), f"{where}: {value!r} is no {kind}"
        assert kind not in ("integer", "number") or not isinstance(value, bool), f"{where}: {value!r}"
        if kind == "object":
            assert len(value) <= schema.get("maxProperties", len(value)), f"{where}: too many"
            for key in schema.get("required", []):
                assert key in value, f"{where}: {key} is missing"
            for key, member in value.items():
                inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
                assert isinstance(inner, dict), f"{where}: {key} is not in the contract"
                self.check(key, {"type": "string", **schema.get("propertyNames", {})}, f"{where}: key {key}")
                self.check(member, inner, f"{where}/{key}")
        if kind == "array":
            assert len(value) <= schema.get("maxItems", len(value)), f"{where}: too long"
            for i, member in enumerate(value):
                self.check(member, schema["items"], f"{where}/{i}")
        if kind == "string":
            assert re.search(schema.get("pattern", ""), value), f"{where}: {value!r} does not match"
            assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)), f"{where}: its length"
        if "enum" in schema:
            assert value in schema["enum"], f"{where}: {value!r} is not one of {schema['enum']}"
        if kind in ("integer", "number"):
            assert schema.get("minimum", value) <= value <= schema.get("maximum", value), f"{where}: {value}"
            assert value % schema.get("multipleOf", 1) == 0 or kind == "number", f"{where}: {value}"

    def check_items(self, text, media):
        """Each `data` line of server-sent events is what the contract says."""
        for line in text.splitlines():
            if line.startswith("data:"):
                self.check(json.loads(line[5:]), media["x-croft-item"])


CONTRACT = Contract()


# ---- an answer over REST ----------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"

    def field(self):
        """The field that a problem blames; None when it blames none."""
        errors = self.json.get("field_errors")
        return errors[0]["field"] if errors else None


def split_answer(raw):
    """The last header block (behind 100 Continue) and the body of an HTTP/1.1 message."""
    while True:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status >= 200:
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            return Answer(status, headers, raw)


def check_answer(method, target, answer):
    """What holds for each answer of each route."""
    path = CONTRACT.path_of(target.partition("?")[0])
    assert answer.headers.get("x-content-type-options") == "nosniff", answer
    kind = answer.headers.get("content-type", "")
    if answer.status >= 400 and kind != "application/json":
        assert kind == "application/problem+json", answer
        if method == "HEAD":
            return
        CONTRACT.check(answer.json, {"$ref": "#/components/schemas/Problem"})
        assert answer.json["status"] == answer.status and answer.json["detail"], answer
        return
    assert path and CONTRACT.operation(method, path), f"{method} {target} is not in the contract: {answer}"
    response = CONTRACT.response(method, path, answer.status)
    if "content" not in response:  # 304
        assert not answer.body, answer
        return
    assert kind in response["content"], answer
    if kind == "application/json" and method != "HEAD":
        CONTRACT.check(answer.json, response["content"][kind]["schema"], path)
    # What is not there has neither: the outcome of a dry run, the document of a node that has none.
    value = answer.json if kind == "application/json" and method != "HEAD" else {}
    exists = value.get("revision") or value.get("name", "").startswith("op-")
    for name in response.get("headers", {}):
        if name in ("ETag", "Location") and exists:
            assert name.lower() in answer.headers, answer


# ---- images -----------------------------------------------------------------------------------

def kernel():
    """The smallest file that is an arm64 Image, by Documentation/arm64/booting.rst."""
    code = struct.pack("<I", 0x14000000)  # b .
    head = code + struct.pack("<IQQQQQQ4sI", 0, 0, 0x10000, 0xa, 0, 0, 0, b"ARM\x64", 0)
    return head + bytes(4096 - len(head))


def initrd():
    """An empty cpio archive (newc)."""
    name = b"TRAILER!!!\0"
    fields = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name
    return head + bytes(-len(head) % 512)


class Images:
    """An HTTP server with an image; paths under /stall answer and then send nothing more."""

    def __init__(self, folder):
        files = {"kernel": kernel(), "initrd": initrd(), "disk": bytes(4096)}
        for name, content in files.items():
            with open(f"{folder}/{name}", "wb") as f:
                f.write(content)

        def entry(name):
            return {"url": name, "sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}

        self.manifest = {"name": "tiny", "version": "1", "kernel": entry("kernel"), "initrd": entry("initrd"),
                         "disks": [{"name": "root", **entry("disk")}], "cmdline": "console=ttyAMA0"}
        self.folder = folder
        self.put("manifest.json", self.manifest)
        self.release = threading.Event()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=folder)

            def do_GET(self):
                if not self.path.startswith("/stall"):
                    return super().do_GET()
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                outer.release.wait(120)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, name, value):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as f:
            json.dump(value, f)

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


# ---- the agent --------------------------------------------------------------------------------

def program(name, builds=("san", "native")):
    """The sanitizer build where it is there: it finds more."""
    path = os.environ.get(name.upper())
    for candidate in [path] if path else [f"{TOP}/out/{build}/{name}" for build in builds]:
        if os.path.exists(candidate):
            return candidate
    raise SystemExit(f"no {name} is built: make san")


class Agent:
    """croftd with the fake backend on loopback ports and a unix socket, in a folder of its own."""

    def __init__(self, builds=("san", "native")):
        self.builds = builds
        self.tmp = tempfile.TemporaryDirectory(prefix="croft-api-")
        self.socket = f"{self.tmp.name}/croft.sock"
        self.rest_port, self.grpc_port = free_port(), free_port()
        os.mkdir(f"{self.tmp.name}/web")
        self.images = Images(f"{self.tmp.name}/web")
        self.log = f"{self.tmp.name}/log"
        self.process = None
        self.channel = None
        self.threads = threading.local()

    def command(self, **other):
        options = {"backend": "fake", "state-dir": f"{self.tmp.name}/state", "runtime-dir": self.tmp.name, "listen-unix": self.socket,
                   "listen-tcp": f"127.0.0.1:{self.rest_port}", "listen-grpc": f"127.0.0.1:{self.grpc_port}", **other}
        empty = f"{self.tmp.name}/croftd.conf"
        with open(empty, "w", encoding="utf-8"):
            pass
        return [program("croftd", self.builds), f"--config={empty}", *(f"--{k}={v}" for k, v in options.items())]

    def start(self):
        """Returns when the agent says that all its doors are open, as it tells systemd."""
        path = f"{self.tmp.name}/notify"
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1",
               "NOTIFY_SOCKET": path}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.log, "ab") as log:
            if os.path.exists(path):
                os.remove(path)
            notify.bind(path)
            notify.settimeout(0.2)
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stderr=log, env=env)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise SystemExit(f"croftd ended with {self.process.returncode}:\n{self.log_text()}")
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in notify.recv(4096):
                        break
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        return self

    def stop(self, close_channel=True):
        """Ends it, and its gRPC client before unless that is to see the end; its exit status."""
        if close_channel:
            self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "it did not end within 60 s"

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.images.close()
        self.tmp.cleanup()

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])

    # ---- REST ----

    def url(self, target):
        return f"http://127.0.0.1:{self.rest_port}{target}"

    def curl(self, method, target, *args, unix=False):
        """A request by curl; the answer, checked by the contract."""
        command = ["curl", "-sS", "-i", "-m", "60"]
        command += ["-I"] if method == "HEAD" else ["-X", method]
        if unix:
            command += ["--unix-socket", self.socket]
        done = subprocess.run([*command, *args, self.url(target)], capture_output=True, check=False)
        assert done.returncode == 0, f"curl: {done.returncode} {done.stderr}"
        answer = split_answer(done.stdout)
        check_answer(method, target, answer)
        return answer

    def rest(self, method, target, body=None, headers=(), unix=False):
        args = []
        for header in headers:
            args += ["-H", header]
        if body is not None:
            text = body if isinstance(body, (str, bytes)) else json.dumps(body)
            path = f"{self.tmp.name}/body-{threading.get_ident()}"
            with open(path, "wb") as f:
                f.write(text if isinstance(text, bytes) else text.encode())
            args += ["-H", "Content-Type: application/json", "--data-binary", f"@{path}"]
        return self.curl(method, target, *args, unix=unix)

    def connect(self, timeout=60):
        return socket.create_connection(("127.0.0.1", self.rest_port), timeout)

    def raw(self, data, shut=False, timeout=60):
        """Bytes to the TCP port; everything that comes back until it closes or nothing comes for `timeout` seconds."""
        with self.connect(timeout) as s:
            try:
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the agent may have closed first
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except OSError:
                pass
            return out

    def pull(self, name="tiny"):
        answer = self.rest("POST", "/v1/images?wait=60s",
                           {"name": name, "spec": {"manifest_url": self.images.url("manifest.json")}})
        assert answer.status == 200, answer

    def make_vm(self, name, test="idle", **spec):
        body = {"name": name, "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny",
                                       "cmdline_append": f"croft.test={test}", **spec}}
        answer = self.rest("POST", "/v1/vms", body)
        assert answer.status == 201, answer
        return answer

    def run_vm(self, name, test="idle", **spec):
        self.make_vm(name, test, **spec)
        answer = self.rest("POST", f"/v1/vms/{name}:start?wait=60s")
        assert answer.status == 200 and answer.json["state"] == "SUCCEEDED", answer

    def drop_vm(self, name):
        if self.rest("GET", f"/v1/vms/{name}").json["status"]["state"] == "RUNNING":
            answer = self.rest("POST", f"/v1/vms/{name}:stop?wait=60s", {"force": True})
            assert answer.status == 200, answer
        answer = self.rest("DELETE", f"/v1/vms/{name}")
        assert answer.status == 200, answer

    def until(self, condition, what, seconds=300):
        """Waits for something that must come; it is the coming that is tested, not the time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come"
            time.sleep(0.05)

    # ---- gRPC ----

    def rpc(self, name, request, timeout=60, metadata=None, channel=None):
        """'Vms/GetVm' with its message; the reply, or grpc.RpcError."""
        service, method = name.split("/")
        reply = MESSAGES.reply(f"croft.v1.{service}", method)
        call = (channel or self.channel).unary_unary(f"/croft.v1.{name}", type(request).SerializeToString,
                                                     reply.FromString)
        return call(request, timeout=timeout, metadata=metadata)


# ---- protocol buffers -------------------------------------------------------------------------

class Messages:
    """Python classes of api/proto, made by protoc into a folder of their own."""

    def __init__(self):
        self.tmp = tempfile.TemporaryDirectory(prefix="croft-proto-")
        root = f"{TOP}/api/proto"
        protos = [os.path.relpath(os.path.join(d, f), root)
                  for d, _, files in os.walk(root) for f in files if f.endswith(".proto")]
        subprocess.run(["protoc", f"--proto_path={root}", f"--python_out={self.tmp.name}", *protos], check=True)
        sys.path.insert(0, self.tmp.name)
        self.modules = {}
        self.services = {}
        for proto in protos:
            # A package called grpc would hide the library of that name, so modules are loaded by path.
            path = f"{self.tmp.name}/{proto[:-6]}_pb2.py"
            name = proto[:-6].replace("/", ".") + "_pb2"
            if name.startswith("croft."):
                module = importlib.import_module(name)
            else:
                spec = importlib.util.spec_from_file_location("health_pb2", path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            self.modules[os.path.basename(proto)[:-6]] = module
            for service in module.DESCRIPTOR.services_by_name.values():
                self.services[service.full_name] = service

    def __getattr__(self, name):
        """The class of a message of croft.v1 or of the health protocol."""
        for module in self.modules.values():
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)

    def reply(self, service, method):
        return getattr(self, self.services[service].methods_by_name[method].output_type.name)


MESSAGES = Messages()
