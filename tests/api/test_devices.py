# SPDX-License-Identifier: Apache-2.0
"""The devices of a VM: what a spec may say of them, what changes live, and what of the host they have."""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile

import grpc
from harness import MESSAGES, MIB, Agent, Skip
from test_ctl import ctl
from test_socket import close_code, frame, handshake, upgraded

DISK = {"name": "d", "size_bytes": MIB}


def refused(agent, spec, field, says=""):
    """A creation with that spec is a 400 that blames the field; nothing is made."""
    body = {"name": "refused", "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny", **spec}}
    answer = agent.rest("POST", "/v1/vms", body)
    assert answer.status == 400 and answer.field() == field and says in answer.json["detail"], (spec, field, answer)


def patch(agent, name, spec, status=200):
    answer = agent.curl("PATCH", f"/v1/vms/{name}", "-H", "Content-Type: application/merge-patch+json", "-d",
                        json.dumps({"spec": spec}))
    assert answer.status == status, answer
    return answer


def vm_of(agent, name):
    return agent.rest("GET", f"/v1/vms/{name}").json


def children(agent):
    """Command lines of the agent's processes, zombies included."""
    pid, out = agent.process.pid, []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit():
                with open(f"/proc/{entry}/stat", encoding="ascii") as f:
                    stat = f.read().rpartition(")")
                if int(stat[2].split()[1]) == pid:
                    out.append((int(entry), stat[0].partition("(")[2]))
    return out


@contextlib.contextmanager
def agent_with(*prefix, **options):
    """An agent of its own, with settings of its own; `prefix` are words in front of its command line."""
    agent = Agent()
    command = agent.command
    agent.command = lambda **other: [*prefix, *command(**options, **other)]
    try:
        agent.start()
        agent.pull()
        yield agent
        assert agent.stop() == 0, agent.log_text()[-3000:]
    finally:
        agent.close()


# ---- what a spec may say ----------------------------------------------------------------------

def test_disks_are_checked(agent):
    for more, part in (({"serial": "x" * 21}, "serial"), ({"serial": "a b"}, "serial"), ({"queues": 5}, "queues"),
                       ({"limit": {"bytes_per_second": 10**12 + 1}}, "limit"), ({"size_bytes": 513}, "size_bytes"),
                       ({"block_device": "/dev/none"}, "size_bytes"),
                       ({"block_device": "/dev/x", "image_disk": "root"}, "block_device"),
                       ({"size_bytes": 0, "block_device": "/etc/passwd"}, "block_device"),
                       ({"size_bytes": 0, "block_device": "/dev/../etc/passwd"}, "block_device"),
                       ({"size_bytes": 0, "block_device": "/dev/sda"}, "block_device")):
        refused(agent, {"disks": [{"name": "a", "size_bytes": 512}, {**DISK, **more}]}, f"/spec/disks/1/{part}")
    refused(agent, {"disks": [{"name": "a", "block_device": "/dev/sda"}]}, "/spec/disks/0/block_device", "block_devices is empty")


def test_networks_are_checked(agent):
    for more, part in (({"name": "Net"}, "name"), ({"mac": "52:54:00:12:34"}, "mac"), ({"mac": "53:54:00:12:34:56"}, "mac"),
                       ({"mac": "00:00:00:00:00:00"}, "mac"), ({"mac": "52-54-00-12-34-56"}, "mac"),
                       ({"mac": "52:54:00:AA:00:01"}, "mac"), ({"bridge": "br0"}, "bridge"),
                       ({"kind": "user", "bridge": "br0"}, "bridge"), ({"kind": "tap", "bridge": "br0"}, "bridge"),
                       ({"kind": "tap", "bridge": "x" * 16}, "bridge"), ({"any_source": True}, "any_source"),
                       ({"receive": {"operations_per_second": 10**13}}, "receive"), ({"name": "a"}, "name"),
                       ({"transmit": {"bytes_per_second": 10**13}}, "transmit")):
        networks = [{"name": "a", "mac": "52:54:00:aa:00:01"}, {"name": "b", **more}]
        refused(agent, {"networks": networks}, f"/spec/networks/1/{part}")
    refused(agent, {"networks": [{"name": f"n{i}"} for i in range(5)]}, "/spec/networks")
    refused(agent, {"networks": [{"name": "n", "kind": "wifi"}]}, "/spec/networks/0/kind")
    refused(agent, {"networks": [{"name": "n"}], "no_network": True}, "/spec/no_network")


