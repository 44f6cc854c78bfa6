# SPDX-License-Identifier: Apache-2.0
"""Who may do what, at every door: unix socket, loopback, mutual TLS; certificates that are read again; the audit."""

import asyncio
import base64
import contextlib
import json
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import threading

import grpc
import websockets

import harness
from harness import MESSAGES as m, Skip
from ports import free_port
from test_grpc import Code, problem

NODE = "127.0.0.1"
ROLES = ("viewer", "operator", "console", "admin")
# What each role may, at both doors. The objects are not there, so what is allowed is NOT_FOUND.
ACTIONS = (
    ("Vms/GetVm", lambda: m.GetVmRequest(name="none"), "GET", "/v1/vms/none", None, set(ROLES)),
    ("Vms/DeleteVm", lambda: m.DeleteVmRequest(name="none"), "DELETE", "/v1/vms/none", None, {"operator", "admin"}),
    ("Vms/StartVm", lambda: m.StartVmRequest(name="none"), "POST", "/v1/vms/none:start", None, {"operator", "admin"}),
    ("Images/DeleteImage", lambda: m.DeleteImageRequest(name="none"), "DELETE", "/v1/images/none", None,
     {"operator", "admin"}),
    ("Vms/ReadConsole", lambda: m.ReadConsoleRequest(name="none"), "GET", "/v1/vms/none/console", None,
     {"console", "admin"}),
    ("Vms/WriteConsole", lambda: m.WriteConsoleRequest(name="none", data=b"x"), "POST", "/v1/vms/none/console", b"x",
     {"console", "admin"}),
    ("Audit/ListAuditRecords", lambda: m.ListAuditRecordsRequest(), "GET", "/v1/audit", None, {"admin"}),
    ("NodeService/GetVersion", lambda: m.GetVersionRequest(), "GET", "/version", None, {*ROLES, "nobody"}),
)


# ---- certificates -----------------------------------------------------------------------------

