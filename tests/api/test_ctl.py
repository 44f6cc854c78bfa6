# SPDX-License-Identifier: Apache-2.0
"""croftctl: every command, what it prints, and its exit status."""

import http.server
import json
import os
import signal
import socketserver
import subprocess
import termios
import threading

from harness import program


def ctl(agent, *args, status=0, env=None):
    """Runs croftctl; what it printed. With another status than 0: what it said on stderr."""
    done = subprocess.run([program("croftctl"), "-s", agent.socket, *args], capture_output=True, timeout=90,
                          check=False, env={**os.environ, **(env or {})})
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode == status, (args, done.returncode, out, err)
    assert "Sanitizer" not in err and "runtime error" not in err, err
    if status == 0:
        return out
    assert err.startswith("croftctl: ") or "usage" in err, err
    return err


def test_images(agent):
    out = ctl(agent, "image", "pull", "ctl", agent.images.url("manifest.json"))
    assert out.startswith("pull images/ctl: SUCCEEDED (op-"), out
    assert "ctl" in ctl(agent, "image", "list") and "READY" in ctl(agent, "image", "list")
    assert "status.kernel.size: 4096" in ctl(agent, "image", "get", "ctl")
    assert json.loads(ctl(agent, "--json", "image", "get", "ctl"))["name"] == "ctl"
    assert "409 ALREADY_EXISTS" in ctl(agent, "image", "pull", "ctl", agent.images.url("manifest.json"), status=1)
    ctl(agent, "image", "delete", "ctl")
    assert "404" in ctl(agent, "image", "pull", "bad", agent.images.url("none.json"), status=1)
    ctl(agent, "image", "delete", "bad")
    digest = "0" * 64
    ctl(agent, "image", "pull", "bad", agent.images.url("manifest.json"), f"--sha256={digest}", status=1)
    ctl(agent, "image", "delete", "bad")


def test_vms(agent):
    out = ctl(agent, "vm", "create", "cli", "--image=tiny", "--vcpus=2", "--memory=128M", "--disk=root,image=root,ro",
              "--disk=data,size=1M", "--label=app=web", "--append=croft.test=idle")
    assert "spec.memory_bytes: 128 MiB" in out and "labels.app: web" in out, out
    vm = json.loads(ctl(agent, "vm", "get", "cli", "--json"))
    assert vm["spec"] == {"vcpus": 2, "memory_bytes": 134217728, "image": "tiny", "cmdline_append": "croft.test=idle",
                          "disks": [{"name": "root", "image_disk": "root", "read_only": True},
                                    {"name": "data", "size_bytes": 1048576}]}, vm
    table = ctl(agent, "vm", "list").splitlines()
    assert table[0].split()[:3] == ["NAME", "STATE", "VCPUS"], table
    assert [line for line in table if line.startswith("cli")][0].split()[1] == "DEFINED", table
    assert ctl(agent, "vm", "start", "cli").startswith("start vms/cli: SUCCEEDED"), out
    assert "409" in ctl(agent, "vm", "start", "cli", status=1)
    assert "vcpus[1].run_seconds: " in ctl(agent, "vm", "stats", "cli")
    ctl(agent, "vm", "type", "cli", "hello there")
    agent.until(lambda: "hello there" in ctl(agent, "vm", "console", "cli"), "the echo")
    follower = subprocess.Popen([program("croftctl"), "-s", agent.socket, "vm", "console", "cli", "--follow"],
                                stdout=subprocess.PIPE)
    assert "deadline" in ctl(agent, "vm", "stop", "cli", "--force", "--deadline=1s", status=1)
    assert "usage" in ctl(agent, "vm", "stop", "cli", "--deadline", status=2).lower()
    assert "SUCCEEDED" in ctl(agent, "vm", "stop", "cli", "--deadline", "60s")
    assert "exit_reason: guest_poweroff" in ctl(agent, "vm", "get", "cli")
    assert b"hello there" in follower.communicate(timeout=60)[0] and follower.returncode == 0
    ctl(agent, "vm", "delete", "cli")
    assert "there is no VM" in ctl(agent, "vm", "get", "cli", status=1)