def test_the_rest_is_checked(agent):
    for spec, field in (({"ports": ["a", "a"]}, "/spec/ports/1"), ({"ports": ["A"]}, "/spec/ports/0"),
                        ({"ports": list("abcde")}, "/spec/ports"), ({"vsock": {"cid": 2}}, "/spec/vsock/cid"),
                        ({"vsock": {"cid": 2**32 - 1}}, "/spec/vsock/cid"), ({"vsock": {"port": 1}}, "/spec/vsock/port"),
                        ({"shares": [{"name": "s", "path": "relative"}]}, "/spec/shares/0/path"),
                        ({"shares": [{"name": "s", "path": "/a//b"}]}, "/spec/shares/0/path"),
                        ({"shares": [{"name": "s", "path": "/srv/../etc"}]}, "/spec/shares/0/path"),
                        ({"shares": [{"name": "s", "path": "/etc"}]}, "/spec/shares/0/path"),
                        ({"shares": [{"name": "s" * 37, "path": "/srv"}]}, "/spec/shares/0/name"),
                        ({"bounce_bytes": 4 * MIB}, "/spec/bounce_bytes"),
                        ({"protection": "protected", "bounce_bytes": MIB}, "/spec/bounce_bytes"),
                        ({"protection": "protected", "bounce_bytes": 34 * MIB}, "/spec/bounce_bytes"),
                        ({"protection": "protected"}, "/spec/bounce_bytes"),
                        ({"protection": "protected", "memory_bytes": 128 * MIB, "cmdline": "x" * 1952}, "/spec/cmdline"),
                        ({"protection": "protected", "memory_bytes": 128 * MIB, "cmdline_append": "x" * 1952},
                         "/spec/cmdline_append"),
                        ({"protection": "protected", "memory_bytes": 128 * MIB, "memory_target_bytes": 64 * MIB},
                         "/spec/memory_target_bytes"),
                        ({"protection": "secret"}, "/spec/protection"), ({"huge_pages": 1}, "/spec/huge_pages"),
                        ({"device_tree_overlay": "###"}, "/spec/device_tree_overlay")):
        refused(agent, spec, field)
    refused(agent, {"protection": "secret"}, "/spec/protection", '"secret": one of none, protected')
    assert agent.rest("GET", "/v1/vms/refused").status == 404


def overlay(*nodes):
    """A flattened tree (devicetree specification, chapter 5) whose root has these nodes, each with an __overlay__."""
    def node(name, inner):
        text = name.encode() + b"\0"
        return struct.pack(">I", 1) + text + bytes(-len(text) % 4) + inner + struct.pack(">I", 2)
    body = node("", b"".join(node(n, node("__overlay__", b"")) for n in nodes)) + struct.pack(">I", 9)
    begin = 40 + 16
    return struct.pack(">10I", 0xd00dfeed, begin + len(body), begin, begin + len(body), 40, 17, 16, 0, 0, len(body)) + \
        bytes(16) + body


def test_overlay_is_checked(agent):
    good = overlay("fragment@0")
    for bad in (b"x" * 100, good[:-9], overlay(), bytes(65537)):
        refused(agent, {"device_tree_overlay": base64.b64encode(bad).decode()}, "/spec/device_tree_overlay")
    agent.make_vm("overlay", device_tree_overlay=base64.b64encode(good).decode())
    assert base64.b64decode(vm_of(agent, "overlay")["spec"]["device_tree_overlay"]) == good
    other = base64.b64encode(overlay("fragment@0", "fragment@1")).decode()
    assert patch(agent, "overlay", {"device_tree_overlay": other}).json["spec"]["device_tree_overlay"] == other
    assert "device_tree_overlay" not in patch(agent, "overlay", {"device_tree_overlay": None}).json["spec"]
    agent.drop_vm("overlay")


def test_the_same_over_grpc(agent):
    vm = MESSAGES.Vm(name="refused", spec=MESSAGES.VmSpec(vcpus=1, memory_bytes=64 * MIB, image="tiny"))
    vm.spec.networks.add(name="n", kind=7)
    try:
        agent.rpc("Vms/CreateVm", MESSAGES.CreateVmRequest(vm=vm))
        raise AssertionError("taken")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.INVALID_ARGUMENT and "/spec/networks/0/kind" in e.details(), e


# ---- changes ----------------------------------------------------------------------------------

def disk_file(agent, vm, disk):
    return f"{agent.tmp.name}/state/vms/{vm['uid']}/{disk}.raw"