class Authority:
    """A test CA of the openssl command line; its certificates are files."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        os.makedirs(folder, exist_ok=True)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-keyout", self.path(name, "key"), "-out", self.path(name, "pem"), "-subj", f"/CN={name}")

    def openssl(self, *args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (args, done.stderr)

    def path(self, name, kind):
        return f"{self.folder}/{name}.{kind}"

    @property
    def pem(self):
        return self.path(self.name, "pem")

    def issue(self, name, *units, days=2, to=None):
        """A certificate /CN=name/OU=unit...; its files are those of `to`, or of the name."""
        to = to or name
        subject = "".join(f"/OU={unit}" for unit in units) + f"/CN={name}"
        request, extensions = self.path(to, "csr"), self.path(to, "ext")
        with open(extensions, "w", encoding="ascii") as f:
            f.write(f"subjectAltName = IP:{NODE}\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", self.path(to, "key.new"), "-out", request, "-subj", subject)
        self.openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.path(self.name, "key"),
                     "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", self.path(to, "pem.new"))
        os.rename(self.path(to, "key.new"), self.path(to, "key"))
        os.rename(self.path(to, "pem.new"), self.path(to, "pem"))
        return Identity(self, to)


class Identity:
    def __init__(self, authority, name):
        self.name = name
        self.certificate, self.key = authority.path(name, "pem"), authority.path(name, "key")

    def read(self, kind):
        with open(self.certificate if kind == "pem" else self.key, "rb") as f:
            return f.read()


# ---- an agent with every door -----------------------------------------------------------------

class Secure(harness.Agent):
    """croftd with mutual TLS at both doors beside the plain ones, whose clients are viewers."""

    def __init__(self):
        super().__init__()
        self.tls_port, self.grpc_tls_port = free_port(), free_port()
        self.ca = Authority(f"{self.tmp.name}/tls")
        self.node = self.ca.issue("node")
        self.ids = {role: self.ca.issue(f"a-{role}", f"croft-{role}") for role in ROLES}
        self.ids["nobody"] = self.ca.issue("a-nobody", "croft-root", "viewer")
        self.options = {}

    def command(self, **other):
        return super().command(**{"listen-tls": f"{NODE}:{self.tls_port}", "listen-grpc-tls": f"{NODE}:{self.grpc_tls_port}",
                                  "tls-certificate": self.node.certificate, "tls-key": self.node.key,
                                  "tls-client-ca": self.ca.pem, "tcp-roles": "viewer", **self.options, **other})

    def https(self, identity, method, target, body=None, *args):
        """curl over TLS as somebody, or as nobody; the answer, or None when there is none."""
        command = ["curl", "-sS", "-i", "-m", "60", "--cacert", self.ca.pem, "-X", method, *args]
        if identity:
            command += ["--cert", identity.certificate, "--key", identity.key]
        if body is not None:
            command += ["--data-binary", body]
        done = subprocess.run([*command, f"https://{NODE}:{self.tls_port}{target}"], capture_output=True, check=False)
        return harness.split_answer(done.stdout) if done.returncode == 0 else None

    @contextlib.contextmanager
    def secure_channel(self, identity):
        with open(self.ca.pem, "rb") as f:
            root = f.read()
        credentials = grpc.ssl_channel_credentials(root, identity.read("key") if identity else None,
                                                   identity.read("pem") if identity else None)
        # Channels with equal credentials would share connections.
        with grpc.secure_channel(f"{NODE}:{self.grpc_tls_port}", credentials,
                                 [("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield channel

    def served_certificate(self, port):
        """What a new connection is shown, in DER."""
        context = ssl.create_default_context(cafile=self.ca.pem)
        context.load_cert_chain(self.ids["admin"].certificate, self.ids["admin"].key)
        context.set_alpn_protocols(["h2"])
        with socket.create_connection((NODE, port), 60) as s, context.wrap_socket(s, server_hostname=NODE) as t:
            assert t.version() == "TLSv1.3", t.version()
            return t.getpeercert(True)

    def serves(self, certificate):
        der = ssl.PEM_cert_to_DER_cert(certificate.decode())
        return all(self.served_certificate(port) == der for port in (self.tls_port, self.grpc_tls_port))


@contextlib.contextmanager
def secure(**options):
    agent = Secure()
    agent.options = options
    try:
        agent.start()
        yield agent
        assert agent.stop() == 0, agent.log_text()
    finally:
        agent.close()


def code_of(agent, name, request, channel):
    try:
        agent.rpc(name, request, channel=channel)
        return Code.OK
    except grpc.RpcError as e:
        if e.code() == Code.PERMISSION_DENIED:
            assert problem(e).code == "PERMISSION_DENIED" and "cert:" in e.details(), e.details()
        return e.code()


# ---- roles ------------------------------------------------------------------------------------

def test_roles_of_certificates(_):
    with secure() as agent:
        for role, identity in agent.ids.items():
            with agent.secure_channel(identity) as channel:
                for name, request, method, target, body, allowed in ACTIONS:
                    code = code_of(agent, name, request(), channel)
                    status = agent.https(identity, method, target, body).status
                    if role in allowed:
                        assert code in (Code.OK, Code.NOT_FOUND) and status in (200, 404), (role, name, code, status)
                    else:
                        assert code == Code.PERMISSION_DENIED and status == 403, (role, name, code, status)
        nobody = agent.ids["nobody"]
        for target in ("/livez", "/readyz"):
            assert agent.https(nobody, "GET", target).status == 200, target
        both = agent.ca.issue("two", "croft-viewer", "croft-console")
        assert agent.https(both, "GET", "/v1/vms/none/console").status == 404
        assert agent.https(both, "DELETE", "/v1/vms/none").status == 403
        check_audit(agent)
        check_secrets(agent)


def check_audit(agent):
    """Each change is one record with who and from where, and how it ended, at each door."""
    admin = agent.ids["admin"]
    with agent.secure_channel(admin) as channel:
        records = agent.rpc("Audit/ListAuditRecords", m.ListAuditRecordsRequest(page_size=1000), channel=channel).records
    seen = {(r.actor, r.method, r.code) for r in records}
    for role in agent.ids:
        code = "NOT_FOUND" if role in ("operator", "admin") else "PERMISSION_DENIED"
        for method in ("croft.v1.Vms/DeleteVm", "croft.v1.Vms/StartVm", "croft.v1.Images/DeleteImage"):
            assert (f"cert:a-{role}", method, code) in seen, (role, method, seen)
            mine = [r for r in records if r.actor == f"cert:a-{role}" and r.method == method]
            assert len(mine) == 2, mine
            assert all(re.fullmatch(r"127\.0\.0\.1:\d+", r.peer) and r.target.endswith("/none") for r in mine), mine
    assert not any(r.method in ("croft.v1.Vms/GetVm", "croft.v1.Vms/ReadConsole") for r in records), records


def check_secrets(agent):
    """No line of a private key is in the log."""
    log = agent.log_text()
    for identity in (agent.node, *agent.ids.values()):
        for line in identity.read("key").decode().splitlines()[1:-1]:
            assert line not in log
            assert base64.b64decode(line + "=" * (-len(line) % 4)).hex() not in log


def test_plain_doors(_):
    """The unix socket is root's and the agent's own; loopback has the roles of the configuration."""
    with secure() as agent:
        agent.rest("DELETE", "/v1/vms/none", unix=True)
        answer = agent.rest("DELETE", "/v1/vms/none")
        assert answer.status == 403 and "viewer" in answer.json["detail"], answer
        try:
            agent.rpc("Vms/DeleteVm", m.DeleteVmRequest(name="none"))
            raise AssertionError("not refused")
        except grpc.RpcError as e:
            assert e.code() == Code.PERMISSION_DENIED, e
        assert agent.rest("GET", "/v1/audit").status == 403
        records = agent.rest("GET", "/v1/audit", unix=True).json["records"]
        peers = {(r["actor"], r["code"]): r["peer"] for r in records}
        assert re.fullmatch(r"unix:pid=\d+", peers[(f"uid:{os.getuid()}", "NOT_FOUND")]), peers
        assert re.fullmatch(r"127\.0\.0\.1:\d+", peers[("tcp", "PERMISSION_DENIED")]), peers


def test_group_of_the_socket(_):
    """A member of the socket's group has socket_roles; another who gets at the socket has none."""
    if os.getuid():
        raise Skip("only root can become another user")
    group, other, nobody = 100, 50, 65534  # users, staff, nobody: Debian's base-passwd has them

    def as_user(agent, groups, method, target):
        done = subprocess.run(["setpriv", f"--reuid={nobody}", f"--regid={nobody}", *groups, "curl", "-sS", "-i", "-m", "60",
                               "-X", method, "--unix-socket", agent.socket, f"http://x{target}"],
                              capture_output=True, check=False)
        return harness.split_answer(done.stdout).status if done.returncode == 0 else None

    with secure(**{"socket-group": "users", "socket-roles": "viewer"}) as agent:
        os.chmod(agent.tmp.name, 0o711)
        member, stranger = [f"--groups={other},{group}"], [f"--groups={other}"]
        assert as_user(agent, member, "GET", "/v1/vms") == 200
        assert as_user(agent, member, "DELETE", "/v1/vms/none") == 403
        assert as_user(agent, stranger, "GET", "/v1/vms") is None
        os.chmod(agent.socket, 0o666)
        assert as_user(agent, stranger, "GET", "/v1/vms") == 403
        assert as_user(agent, stranger, "GET", "/version") == 200
        assert as_user(agent, member, "GET", "/v1/vms") == 200


