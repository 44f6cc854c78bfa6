# SPDX-License-Identifier: Apache-2.0
"""croftctl: every command, what it prints, and its exit status."""

import json
import os
import signal
import subprocess

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


def test_wrong_usage(agent):
    for args in ((), ("fly",), ("vm",), ("vm", "fly"), ("vm", "get"), ("vm", "get", "a", "b"), ("vm", "list", "x"),
                 ("vm", "stop", "a", "--now"), ("vm", "create"), ("vm", "create", "--image=x"),
                 ("vm", "create", "a", "--colour=red"), ("vm", "create", "a", "--memory=lots"),
                 ("vm", "create", "a", "--memory=99999999999T"), ("vm", "create", "a", "--disk=a,size=x"),
                 ("vm", "create", "a", "--label=x"), ("image", "pull", "a"), ("operation", "wait", "a", "b"),
                 ("vm", "console", "a", "--offset=x"), ("node", "x"), ("doctor", "x"), ("-s",)):
        ctl(agent, *args, status=2)
    assert "/name: " in ctl(agent, "vm", "create", "BAD", "--image=tiny", status=1)


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
    follower = subprocess.Popen([program("croftctl"), "-s", agent.socket, "vm", "console", "cli-int", "-f"],
                                stdout=subprocess.PIPE)
    agent.curl("POST", "/v1/vms/cli-int/console", "--data-binary", "x")
    assert follower.stdout.read(1)
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=60)
    assert follower.returncode == -signal.SIGINT
    agent.drop_vm("cli-int")