def test_live_changes_of_disks(agent):
    agent.run_vm("livedisk", no_network=True, disks=[DISK, {"name": "root", "image_disk": "root"}])
    vm = vm_of(agent, "livedisk")
    for disk, size in (("d", 3 * MIB), ("root", 2 * MIB)):
        disks = vm["spec"]["disks"]
        next(d for d in disks if d["name"] == disk)["size_bytes"] = size
        vm = patch(agent, "livedisk", {"disks": disks}).json
        assert "pending" not in vm["status"], vm
        assert os.path.getsize(disk_file(agent, vm, disk)) == size
    disks[0]["limit"] = {"bytes_per_second": 10 * MIB, "operations_per_second": 100}
    assert "pending" not in patch(agent, "livedisk", {"disks": disks}).json["status"]
    smaller = [dict(disks[0], size_bytes=MIB), disks[1]]
    assert patch(agent, "livedisk", {"disks": smaller}, 400).field() == "/spec/disks/0/size_bytes"
    # A dry run changes no file.
    larger = [dict(disks[0], size_bytes=8 * MIB), disks[1]]
    answer = agent.curl("PATCH", "/v1/vms/livedisk?dry_run=true", "-H", "Content-Type: application/merge-patch+json", "-d",
                        json.dumps({"spec": {"disks": larger}}))
    assert answer.status == 200 and "pending" not in answer.json["status"], answer
    assert os.path.getsize(disk_file(agent, vm, "d")) == 3 * MIB
    # What is not live waits, and what is live of the same disk does not.
    disks[0].update(serial="S-1", size_bytes=4 * MIB)
    vm = patch(agent, "livedisk", {"disks": disks}).json
    assert vm["status"]["pending"] == ["/spec/disks"] and os.path.getsize(disk_file(agent, vm, "d")) == 4 * MIB, vm
    # More than any file system takes: nothing has changed.
    assert patch(agent, "livedisk", {"disks": [dict(disks[0], size_bytes=2**63 - 512), disks[1]]}, 429).field() == \
        "/spec/disks/0/size_bytes"
    assert vm_of(agent, "livedisk")["spec"] == vm["spec"] and os.path.getsize(disk_file(agent, vm, "d")) == 4 * MIB
    for index, other in ((1, {"image_disk": ""}), (1, {"block_device": "/dev/x"})):
        changed = [dict(d) for d in disks]
        changed[index].update(other)
        assert patch(agent, "livedisk", {"disks": changed}, 400).field().startswith(f"/spec/disks/{index}/")
    agent.drop_vm("livedisk")


def test_the_images_own_disk_is_not_enlarged_while_it_runs(agent):
    disk = {"name": "root", "image_disk": "root", "read_only": True}
    agent.run_vm("rodisk", no_network=True, disks=[disk])
    answer = patch(agent, "rodisk", {"disks": [dict(disk, size_bytes=MIB)]}, 409)
    assert answer.field() == "/spec/disks/0/size_bytes" and "own file" in answer.json["detail"], answer
    assert agent.rest("POST", "/v1/vms/rodisk:stop?wait=60s", {"force": True}).status == 200
    patch(agent, "rodisk", {"disks": [dict(disk, size_bytes=MIB)]})
    agent.drop_vm("rodisk")


def has_passt():
    if not shutil.which("passt"):
        raise Skip("passt is not installed")


def test_the_network_that_needs_no_set_up(agent):
    has_passt()
    agent.run_vm("default")
    vm = vm_of(agent, "default")
    net = vm["status"]["networks"][0]
    assert (net["name"], net["kind"], net["link_up"]) == ("net0", "user", True), net
    assert re.fullmatch(r"[0-9a-f][26ae](:[0-9a-f]{2}){5}", net["mac"]), net
    assert "networks" not in vm["spec"] and "pending" not in vm["status"], vm
    assert [name.partition(".")[0] for _, name in children(agent)] == ["passt"], children(agent)
    # It is there for the VM alone, and is waited for.
    os.kill(children(agent)[0][0], 9)
    agent.until(lambda: "message" in vm_of(agent, "default")["status"]["networks"][0], "the word that passt has ended")
    net = vm_of(agent, "default")["status"]["networks"][0]
    assert net["message"] == "passt has ended" and not net.get("link_up"), net
    assert children(agent) == [], "a zombie"
    assert agent.rest("POST", "/v1/vms/default:restart?wait=60s", {"force": True}).status == 200
    again = vm_of(agent, "default")["status"]["networks"][0]
    assert again["mac"] == net["mac"] and again["link_up"] and "message" not in again, again
    patch(agent, "default", {"no_network": True})
    assert vm_of(agent, "default")["status"]["pending"] == ["/spec/no_network"]
    assert agent.rest("POST", "/v1/vms/default:restart?wait=60s", {"force": True}).status == 200
    assert "networks" not in vm_of(agent, "default")["status"] and children(agent) == []
    agent.drop_vm("default")