def test_operations(agent):
    agent.make_vm("cli-op")
    out = ctl(agent, "--json", "vm", "start", "cli-op", "--no-wait")
    name = json.loads(out)["name"]
    assert "state: SUCCEEDED" in ctl(agent, "operation", "wait", name, "60")
    assert name in ctl(agent, "operation", "list") and "verb: start" in ctl(agent, "operation", "get", name)
    assert "409" in ctl(agent, "operation", "cancel", name, status=1)
    agent.drop_vm("cli-op")


def test_node(agent):
    assert "status.hypervisor: fake" in ctl(agent, "node")
    assert "api_version: v1" in ctl(agent, "version")
    out = ctl(agent, "doctor")
    assert "FAILED" not in out and out.count("ok ") >= 4, out
    assert "vm create" in ctl(agent, "help")


def test_changes_of_a_vm(agent):
    agent.run_vm("cli-set")
    out = ctl(agent, "vm", "set", "cli-set", "--vcpus=2", "--target=64M", "--label=tier=web")
    assert "status.pending[0]: /spec/vcpus" in out and "labels.tier: web" in out, out
    assert "/spec/vcpus" in ctl(agent, "vm", "list"), "what waits"
    out = ctl(agent, "vm", "set", "cli-set", "--vcpus=3", "--dry-run")
    assert "spec.vcpus: 3" in out and "spec.vcpus: 2" in ctl(agent, "vm", "get", "cli-set"), out
    assert "restart vms/cli-set: SUCCEEDED" in ctl(agent, "vm", "restart", "cli-set", "--force")
    assert "pending" not in ctl(agent, "vm", "get", "cli-set")
    out = ctl(agent, "vm", "label", "cli-set", "tier-", "a.b=c")
    assert "labels.a.b: c" in out and "tier" not in out, out
    assert "memory_target_bytes: 64 MiB" in ctl(agent, "vm", "resize", "cli-set", "64M")
    assert "/memory_target_bytes" in ctl(agent, "vm", "resize", "cli-set", "1M", status=1)
    assert "/spec/disks/0/size_bytes" in ctl(agent, "vm", "set", "cli-set", "--disk=a", status=1)
    agent.drop_vm("cli-set")


def test_labels_of_others(agent):
    assert "labels.os: none" in ctl(agent, "image", "label", "tiny", "os=none")
    assert "labels" not in ctl(agent, "image", "label", "tiny", "os-")
    assert "labels.site: lab" in ctl(agent, "node", "label", "site=lab")
    assert "labels" not in ctl(agent, "node", "label", "site-")


def test_cordon_and_drain(agent):
    agent.run_vm("cli-drain")
    assert "cordoned: true" in ctl(agent, "node", "cordon", "look", "--dry-run")
    assert "cordoned: true" not in ctl(agent, "node")
    assert "cordon_reason: look" in ctl(agent, "node", "cordon", "look")
    try:
        out = subprocess.run([program("croftctl"), "-s", agent.socket, "doctor"], capture_output=True, check=False,
                             text=True, timeout=60)
        assert out.returncode == 1 and "FAILED  Schedulable: look" in out.stdout and "node uncordon" in out.stdout, out
        assert "drain node: SUCCEEDED" in ctl(agent, "node", "drain", "--deadline=1s")
    finally:
        assert "cordoned: true" not in ctl(agent, "node", "uncordon")
    assert "STOPPED" in ctl(agent, "vm", "list")
    agent.drop_vm("cli-drain")


def test_config(agent):
    assert "spec.log_level: info" in ctl(agent, "config", "get")
    table = ctl(agent, "config", "list").splitlines()
    assert ["agent.backend", "fake", "command", "line"] in [line.split() for line in table], table
    out = ctl(agent, "config", "set", "stop_timeout=40s", "image_bytes_max=1G")
    assert "spec.stop_timeout: 40s" in out and "changed[1]: image_bytes_max" in out, out
    assert "changed" not in ctl(agent, "config", "set", "stop_timeout-", "image_bytes_max-")
    assert "/spec/log_level" in ctl(agent, "config", "set", "log_level=loud", status=1)