# ---- TLS --------------------------------------------------------------------------------------

def test_who_is_not_let_in(_):
    with secure() as agent:
        foreign = Authority(f"{agent.tmp.name}/foreign", "other").issue("a-admin", "croft-admin")
        expired = agent.ca.issue("late", "croft-admin", days=-1)
        itself = Identity(agent.ca, "ca")  # an authority is no client of its own kind, but it is signed by the right one
        for who in (None, foreign, expired):
            assert agent.https(who, "GET", "/v1/vms") is None, who
            assert agent.https(who, "GET", "/livez") is None, who
            with agent.secure_channel(who) as channel:
                try:
                    agent.rpc("NodeService/GetVersion", m.GetVersionRequest(), channel=channel, timeout=5)
                    raise AssertionError(f"{who} was let in")
                except grpc.RpcError as e:
                    assert e.code() == Code.UNAVAILABLE, e
        assert agent.https(itself, "GET", "/v1/vms").status == 403
        # Plain HTTP at the port of TLS is nothing.
        with socket.create_connection((NODE, agent.tls_port), 60) as s:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in s.recv(100)
        admin = agent.ids["admin"]
        assert agent.https(admin, "GET", "/v1/vms").status == 200
        for port in (agent.tls_port, agent.grpc_tls_port):
            assert handshake(agent, port, "-tls1_3") and not handshake(agent, port, "-tls1_2"), port
            assert not handshake(agent, port, "-tls1_2", "-cipher", "PSK", "-psk", "00"), port