def test_live_changes_of_networks(agent):
    has_passt()
    networks = [{"name": "a", "mac": "52:54:00:aa:00:01"}, {"name": "b", "link_down": True}]
    agent.run_vm("livenet", networks=networks)

    def status():
        return {n["name"]: n for n in vm_of(agent, "livenet")["status"]["networks"]}
    assert status()["a"]["mac"] == "52:54:00:aa:00:01" and status()["a"]["link_up"] and not status()["b"].get("link_up")
    networks[0]["link_down"] = True
    networks[1].update(link_down=False, receive={"bytes_per_second": MIB}, transmit={"operations_per_second": 100})
    vm = patch(agent, "livenet", {"networks": networks}).json
    assert "pending" not in vm["status"] and not status()["a"].get("link_up") and status()["b"]["link_up"], vm
    networks[0]["mac"] = "52:54:00:aa:00:02"
    networks[1].pop("receive")
    vm = patch(agent, "livenet", {"networks": networks}).json
    assert vm["status"]["pending"] == ["/spec/networks"] and status()["a"]["mac"] == "52:54:00:aa:00:01", vm
    # One that is new waits, and the others are live all the same.
    networks = [dict(networks[0], mac="52:54:00:aa:00:01", link_down=False), networks[1], {"name": "c"}]
    vm = patch(agent, "livenet", {"networks": networks}).json
    assert vm["status"]["pending"] == ["/spec/networks"] and status()["a"]["link_up"], vm
    assert agent.rest("POST", "/v1/vms/livenet:restart?wait=60s", {"force": True}).status == 200
    assert len(status()) == 3 and len(children(agent)) == 3
    agent.drop_vm("livenet")
    assert children(agent) == []


def test_without_passt(_agent):
    """A VM that asks for nothing has no network then; one that asks is told."""
    with agent_with("env", "PATH=/nowhere") as agent:
        agent.run_vm("none")
        assert "networks" not in vm_of(agent, "none")["status"]
        agent.make_vm("asks", networks=[{"name": "t", "kind": "tap"}, {"name": "u"}])
        answer = agent.rest("POST", "/v1/vms/asks:start")
        assert answer.status == 503 and answer.field() == "/spec/networks/1" and "passt" in answer.json["detail"], answer
        conditions = {c["type"]: c for c in agent.rest("GET", "/v1/node").json["status"]["conditions"]}
        assert not conditions["UserNetwork"]["status"] and conditions["UserNetwork"]["reason"] == "PasstMissing"
        assert "lacks   UserNetwork: passt is not installed" in ctl(agent, "doctor")


def test_a_merge_patch_of_a_vsock(agent):
    agent.make_vm("patchvsock")
    assert patch(agent, "patchvsock", {"vsock": {}}).json["spec"]["vsock"] == {}
    before = agent.rest("GET", "/v1/vms/patchvsock")
    assert patch(agent, "patchvsock", {"vsock": {}}).body == before.body, "an empty patch changes nothing"
    patch(agent, "patchvsock", {"vsock": {"cid": 77, "transport": "socket"}})
    assert patch(agent, "patchvsock", {"vsock": {"cid": 78}}).json["spec"]["vsock"] == {"cid": 78, "transport": "socket"}
    assert patch(agent, "patchvsock", {"vsock": {"cid": None}}).json["spec"]["vsock"] == {"transport": "socket"}
    assert "vsock" not in patch(agent, "patchvsock", {"vsock": None}).json["spec"]
    agent.drop_vm("patchvsock")


def test_desired_devices(agent):
    """Live changes need no restart; the others restart the VM when the document says so."""
    spec = {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny", "no_network": True, "ports": ["log"],
            "disks": [dict(DISK, limit={"bytes_per_second": MIB})], "vsock": {"transport": "socket"}}
    want = {"name": "desdev", "spec": spec, "power": "ON", "restart_to_apply": True}

    def put():
        answer = agent.rest("PUT", "/v1/desired", {"spec": {"vms": [want]}})
        assert answer.status == 200, answer
        agent.until(lambda: agent.rest("GET", "/v1/desired").json["status"]["in_sync"], "the desired state", 60)
        return vm_of(agent, "desdev")
    vm = put()
    assert vm["spec"] == spec and vm["status"]["starts"] == 1, vm
    spec["disks"][0].update(size_bytes=2 * MIB, limit={"operations_per_second": 5})
    diff = agent.rest("POST", "/v1/desired:diff", {"spec": {"vms": [want]}}).json["changes"]
    assert [(c["verb"], c.get("fields")) for c in diff] == [("update", ["/spec/disks"])], diff
    vm = put()
    assert vm["status"]["starts"] == 1 and os.path.getsize(disk_file(agent, vm, "d")) == 2 * MIB, vm
    spec["ports"] = ["log", "more"]
    diff = agent.rest("POST", "/v1/desired:diff", {"spec": {"vms": [want]}}).json["changes"]
    assert [c["verb"] for c in diff] == ["update", "restart"], diff
    vm = put()
    assert vm["status"]["starts"] == 2 and "pending" not in vm["status"], vm
    spec["networks"] = [{"name": "a", "kind": "tap", "bridge": "br0"}]
    spec["no_network"] = False
    answer = agent.rest("PUT", "/v1/desired", {"spec": {"vms": [want]}})
    assert answer.status == 400 and answer.field() == "/spec/vms/0/spec/networks/0/bridge", answer
    agent.rest("DELETE", "/v1/desired")
    agent.drop_vm("desdev")