def test_desired(agent):
    path = f"{agent.tmp.name}/desired.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"spec": {"node_labels": {"made": "so"}}}, f)
    out = ctl(agent, "desired", "diff", path)
    assert out.split()[:3] == ["VERB", "TARGET", "FIELDS"] and "label" in out and "node" in out, out
    ctl(agent, "desired", "put", path, "--dry-run")
    assert "made" not in ctl(agent, "desired", "get")
    assert "spec.node_labels.made: so" in ctl(agent, "desired", "put", path)
    agent.until(lambda: "labels.made: so" in ctl(agent, "node"), "the label")
    ctl(agent, "desired", "apply")
    ctl(agent, "desired", "delete")
    ctl(agent, "node", "label", "made-")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"spec": {}')
    assert "desired.json:1" in ctl(agent, "desired", "put", path, status=2)
    ctl(agent, "desired", "put", f"{path}.none", status=2)


def test_audit(agent):
    ctl(agent, "node", "label", "audited=yes")
    ctl(agent, "node", "label", "audited-")
    line = ctl(agent, "audit", "list").splitlines()[1].split()
    assert line[2] == f"uid:{os.getuid()}" and line[4] == "croft.v1.NodeService/UpdateNode" and line[6] == "OK", line


def test_top(agent):
    agent.run_vm("cli-top")
    table = ctl(agent, "top", "--interval=0.2", "--count=2").splitlines()
    rows = [line.split() for line in table if line.startswith("cli-top")]
    assert len(rows) == 2 and all(row[2].endswith("%") for row in rows), table
    row = json.loads(ctl(agent, "--json", "top", "--interval=0.1", "--count=1"))
    assert [r["memory_bytes"] for r in row if r["name"] == "cli-top"] == [67108864], row
    agent.drop_vm("cli-top")


def attach(agent, *args, stdin=subprocess.PIPE):
    return subprocess.Popen([program("croftctl"), "-s", agent.socket, "vm", "attach", *args], stdin=stdin,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until(stream, text):
    data = b""
    while text not in data:
        more = os.read(stream.fileno(), 4096)
        assert more, data
        data += more
    return data


def test_attach(agent):
    agent.run_vm("cli-att")
    writer = attach(agent, "cli-att")
    writer.stdin.write(b"typed here\n")
    writer.stdin.flush()
    read_until(writer.stdout, b"typed here")
    assert "is attached and writes" in ctl(agent, "vm", "attach", "cli-att", status=1)
    reader = attach(agent, "cli-att", "--read-only", stdin=subprocess.DEVNULL)
    read_until(reader.stdout, b"typed here")
    # The end of the VM is a good end.
    assert agent.rest("POST", "/v1/vms/cli-att:stop?wait=60s", {"force": True}).status == 200
    for process in (writer, reader):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, (process.returncode, err)
    assert "does not run" in ctl(agent, "vm", "attach", "cli-att", status=1)
    assert "there is no VM" in ctl(agent, "vm", "attach", "nobody", status=1)
    agent.drop_vm("cli-att")


def test_attach_of_a_terminal(agent):
    """Keys go to the guest as they are, Ctrl-C too; Ctrl-] detaches, and the terminal is as it was."""
    agent.run_vm("cli-tty")
    leader, follower = os.openpty()
    before = termios.tcgetattr(follower)
    process = attach(agent, "cli-tty", stdin=follower)
    agent.until(lambda: not termios.tcgetattr(follower)[3] & termios.ICANON, "the raw terminal")
    os.write(leader, b"a\x03b\n")
    read_until(process.stdout, b"a\x03b")
    os.write(leader, b"\x1d")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)
    agent.drop_vm("cli-tty")