def handshake(agent, port, *options):
    """Whether openssl's client comes through a handshake with the certificate of an admin."""
    admin = agent.ids["admin"]
    done = subprocess.run(["openssl", "s_client", "-connect", f"{NODE}:{port}", "-CAfile", agent.ca.pem, "-cert",
                           admin.certificate, "-key", admin.key, "-alpn", "h2", *options],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode == 0 and b"Verify return code: 0" in done.stdout


def test_reload(_):
    """New files are for new connections, old connections go on, and bad files change nothing."""
    with secure() as agent:
        admin, old = agent.ids["admin"], agent.node.read("pem")
        assert agent.serves(old)
        with agent.secure_channel(admin) as channel:
            watch = channel.unary_stream("/croft.v1.Events/WatchEvents", m.WatchEventsRequest.SerializeToString,
                                         m.Event.FromString)(m.WatchEventsRequest(), timeout=120)
            events = follow(watch)
            expect_event(agent, events, "one")
            # The files change.
            agent.ca.issue("node")
            new = agent.node.read("pem")
            assert new != old
            agent.until(lambda: agent.serves(new), "the new certificate")
            expect_event(agent, events, "two")
            # A key that is not that of the certificate, a broken one, and none.
            key = agent.node.read("key")
            before = agent.log_text().count("stays in use")
            for bad in (admin.read("key"), b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b""):
                with open(agent.node.key, "wb") as f:
                    f.write(bad)
                agent.until(lambda n=before: agent.log_text().count("stays in use") > n, "a complaint")
                before = agent.log_text().count("stays in use")
                assert agent.serves(new) and agent.node.key in agent.log_text()
            with open(agent.node.key, "wb") as f:
                f.write(key)
            # On the signal, at once and even when nothing has changed.
            loads = agent.log_text().count("new connections get")
            agent.process.send_signal(signal.SIGHUP)
            agent.until(lambda: agent.log_text().count("new connections get") > loads, "the reload")
            # Another authority: its clients are let in, the old one's are not, who is there stays.
            other = Authority(f"{agent.tmp.name}/next", "next")
            with open(other.pem, "rb") as f, open(f"{agent.ca.pem}.new", "wb") as out:
                out.write(f.read())
            kept = agent.ca.pem + ".kept"
            os.rename(agent.ca.pem, kept)
            os.rename(f"{agent.ca.pem}.new", agent.ca.pem)
            agent.process.send_signal(signal.SIGHUP)
            late = other.issue("b-admin", "croft-admin")
            args = ("--cacert", kept)
            agent.until(lambda: agent.https(late, "GET", "/v1/vms", None, *args) is not None, "the new authority")
            assert agent.https(admin, "GET", "/v1/vms", None, *args) is None
            expect_event(agent, events, "three")
            watch.cancel()
        check_secrets(agent)


def test_rest_over_tls(_):
    """Streams and WebSockets over TLS: they outlive a reload, and the WebSocket carries both ways."""
    with secure() as agent:
        admin = agent.ids["admin"]
        for line in (("POST", "/v1/images?wait=60s", {"name": "tiny", "spec": {"manifest_url":
                                                                               agent.images.url("manifest.json")}}),
                     ("POST", "/v1/vms", {"name": "tls", "spec": {"vcpus": 1, "memory_bytes": 64 * harness.MIB,
                                                                  "image": "tiny", "cmdline_append": "croft.test=idle"}}),
                     ("POST", "/v1/vms/tls:start?wait=60s", {})):
            answer = agent.https(admin, line[0], line[1], json.dumps(line[2]), "-H", "Content-Type: application/json")
            assert answer.status in (200, 201), answer
        watch = subprocess.Popen(["curl", "-sSN", "-m", "120", "--cacert", agent.ca.pem, "--cert", admin.certificate,
                                  "--key", admin.key, "-H", "Accept: text/event-stream",
                                  f"https://{NODE}:{agent.tls_port}/v1/events"], stdout=subprocess.PIPE)
        assert watch.stdout.readline(), "no stream"
        asyncio.run(talk_over_tls(agent))
        # What the console held: the stream goes on behind the reload.
        assert agent.https(admin, "DELETE", "/v1/vms/tls").status == 409
        stop = agent.https(admin, "POST", "/v1/vms/tls:stop?wait=60s", '{"force":true}', "-H",
                           "Content-Type: application/json")
        assert stop.status == 200, stop
        while b'"state":"STOPPED"' not in (line := watch.stdout.readline()):
            assert line, "the stream has ended"
        watch.kill()
        watch.communicate()


async def talk_over_tls(agent):
    def context(identity):
        out = ssl.create_default_context(cafile=agent.ca.pem)
        out.load_cert_chain(identity.certificate, identity.key)
        return out

    url = f"wss://{NODE}:{agent.tls_port}/v1/vms/tls/console:attach?write=true"
    async with websockets.connect(url, ssl=context(agent.ids["console"])) as ws:
        await ws.send(b"before\n")
        await heard(ws, b"before")
        old = agent.node.read("pem")
        agent.ca.issue("node")
        agent.process.send_signal(signal.SIGHUP)
        agent.until(lambda: agent.serves(agent.node.read("pem")), "the new certificate")
        assert agent.node.read("pem") != old
        await ws.send(b"z" * 60000 + b"after\n")
        await heard(ws, b"after")
        await (await ws.ping())
    try:
        async with websockets.connect(url, ssl=context(agent.ids["viewer"])):
            assert False, "a viewer was attached"
    except websockets.InvalidStatusCode as error:
        assert error.status_code == 403, error


async def heard(ws, text):
    data = b""
    while text not in data:
        data += await asyncio.wait_for(ws.recv(), 60)


def follow(stream):
    events = queue.Queue()

    def run():
        try:
            for event in stream:
                events.put(event)
        except grpc.RpcError as e:
            events.put(e)
    threading.Thread(target=run, daemon=True).start()
    return events


def expect_event(agent, events, name):
    body = json.dumps({"name": name, "spec": {"manifest_url": agent.images.url("manifest.json")}})
    done = subprocess.run(["curl", "-sS", "-m", "60", "--unix-socket", agent.socket, "-H", "Content-Type: application/json",
                           "-d", body, "http://x/v1/images?wait=60s"], capture_output=True, check=True)
    assert b"SUCCEEDED" in done.stdout, done
    while True:
        event = events.get(timeout=60)
        assert not isinstance(event, Exception), event
        if event.target == f"images/{name}":
            return


# ---- configuration ----------------------------------------------------------------------------

def test_refused_settings(agent):
    ca = Authority(f"{agent.tmp.name}/settings")
    node, other = ca.issue("node"), ca.issue("other")
    files = {"tls-certificate": node.certificate, "tls-key": node.key, "tls-client-ca": ca.pem}
    tls = {"listen-tls": f"{NODE}:{free_port()}"}
    state = {"state-dir": f"{agent.tmp.name}/refused", "listen-unix": f"{agent.tmp.name}/refused.sock", "listen-tcp": "",
             "listen-grpc": ""}
    for options, says, status in (
            ({"listen-tcp": "0.0.0.0:8080"}, "[listen] tcp: 0.0.0.0:8080 is not a loopback address", 2),
            ({"listen-grpc": "[::]:8080"}, "[listen] grpc: [::]:8080 is not a loopback address", 2),
            (tls, "needs [tls] certificate", 2),
            ({**tls, **files, "tls-client-ca": ""}, "needs [tls] client_ca", 2),
            ({**tls, **files, "tls-key": "key.pem"}, "not an absolute path", 2),
            ({"socket-roles": "god"}, "\"god\" is none of viewer", 2),
            ({**tls, **files, "tls-key": "/nowhere"}, "[tls]: /nowhere: open: No such file", 1),
            ({**tls, **files, "tls-key": other.key}, "is not the key of the certificate", 1),
            ({**tls, **files, "tls-certificate": node.key}, "has no certificate in PEM", 1),
            ({**tls, **files, "tls-key": "/dev/zero"}, "is not a file of 1 to", 1)):
        done = subprocess.run(agent.command(**{**state, **options}), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status and says in done.stderr, (options, done)
        assert "PRIVATE KEY" not in done.stderr