# ---- vsock ------------------------------------------------------------------------------------

def test_vsock_by_sockets(agent):
    vsock = {"transport": "socket"}
    for name in ("vsock1", "vsock2"):
        agent.run_vm(name, no_network=True, vsock=vsock)
    first, second = (vm_of(agent, n)["status"] for n in ("vsock1", "vsock2"))
    assert 3 <= first["vsock_cid"] != second["vsock_cid"] >= 3, (first, second)
    path = first["vsock_path"]
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700 and os.stat(path).st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)  # no guest's driver would answer, but somebody listens
    agent.make_vm("vsock3", no_network=True, vsock=dict(vsock, cid=second["vsock_cid"]))
    answer = agent.rest("POST", "/v1/vms/vsock3:start")
    assert answer.status == 409 and answer.field() == "/spec/vsock/cid" and '"vsock2"' in answer.json["detail"], answer
    agent.drop_vm("vsock2")
    assert agent.rest("POST", "/v1/vms/vsock3:start?wait=60s").status == 200
    assert vm_of(agent, "vsock3")["status"]["vsock_cid"] == second["vsock_cid"]
    patch(agent, "vsock1", {"vsock": {"cid": 99}})
    assert vm_of(agent, "vsock1")["status"]["pending"] == ["/spec/vsock"]
    agent.drop_vm("vsock1")
    agent.drop_vm("vsock3")
    assert os.listdir(os.path.dirname(path)) == []


def test_vsock_of_the_kernel(agent):
    agent.make_vm("kvsock", no_network=True, vsock={"transport": "kernel"})
    answer = agent.rest("POST", "/v1/vms/kvsock:start?wait=60s")
    if os.access("/dev/vhost-vsock", os.R_OK | os.W_OK):
        assert answer.status == 200 and "vsock_path" not in vm_of(agent, "kvsock")["status"], answer
    else:
        assert answer.status == 503 and answer.field() == "/spec/vsock/transport", answer
    agent.drop_vm("kvsock")


# ---- ports ------------------------------------------------------------------------------------

