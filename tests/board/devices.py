# SPDX-License-Identifier: Apache-2.0
"""The devices of a VM through the API, seen from inside of the guest: run's tests of them."""

import base64
import hashlib
import json
import struct

import board

MIB = 1 << 20
TYPED = {"Content-Type": "application/octet-stream"}


def overlay(name, compatible):
    """A flattened overlay (devicetree specification, chapter 5) that adds a node to the root."""
    strings = b"target-path\0compatible\0"

    def prop(offset, value):
        return struct.pack(">III", 3, len(value), offset) + value + bytes(-len(value) % 4)

    def node(text, inner):
        text = text.encode() + b"\0"
        return struct.pack(">I", 1) + text + bytes(-len(text) % 4) + inner + struct.pack(">I", 2)
    added = node("__overlay__", node(name, prop(12, compatible.encode() + b"\0")))
    body = node("", node("fragment@0", prop(0, b"/\0") + added)) + struct.pack(">I", 9)
    end = 56 + len(body)
    return struct.pack(">10I", 0xd00dfeed, end + len(strings), 56, end, 40, 17, 16, 0, len(strings), len(body)) + \
        bytes(16) + body + strings


class Guest:
    """A running VM's shell."""

    def __init__(self, g, name):
        self.g, self.name = g, name

    def type(self, text, port=""):
        answer = self.g.request("POST", f"/v1/vms/{self.name}/console?port={port}", text.encode(), headers=TYPED)
        assert answer.status == 200 and answer.json.get("accepted_bytes") == len(text), answer

    def do(self, command, expected):
        """Types a command; `expected` must not be what the terminal echoes of it."""
        self.type(f"{command}\n")
        return self.g.wait_console(self.name, expected.encode())

    def patch(self, spec):
        answer = self.g.request("PATCH", f"/v1/vms/{self.name}", json.dumps({"spec": spec}),
                                headers={"Content-Type": "application/merge-patch+json"})
        assert answer.status == 200 and "pending" not in answer.json["status"], answer
        return answer.json


def check_disks(guest, disks):
    guest.do("echo serial=$(cat /sys/block/vdb/serial)=", "serial=S-42=")
    disks[1].update(size_bytes=8 * MIB, limit={"bytes_per_second": 4 * MIB})
    guest.patch({"disks": disks})
    guest.do("until [ $(cat /sys/block/vdb/size) = 16384 ]; do sleep 0.1; done; echo grown-$((1 + 1))", "grown-2")
    guest.do("dd if=/dev/zero of=/dev/vdb bs=1M count=8 conv=fsync && echo filled-$((1 + 1))", "filled-2")


def check_network(guest, networks, interface):
    guest.do("ping -c 2 -W 10 192.168.78.1 >/dev/null && echo ping-$((1 + 1))", "ping-2")
    carrier = "until [ $(cat /sys/class/net/eth0/carrier) = %d ]; do sleep 0.1; done; echo carrier-$((%d))-seen"
    networks[0].update(link_down=True)
    status = guest.patch({"networks": networks})["status"]["networks"][0]
    assert not status.get("link_up") and status["host_interface"] == interface, status
    guest.do(carrier % (0, 0), "carrier-0-seen")
    networks[0].update(link_down=False, receive={"bytes_per_second": MIB}, transmit={"operations_per_second": 1000})
    status = guest.patch({"networks": networks})["status"]["networks"][0]
    assert status["link_up"] and not status.get("offloaded"), status
    guest.do(carrier % (1, 1), "carrier-1-seen")
    guest.do("ping -c 2 -W 10 192.168.78.1 >/dev/null && echo again-$((1 + 1))", "again-2")


def check_port(g, guest):
    guest.do("for p in /sys/class/virtio-ports/*; do [ $(cat $p/name) = log ] && port=/dev/${p##*/}; done; "
             "exec 3<>$port; echo from-$((1 + 1))-guest >&3; echo sent-$((1 + 1))", "sent-2")
    answer = g.request("GET", f"/v1/vms/{guest.name}/console?port=log&wait=30s")
    assert answer.raw == b"from-2-guest\n", answer
    guest.type("read line <&3; echo got-$line\n")
    guest.type("from-host\n", port="log")
    g.wait_console(guest.name, b"got-from-host")


def all_at_once(g):
    """Disk with serial number and live growth, tap with link and limits, port, terminal size and overlay, on one guest."""
    disks = [{"name": "root", "image_disk": "root"}, {"name": "data", "size_bytes": 4 * MIB, "serial": "S-42", "queues": 1}]
    networks = [{"name": "lan", "kind": "tap", "any_source": True}]
    text = base64.b64encode(overlay("croft-test", "croft,over")).decode()
    g.create("devices", disks=disks, networks=networks, ports=["log"], device_tree_overlay=text,
             cmdline_append="croft.address=192.168.78.2/24")
    g.start("devices")
    network = g.status("devices")["networks"][0]
    interface = network["host_interface"]
    assert network["offloaded"] and interface.startswith("croft"), network
    g.board.run(f"ip addr add 192.168.78.1/24 dev {interface}")
    g.wait_console("devices", b"/ # ")
    guest = Guest(g, "devices")
    guest.do("echo $(cat /sys/firmware/devicetree/base/croft-test/compatible | tr , -)-merged", "croft-over-merged")
    check_disks(guest, disks)
    check_network(guest, networks, interface)
    check_port(g, guest)
    answer = g.request("POST", "/v1/vms/devices/console?columns=132&rows=43", b"", headers=TYPED)
    assert answer.status == 200, answer
    guest.do("until stty size </dev/hvc0 | grep 132; do sleep 0.1; done", "43 132")
    g.stop("devices")
    board.until(lambda: interface not in g.board.run("ip -o link"), "the tap is still there")
    g.delete("devices")


def without_set_up(g):
    """A VM that says nothing of networks has an address by DHCP, pings and fetches; its passt ends with it."""
    with open(f"{g.web}/manifest.json", "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    g.create("net0", no_network=False, cmdline_append="croft.ping=10.0.2.2 croft.fetch=" + g.images.url("manifest.json"))
    g.start("net0")
    assert g.status("net0")["networks"][0]["kind"] == "user"
    console = g.wait_console("net0", b"/ # ").decode(errors="replace")
    assert "ping 10.0.2.2: answered" in console and f"fetch: {digest}" in console, console
    g.stop("net0")
    board.until(lambda: "passt" not in g.board.run("ps"), "passt has not ended")
    g.delete("net0")


def vsock(g):
    """Sockets between guest and host, both ways, by the paths and context ids that the API tells."""
    for transport in ("socket", "kernel"):
        g.create("vsock", vsock={"cid": 42, "transport": transport}, cmdline_append="croft.test=vsock")
        g.start("vsock")
        status = g.status("vsock")
        assert status["vsock_cid"] == 42 and ("vsock_path" in status) == (transport == "socket"), status
        g.board.run(f"vsock-host {status.get('vsock_path', 'vhost')} 42 >/tmp/vsock-api.log 2>&1 &")
        g.wait_state("vsock", "STOPPED")
        console, log = g.console("vsock"), g.board.run("cat /tmp/vsock-api.log")
        assert b"vsock: the host says hello guest" in console and b"echoed 1000000 bytes" in console, (console, log)
        assert "heard hello host" in log and "1000000 bytes came back" in log, log
        g.delete("vsock")
    # What is left is what the host's program has made.
    assert g.board.run("ls /run/croft/vsock").split() == ["vsock_1234"]
    g.board.run("rm /run/croft/vsock/vsock_1234 /tmp/vsock-api.log")