def test_wrong_usage(agent):
    for args in ((), ("fly",), ("vm",), ("vm", "fly"), ("vm", "get"), ("vm", "get", "a", "b"), ("vm", "list", "x"),
                 ("vm", "stop", "a", "--now"), ("vm", "create"), ("vm", "create", "--image=x"),
                 ("vm", "create", "a", "--colour=red"), ("vm", "create", "a", "--memory=lots"),
                 ("vm", "create", "a", "--memory=99999999999T"), ("vm", "create", "a", "--disk=a,size=x"),
                 ("vm", "create", "a", "--label=x"), ("image", "pull", "a"), ("operation", "wait", "a", "b"),
                 ("vm", "console", "a", "--offset=x"), ("node", "x"),
                 ("vm", "set", "a"), ("vm", "set", "--vcpus=1"), ("vm", "label", "a"), ("vm", "label", "a", "b"),
                 ("vm", "resize", "a"), ("vm", "resize", "a", "x"), ("vm", "attach"), ("vm", "attach", "a", "--tail=x"),
                 ("vm", "restart"), ("node", "label"), ("node", "label", "a"), ("node", "cordon", "a", "b"),
                 ("node", "drain", "x"), ("config", "set"), ("config", "set", "x"), ("desired", "put"),
                 ("top", "--interval=0"), ("top", "x"), ("doctor", "x"), ("-s",)):
        ctl(agent, *args, status=2)
    assert "/name: " in ctl(agent, "vm", "create", "BAD", "--image=tiny", status=1)


def test_options_of_all(agent):
    done = subprocess.run([program("croftctl"), f"--socket={agent.socket}", "version"], capture_output=True, check=False, text=True)
    assert done.returncode == 0 and "api_version: v1" in done.stdout, done
    done = subprocess.run([program("croftctl"), "--version"], capture_output=True, check=False, text=True)
    assert done.returncode == 0 and done.stdout.startswith("croftctl "), done


def test_a_device_that_another_changes_meanwhile(agent):
    """What was read and is sent back has the revision that it was read at."""
    agent.make_vm("cli-race", networks=[{"name": "a"}])
    vm = agent.rest("GET", "/v1/vms/cli-race").json
    seen = []

    class Between(http.server.BaseHTTPRequestHandler):
        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(200, vm)

        def do_PATCH(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers["If-Match"], body))
            self.answer(412, {"detail": "another revision", "code": "PRECONDITION"})

        def answer(self, status, value):
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    path = f"{agent.tmp.name}/between"
    with socketserver.ThreadingUnixStreamServer(path, Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run([program("croftctl"), "-s", path, "vm", "net", "cli-race", "a", "--down"], capture_output=True,
                              check=False, text=True)
        server.shutdown()
    assert done.returncode == 1 and "another revision (412 PRECONDITION)" in done.stderr, done
    assert seen == [("/v1/vms/cli-race", f'"{vm["revision"]}"', {"spec": {"networks": [{"name": "a", "link_down": True}]}})], seen
    agent.drop_vm("cli-race")


def test_no_agent(agent):
    done = subprocess.run([program("croftctl"), "-s", f"{agent.tmp.name}/none", "vm", "list"], capture_output=True,
                          check=False, text=True)
    assert done.returncode == 3 and "cannot reach the agent" in done.stderr, done
    done = subprocess.run([program("croftctl"), "doctor"], capture_output=True, check=False, text=True,
                          env={**os.environ, "CROFT_SOCKET": f"{agent.tmp.name}/none"})
    assert done.returncode == 3 and "FAILED" in done.stdout, done


def test_escapes_of_guests_are_not_shown(agent):
    """A label is the user's, but a message may be a guest's or an image server's: no terminal obeys it."""
    agent.images.put("escape.json", {"name": "x", "version": "1\x1b[2J", "kernel": agent.images.manifest["kernel"]})
    body = {"name": "escape", "spec": {"manifest_url": agent.images.url("escape.json")}}
    agent.rest("POST", "/v1/images?wait=60s", body)
    out = ctl(agent, "image", "get", "escape")
    assert "\x1b" not in out, out
    ctl(agent, "image", "delete", "escape")


def test_full_disk_is_told(agent):
    """An answer that cannot be written is no success."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program("croftctl"), "-s", agent.socket, "node"], stdout=full, check=False)
    assert done.returncode == 1, done


def test_interrupted_follow(agent):
    agent.run_vm("cli-int")
    # A shell that ran us in the background has left us with the signal ignored.
    follower = subprocess.Popen(["env", "--default-signal=INT", program("croftctl"), "-s", agent.socket, "vm", "console",
                                 "cli-int", "-f"], stdout=subprocess.PIPE)
    agent.curl("POST", "/v1/vms/cli-int/console", "--data-binary", "x")
    assert follower.stdout.read(1)
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=60)
    assert follower.returncode == -signal.SIGINT
    agent.drop_vm("cli-int")