def test_ports(agent):
    """Each port has a recording and a writer of its own. (The fake guest has no driver for them, and takes nothing.)"""
    agent.run_vm("ports", no_network=True, ports=["log", "ctl"])
    for port in ("log", "ctl"):
        answer = agent.curl("GET", f"/v1/vms/ports/console?port={port}")
        assert answer.status == 200 and answer.body == b"" and answer.headers["croft-console-next-offset"] == "0", answer
    for target in ("console?port=other", "console:attach?port=other"):
        extra = () if "attach" not in target else (
            "-H", "Upgrade: websocket", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13", "-H",
            "Sec-WebSocket-Key: Y3JvZnRjdGwgY29uc29sZQ==")
        answer = agent.curl("GET", f"/v1/vms/ports/{target}", *extra)
        assert answer.status == 404 and answer.field() == "/port", answer
    typed = ("--data-binary", "hello\n")
    assert agent.curl("POST", "/v1/vms/ports/console?port=log", *typed).json.get("accepted_bytes", 0) == 0
    writer = upgraded(handshake(agent, "ports", "?write=true&port=log"))
    answer = agent.curl("POST", "/v1/vms/ports/console?port=log", *typed)
    assert answer.status == 409 and "is attached and writes" in answer.json["detail"], answer
    assert agent.curl("POST", "/v1/vms/ports/console?port=ctl", *typed).status == 200
    assert agent.curl("POST", "/v1/vms/ports/console", *typed).json["accepted_bytes"] == 6
    other = upgraded(handshake(agent, "ports", "?write=true&port=ctl"))
    other.close()
    writer.close()
    agent.until(lambda: agent.curl("POST", "/v1/vms/ports/console?port=log", *typed).status == 200, "the pen")
    # It waits for a byte, as the console does, and ends with the VM.
    follower = subprocess.Popen(["curl", "-sS", "-N", "-m", "60", agent.url("/v1/vms/ports/console?port=log&follow=true")],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    # One that is not there any more after the next start can be read until then.
    patch(agent, "ports", {"ports": ["ctl"]})
    assert vm_of(agent, "ports")["status"]["pending"] == ["/spec/ports"]
    assert agent.curl("GET", "/v1/vms/ports/console?port=log").status == 200
    folder = f"{agent.tmp.name}/state/vms/{vm_of(agent, 'ports')['uid']}"
    assert {"console", "log.port", "ctl.port"} <= set(os.listdir(folder))
    assert agent.rest("POST", "/v1/vms/ports:restart?wait=60s", {"force": True}).status == 200
    assert agent.curl("GET", "/v1/vms/ports/console?port=log").status == 404
    assert "log.port" not in os.listdir(folder) and "ctl.port" in os.listdir(folder)
    follower.communicate(timeout=60)
    agent.drop_vm("ports")


def test_terminal_size(agent):
    agent.run_vm("size", no_network=True, ports=["p"])
    post = ("--data-binary", "")
    assert agent.curl("POST", "/v1/vms/size/console?columns=132&rows=43", *post).json.get("accepted_bytes", 0) == 0
    for query, field in (("columns=1001", "/columns"), ("rows=5000", "/rows"), ("columns=-1", "/columns"),
                         ("port=p&rows=4", "/rows"), ("columns=x", "/columns")):
        answer = agent.curl("POST", f"/v1/vms/size/console?{query}", *post)
        assert answer.status == 400 and answer.field() == field, (query, answer)
    upgrade = ("-H", "Upgrade: websocket", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13", "-H",
               "Sec-WebSocket-Key: Y3JvZnRjdGwgY29uc29sZQ==")
    answer = agent.curl("GET", "/v1/vms/size/console:attach?columns=80", *upgrade)
    assert answer.status == 400 and answer.field() == "/columns", answer
    for text, code in ((b'{"columns":120}', 1000), (b'{"columns":120,"rows":40}', 1000), (b"ls\n", 1007),
                       (b'{"columns":2000}', 1008), (b'{"data":"eA=="}', 1008), (b'{"colour":1}', 1007)):
        s = upgraded(handshake(agent, "size", "?write=true&columns=100&rows=30"))
        s.sendall(frame(1, text))
        if code == 1000:
            s.sendall(frame(2, b"typed-" + text[-3:-1] + b"\n") + frame(8, struct.pack(">H", 1000)))
        assert close_code(s) == code, text
        s.close()
        agent.until(lambda: agent.curl("POST", "/v1/vms/size/console", *post).status == 200, "the pen")
    call = agent.channel.stream_stream("/croft.v1.Vms/AttachConsole", MESSAGES.AttachConsoleRequest.SerializeToString,
                                       MESSAGES.ReadConsoleResponse.FromString)
    messages = [MESSAGES.AttachConsoleRequest(name="size", write=True, columns=90), MESSAGES.AttachConsoleRequest(rows=20),
                MESSAGES.AttachConsoleRequest(columns=1, data=b"sized\n"), MESSAGES.AttachConsoleRequest(rows=1001)]
    seen = b""
    try:
        for message in call(iter(messages), timeout=60):
            seen += message.data
        raise AssertionError("it went on")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.INVALID_ARGUMENT and "/rows" in e.details(), e
    agent.drop_vm("size")


# ---- what of the host is allowed --------------------------------------------------------------

def interfaces():
    return {name for _, name in socket.if_nameindex()}


def needs_tap():
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as e:
        raise Skip(f"/dev/net/tun: {e}") from e
    if os.geteuid():
        raise Skip("taps need a privilege")


def test_tap(agent):
    needs_tap()
    before = interfaces()
    agent.run_vm("tap", networks=[{"name": "t", "kind": "tap", "any_source": True}])
    net = vm_of(agent, "tap")["status"]["networks"][0]
    made = interfaces() - before
    assert made == {net["host_interface"]} and net["kind"] == "tap", (made, net)
    with open(f"/sys/class/net/{net['host_interface']}/flags", encoding="ascii") as f:
        assert int(f.read(), 16) & 1, "it is down"
    assert bool(net.get("offloaded")) == os.access("/dev/vhost-net", os.R_OK | os.W_OK), net
    limited = [{"name": "t", "kind": "tap", "any_source": True, "receive": {"bytes_per_second": MIB}}]
    vm = patch(agent, "tap", {"networks": limited}).json
    assert not vm["status"]["networks"][0].get("offloaded") and "pending" not in vm["status"], vm
    agent.drop_vm("tap")
    assert interfaces() == before


def test_bridges(_agent):
    """One that is not there, one that is none, and one that is not allowed; the tap of a start that fails is gone."""
    needs_tap()
    with agent_with(bridges="lo nobridge0") as agent:
        before = interfaces()
        for bridge, status in (("nobridge0", 503), ("lo", 409)):
            agent.make_vm(f"br-{bridge}", networks=[{"name": "t", "kind": "tap", "bridge": bridge}])
            answer = agent.rest("POST", f"/v1/vms/br-{bridge}:start?wait=60s")
            assert answer.status == status and answer.field() == "/spec/networks/0" and bridge in answer.json["detail"], answer
            assert vm_of(agent, f"br-{bridge}")["status"]["state"] == "FAILED"
        refused(agent, {"networks": [{"name": "t", "kind": "tap", "bridge": "eth0"}]}, "/spec/networks/0/bridge", "only lo nobridge0")
        assert interfaces() == before and children(agent) == []


def share_is_shown(agent, path):
    """A VM that runs has a virtiofsd, which sees the directory as its root and nothing else; both end together."""
    if not any(os.access(f"{folder}/virtiofsd", os.X_OK) for folder in ("/usr/libexec", "/usr/lib/qemu")):
        print("    virtiofsd is not installed: only what is refused was tried", flush=True)
        return
    os.mkdir(path)
    with open(f"{path}/shown", "w", encoding="ascii"):
        pass
    agent.make_vm("in", no_network=True, shares=[{"name": "s", "path": path}])
    answer = agent.rest("POST", "/v1/vms/in:start?wait=60s")
    assert answer.status == 200 and answer.json["state"] == "SUCCEEDED", answer

    def roots():
        """Of its processes: the first makes another, which is the one that serves."""
        for pid in (entry for entry in os.listdir("/proc") if entry.isdigit()):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                    if f.read().strip() == "virtiofsd":
                        yield os.listdir(f"/proc/{pid}/root")
    assert [name for _, name in children(agent)] == ["virtiofsd"], children(agent)
    agent.until(lambda: ["shown"] in roots(), "a virtiofsd with the directory as its root")
    answer = agent.rest("POST", "/v1/vms/in:stop?wait=60s", {"force": True})
    assert answer.status == 200 and children(agent) == [], (answer, children(agent))


def test_directories(_agent):
    """A path as it is written, and where it leads to."""
    with agent_with(shares="/nowhere/allowed") as agent:
        refused(agent, {"shares": [{"name": "s", "path": "/nowhere/allowed2"}]}, "/spec/shares/0/path", "is not allowed")
        agent.make_vm("missing", no_network=True, shares=[{"name": "s", "path": "/nowhere/allowed/x"}])
        answer = agent.rest("POST", "/v1/vms/missing:start?wait=60s")
        assert answer.status == 409 and answer.field() == "/spec/shares/0" and "No such file" in answer.json["detail"], answer
    allowed = tempfile.mkdtemp(prefix="croft-share-")
    os.symlink("/etc", f"{allowed}/out")
    with open(f"{allowed}/file", "w", encoding="ascii"):
        pass
    with agent_with(shares=allowed) as agent:
        for name, says in (("out", "/etc is not allowed"), ("file", "is no directory")):
            agent.make_vm(name, no_network=True, shares=[{"name": "s", "path": f"{allowed}/{name}"}])
            answer = agent.rest("POST", f"/v1/vms/{name}:start?wait=60s")
            assert answer.status == 409 and answer.field() == "/spec/shares/0" and says in answer.json["detail"], answer
        share_is_shown(agent, f"{allowed}/in")
    shutil.rmtree(allowed)


@contextlib.contextmanager
def loop_device(path):
    with open(path, "wb") as f:
        f.truncate(MIB)
    made = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, check=False, text=True)
    if made.returncode:
        raise Skip(f"losetup: {made.stderr.strip()}")
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


def test_block_devices(_agent):
    with agent_with(**{"block-devices": "/dev/loop* /dev/null"}) as agent:
        field = "/spec/disks/0/block_device"

        def disk(path, **more):
            return {"no_network": True, "disks": [{"name": "b", "block_device": path, **more}]}
        refused(agent, disk("/dev/zero"), field, "is not allowed")
        refused(agent, disk("/dev/null"), field, "no block device")
        link = f"/dev/shm/croft-test-{os.getpid()}"
        os.symlink("/dev/zero", link)
        try:
            refused(agent, disk(link), field, "/dev/zero")
        finally:
            os.remove(link)
        agent.make_vm("absent", **disk("/dev/loop4095"))
        answer = agent.rest("POST", "/v1/vms/absent:start?wait=60s")
        assert answer.status == 503 and answer.field() == field, answer
        with loop_device(f"{agent.tmp.name}/back") as path:
            agent.run_vm("one", **disk(path))
            os.symlink(path, link)
            try:
                agent.make_vm("two", **disk(link, read_only=True))
                answer = agent.rest("POST", "/v1/vms/two:start?wait=60s")
                assert answer.status == 409 and answer.field() == field and '"one"' in answer.json["detail"], answer
                agent.drop_vm("one")
                # In use by the host: as O_EXCL tells.
                holder = os.open(path, os.O_RDWR | os.O_EXCL)
                agent.make_vm("three", **disk(path))
                answer = agent.rest("POST", "/v1/vms/three:start?wait=60s")
                assert answer.status == 409 and "busy" in answer.json["detail"], answer
                assert agent.rest("POST", "/v1/vms/two:start?wait=60s").status == 200, "it only reads"
                os.close(holder)
                agent.drop_vm("two")
            finally:
                os.remove(link)
        assert os.path.getsize(f"{agent.tmp.name}/back") == MIB


def test_waits_have_a_limit(agent):
    agent.make_vm("waits")
    for target in ("/v1/vms/waits/console?wait=30.5s", "/v1/events?wait=31s", "/v1/vms/waits/console?wait=-1s"):
        answer = agent.rest("GET", target)
        assert answer.status == 400 and answer.field() == "/wait", answer
    for name, request, field in (("Vms/ReadConsole", MESSAGES.ReadConsoleRequest(name="waits", wait={"seconds": 31}), "/wait"),
                                 ("Vms/ReadConsole", MESSAGES.ReadConsoleRequest(name="waits", wait={"nanos": 10**9}), "/wait"),
                                 ("Events/ReadEvents", MESSAGES.ReadEventsRequest(wait={"seconds": 31}), "/wait"),
                                 ("Operations/WaitOperation", MESSAGES.WaitOperationRequest(name="op-1", timeout={"seconds": 301}), "/timeout"),
                                 ("Operations/WaitOperation", MESSAGES.WaitOperationRequest(name="op-1", timeout={"seconds": -1}), "/timeout")):
        try:
            agent.rpc(name, request)
            raise AssertionError(name)
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.INVALID_ARGUMENT and e.details().startswith(field + ":"), e
    agent.drop_vm("waits")


# ---- croftctl ---------------------------------------------------------------------------------

def test_croftctl(agent):
    path = f"{agent.tmp.name}/overlay.dtbo"
    with open(path, "wb") as f:
        f.write(overlay("fragment@0"))
    ctl(agent, "vm", "create", "dev", "--image=tiny", "--memory=64M", "--disk=d,size=1M,serial=S1,queues=2,limit=1M,iops=9",
        "--disk=root,image=root,ro", "--net=a,user,mac=52:54:00:aa:00:01,down,receive=1M", "--net=b,transmit=2M",
        "--port=log", "--vsock=socket", f"--overlay={path}", "--huge-pages")
    spec = vm_of(agent, "dev")["spec"]
    assert spec["disks"] == [{"name": "d", "size_bytes": MIB, "serial": "S1", "queues": 2,
                              "limit": {"bytes_per_second": MIB, "operations_per_second": 9}},
                             {"name": "root", "image_disk": "root", "read_only": True}], spec
    assert spec["networks"] == [{"name": "a", "kind": "user", "mac": "52:54:00:aa:00:01", "link_down": True,
                                 "receive": {"bytes_per_second": MIB}}, {"name": "b", "transmit": {"bytes_per_second": 2 * MIB}}]
    assert spec["ports"] == ["log"] and spec["vsock"] == {"transport": "socket"} and spec["huge_pages"] is True, spec
    assert base64.b64decode(spec["device_tree_overlay"]) == overlay("fragment@0")
    ctl(agent, "vm", "disk", "dev", "d", "--size=2M", "--limit=0")
    ctl(agent, "vm", "net", "dev", "a", "--up", "--transmit=5M")
    spec = vm_of(agent, "dev")["spec"]
    assert spec["disks"][0]["size_bytes"] == 2 * MIB and spec["disks"][0]["limit"] == {"operations_per_second": 9}, spec
    assert not spec["networks"][0].get("link_down") and spec["networks"][0]["transmit"] == {"bytes_per_second": 5 * MIB}
    for wrong in (("vm", "net", "dev", "a", "--colour=red"), ("vm", "disk", "dev", "d"), ("vm", "net", "dev", "a", "--up=1"),
                  ("vm", "create", "x", "--image=tiny", "--net=a,wifi"), ("vm", "create", "x", "--disk=a,size=big")):
        ctl(agent, *wrong, status=2)
    assert "none named z" in ctl(agent, "vm", "net", "dev", "z", "--up", status=1)
    ctl(agent, "vm", "set", "dev", "--no-network", "--net=q", status=1)
    agent.drop_vm("dev")
    agent.run_vm("devport", no_network=True, ports=["log"])
    assert ctl(agent, "vm", "console", "devport", "--port=log") == ""
    assert "no port" in ctl(agent, "vm", "console", "devport", "--port=none", status=1)
    agent.drop_vm("devport")
