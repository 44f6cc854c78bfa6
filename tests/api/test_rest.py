# SPDX-License-Identifier: Apache-2.0
"""Every route of REST, used as it is meant to be."""

import os
import signal
import socket
import subprocess

from harness import MIB, check_answer, split_answer


def test_health_and_version(agent):
    for unix in (False, True):
        assert agent.rest("GET", "/livez", unix=unix).json["ok"]
        ready = agent.rest("GET", "/readyz", unix=unix)
        assert ready.status == 200 and ready.json == {"ok": True}, ready
        checks = agent.rest("GET", "/readyz?verbose", unix=unix).json["checks"]
        assert {"store", "hypervisor", "images"} <= {c["name"] for c in checks} and all(c["ok"] for c in checks)
        assert agent.rest("GET", "/readyz?verbose=false", unix=unix).json == {"ok": True}
        assert agent.rest("GET", "/version", unix=unix).json["api_version"] == "v1"


def test_node(agent):
    node = agent.rest("GET", "/v1/node").json
    assert node["name"] == socket.gethostname() and node["boot_time"].endswith("Z"), node
    status = node["status"]
    assert status["hypervisor"] == "fake" and status["cpus"] == os.cpu_count(), node
    assert status["memory_total_bytes"] > status["memory_available_bytes"] > 0, node


def test_image_life(agent):
    body = {"name": "second", "labels": {"os": "none"}, "spec": {"manifest_url": agent.images.url("manifest.json")}}
    answer = agent.rest("POST", "/v1/images", body)
    assert answer.status == 202 and answer.headers["location"] == f"/v1/operations/{answer.json['name']}", answer
    done = agent.rest("GET", f"{answer.headers['location']}?wait=60s").json
    assert done["state"] == "SUCCEEDED" and done["target"] == "images/second", done
    image = agent.rest("GET", "/v1/images/second")
    assert image.headers["etag"] == f'"{image.json["revision"]}"', image
    assert image.json["status"]["state"] == "READY" and image.json["labels"] == {"os": "none"}, image
    assert image.json["status"]["kernel"]["size"] == 4096, image
    assert "second" in [i["name"] for i in agent.rest("GET", "/v1/images").json["images"]]
    again = agent.rest("POST", "/v1/images", body)
    assert again.status == 409 and again.json["code"] == "ALREADY_EXISTS", again
    gone = agent.rest("DELETE", "/v1/images/second")
    assert gone.status == 200 and gone.json["name"] == "second", gone
    assert agent.rest("GET", "/v1/images/second").status == 404


def test_image_in_use(agent):
    agent.make_vm("user")
    answer = agent.rest("DELETE", "/v1/images/tiny")
    assert answer.status == 409 and answer.json["code"] == "CONFLICT", answer
    agent.drop_vm("user")


def test_failed_operation_is_a_problem(agent):
    body = {"name": "nowhere", "spec": {"manifest_url": agent.images.url("missing.json")}}
    answer = agent.rest("POST", "/v1/images?wait=60s", body)
    assert answer.status >= 400 and "404" in answer.json["detail"], answer
    status = agent.rest("GET", "/v1/images/nowhere").json["status"]
    assert status["state"] == "FAILED" and status["message"], status
    assert agent.rest("DELETE", "/v1/images/nowhere").status == 200


def test_vm_life(agent):
    answer = agent.make_vm("life", vcpus=2, disks=[{"name": "root", "image_disk": "root"},
                                                    {"name": "data", "size_bytes": MIB}])
    assert answer.headers["location"] == "/v1/vms/life" and answer.json["status"] == {"state": "DEFINED"}, answer
    assert answer.json["spec"]["disks"][1] == {"name": "data", "size_bytes": MIB}, answer
    assert agent.rest("POST", "/v1/vms", {"name": "life", "spec": answer.json["spec"]}).status == 409
    assert agent.rest("GET", "/v1/vms/life/stats").json["code"] == "CONFLICT"
    assert agent.rest("POST", "/v1/vms/life:stop", {"force": True}).status == 409

    started = agent.rest("POST", "/v1/vms/life:start")
    assert started.status == 202 and started.json["verb"] == "start", started
    done = agent.rest("GET", f"{started.headers['location']}?wait=60s").json
    assert done["state"] == "SUCCEEDED" and done["target"] == "vms/life" and done["end_time"], done
    vm = agent.rest("GET", "/v1/vms/life")
    assert vm.json["status"]["state"] == "RUNNING" and vm.json["status"]["starts"] == 1, vm
    assert vm.headers["etag"] == f'"{vm.json["revision"]}"' and vm.json["revision"] > answer.json["revision"], vm
    assert agent.rest("POST", "/v1/vms/life:start", {}).status == 409
    assert agent.rest("DELETE", "/v1/vms/life").status == 409

    stats = agent.rest("GET", "/v1/vms/life/stats").json
    assert len(stats["vcpus"]) == 2 and len(stats["disks"]) == 2, stats
    assert stats["memory_configured_bytes"] == 64 * MIB and "vcpus.run_seconds" in stats["measured"], stats

    stopped = agent.rest("POST", "/v1/vms/life:stop?wait=60s", {"force": True})
    assert stopped.status == 200 and stopped.json["state"] == "SUCCEEDED", stopped
    status = agent.rest("GET", "/v1/vms/life").json["status"]
    assert status["state"] == "STOPPED" and status["exit_reason"] == "force_stopped" and status["exit_time"], status
    assert agent.rest("DELETE", "/v1/vms/life").json["name"] == "life"
    assert agent.rest("GET", "/v1/vms/life").status == 404
    assert agent.rest("GET", "/v1/vms/life/console").status == 404


def test_guest_is_asked_to_stop(agent):
    agent.run_vm("asked")
    agent.until(lambda: b"echoed" in agent.rest("GET", "/v1/vms/asked/console").body, "the banner")
    answer = agent.rest("POST", "/v1/vms/asked:stop?wait=60s")
    assert answer.status == 200 and answer.json["state"] == "SUCCEEDED", answer
    status = agent.rest("GET", "/v1/vms/asked").json["status"]
    assert status["state"] == "STOPPED" and status["exit_reason"] == "guest_poweroff", status
    agent.drop_vm("asked")


def test_guest_that_ignores_is_forced(agent):
    agent.run_vm("deaf", "spin")
    asked = agent.rest("POST", "/v1/vms/deaf:stop", {"deadline": "600s"})
    assert asked.status == 202 and "waiting for the guest" in asked.json["step"], asked
    assert agent.rest("GET", "/v1/vms/deaf").json["status"]["state"] == "STOPPING"
    cancelled = agent.rest("POST", f"{asked.headers['location']}:cancel")
    assert cancelled.status == 200 and cancelled.json["state"] == "CANCELLED", cancelled
    assert agent.rest("GET", "/v1/vms/deaf").json["status"]["state"] == "RUNNING"
    assert agent.rest("POST", "/v1/vms/deaf:stop?wait=60s", {"deadline": "0.2s"}).status == 200
    assert agent.rest("GET", "/v1/vms/deaf").json["status"]["exit_reason"] == "force_stopped"
    agent.drop_vm("deaf")


def test_ends_of_guests(agent):
    for test, reason, state in (("poweroff", "guest_poweroff", "STOPPED"), ("reboot", "guest_reset", "STOPPED"),
                                ("broken", "vmm_crash", "FAILED")):
        agent.run_vm(test, test)
        agent.until(lambda name=test: agent.rest("GET", f"/v1/vms/{name}").json["status"]["state"] != "RUNNING",
                    "the end")
        status = agent.rest("GET", f"/v1/vms/{test}").json["status"]
        assert (status["exit_reason"], status["state"]) == (reason, state), status
        agent.drop_vm(test)


def test_console(agent):
    agent.run_vm("text", "poweroff")
    follow = agent.rest("GET", "/v1/vms/text/console?follow=true")
    assert follow.headers["transfer-encoding"] == "chunked", follow
    text = b"croft-guest: ready, test poweroff\n"
    whole = agent.rest("GET", "/v1/vms/text/console")
    assert whole.body == text and whole.headers["croft-console-offset"] == "0", whole
    assert whole.headers["croft-console-next-offset"] == str(len(text)), whole
    part = agent.rest("GET", "/v1/vms/text/console?offset=13&max_bytes=5")
    assert part.body == b"ready" and part.headers["croft-console-next-offset"] == "18", part
    behind = agent.rest("GET", f"/v1/vms/text/console?offset={len(text)}&follow")
    assert behind.status == 200 and not behind.body.rstrip(b"0\r\n"), behind
    agent.drop_vm("text")


def test_console_follow_is_whole(agent):
    agent.run_vm("whole", "poweroff")
    done = subprocess.run(["curl", "-sSN", "-m", "60", agent.url("/v1/vms/whole/console?follow=true")],
                          capture_output=True, check=True)
    assert done.stdout == b"croft-guest: ready, test poweroff\n", done.stdout
    agent.drop_vm("whole")


def test_console_input(agent):
    agent.run_vm("echo")
    for n in (1, 100, 1000):
        answer = agent.curl("POST", "/v1/vms/echo/console", "--data-binary", "x" * n)
        assert answer.status == 200 and 0 < answer.json["accepted_bytes"] <= n, answer
    binary = f"{agent.tmp.name}/binary"
    with open(binary, "wb") as f:
        f.write(bytes(range(1, 256)))
    assert agent.curl("POST", "/v1/vms/echo/console", "--data-binary", f"@{binary}").status == 200
    agent.until(lambda: b"x" * 50 in agent.rest("GET", "/v1/vms/echo/console").body, "the echo")
    agent.drop_vm("echo")
    agent.make_vm("echo")
    answer = agent.curl("POST", "/v1/vms/echo/console", "--data-binary", "x")
    assert answer.status == 409, answer
    agent.drop_vm("echo")


def test_pages(agent):
    names = [f"page-{i}" for i in range(5)]
    for name in names:
        agent.make_vm(name)
    for size, pages in ((1, 5), (2, 3), (5, 1), (1000, 1)):
        seen, token, count = [], "", 0
        while True:
            query = f"?page_size={size}" + (f"&page_token={token}" if token else "")
            page = agent.rest("GET", f"/v1/vms{query}").json
            seen += [vm["name"] for vm in page.get("vms", []) if vm["name"].startswith("page-")]
            count += 1
            token = page.get("next_page_token")
            if not token:
                break
        assert seen == names and count == pages, (size, seen, count)
    for name in names:
        agent.drop_vm(name)


def test_operations(agent):
    agent.run_vm("op")
    body = {"name": "stalled", "spec": {"manifest_url": agent.images.url("stall")}}
    pull = agent.rest("POST", "/v1/images", body).json
    listed = agent.rest("GET", "/v1/operations?page_size=1000").json["operations"]
    assert {"verb": "start", "target": "vms/op"}.items() <= [o for o in listed if o["target"] == "vms/op"][0].items()
    assert [o for o in listed if o["name"] == pull["name"]][0]["state"] in ("PENDING", "RUNNING")
    not_yet = agent.rest("POST", "/v1/images?wait=0.2s", {**body, "name": "stalled-too"})
    assert not_yet.status == 202 and not_yet.headers["location"], not_yet
    short = agent.rest("GET", f"/v1/operations/{pull['name']}?wait=0.2s")
    assert short.json["state"] in ("PENDING", "RUNNING"), short
    for name in (pull["name"], not_yet.json["name"]):
        assert agent.rest("POST", f"/v1/operations/{name}:cancel").status == 200
        done = agent.rest("GET", f"/v1/operations/{name}?wait=60s").json
        assert done["state"] == "CANCELLED" and done["error"]["code"] == "CANCELLED", done
        again = agent.rest("POST", f"/v1/operations/{name}:cancel", {})
        assert again.status == 409, again
    for name in ("stalled", "stalled-too"):
        assert agent.rest("DELETE", f"/v1/images/{name}").status == 200
    agent.drop_vm("op")


def test_actor(agent):
    actors = {}
    for unix in (False, True):
        agent.make_vm("actor")
        agent.rest("POST", "/v1/vms/actor:start?wait=60s", unix=unix)
        operations = agent.rest("GET", "/v1/operations?page_size=1000").json["operations"]
        actors[unix] = [o for o in operations if o["target"] == "vms/actor"][-1]["actor"]
        agent.drop_vm("actor")
    assert actors == {False: "tcp:127.0.0.1", True: f"uid:{os.getuid()}"}, actors


def test_if_match(agent):
    agent.make_vm("match")
    etag = agent.rest("GET", "/v1/vms/match").headers["etag"]
    for tag in ('"999999"', 'W/"1"', '"abc"', "garbage", '"0"', '"-1"', '"99999999999999999999999"'):
        answer = agent.rest("DELETE", "/v1/vms/match", headers=[f"If-Match: {tag}"])
        assert answer.status == 412 and answer.json["code"] == "PRECONDITION", (tag, answer)
    answer = agent.rest("POST", "/v1/vms/match:start?wait=60s", headers=[f"If-Match: {etag}"])
    assert answer.status == 200, answer
    answer = agent.rest("POST", "/v1/vms/match:stop", {"force": True}, headers=[f"If-Match: {etag}"])
    assert answer.status == 412, answer
    answer = agent.rest("POST", "/v1/vms/match:stop?wait=60s", {"force": True}, headers=["If-Match: *"])
    assert answer.status == 200, answer
    etag = agent.rest("GET", "/v1/vms/match").headers["etag"]
    assert agent.rest("DELETE", "/v1/vms/match", headers=[f"If-Match: {etag}"]).status == 200


def test_head(agent):
    agent.make_vm("head")
    for target in ("/livez", "/version", "/v1/node", "/v1/vms", "/v1/vms/head", "/v1/vms/head/console?follow"):
        answer = agent.rest("HEAD", target)
        assert answer.status == 200 and not answer.body, (target, answer)
    assert agent.rest("HEAD", "/v1/vms/nobody").status == 404
    assert int(agent.rest("HEAD", "/v1/vms/head").headers["content-length"]) > 10
    agent.drop_vm("head")


def test_names_may_be_escaped(agent):
    agent.make_vm("escaped")
    assert agent.rest("GET", "/v1/vms/%65scaped").json["name"] == "escaped"
    agent.drop_vm("escaped")


def test_keep_alive_and_pipelining(agent):
    one = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    out = agent.raw(one * 20 + last)
    assert out.count(b"HTTP/1.1 200 OK") == 21 and out.endswith(b'{"ok":true}\n'), out[-200:]


def test_client_that_shuts_its_side(agent):
    out = agent.raw(b"GET /v1/node HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", shut=True)
    answer = split_answer(out)
    check_answer("GET", "/v1/node", answer)
    assert answer.status == 200, answer


def test_http_1_0(agent):
    agent.run_vm("old", "poweroff")
    out = agent.raw(b"GET /v1/vms/old/console?follow=true HTTP/1.0\r\n\r\n")
    assert out.endswith(b"\r\n\r\ncroft-guest: ready, test poweroff\n") and b"chunked" not in out, out
    agent.drop_vm("old")


def test_socket_file(agent):
    mode = os.stat(agent.socket).st_mode & 0o777
    assert mode == 0o600, oct(mode)


def test_second_agent_is_refused(agent):
    """It must not take the first one's socket or ports away."""
    other = f"{agent.tmp.name}/other"
    cases = (({"state-dir": other, "listen-tcp": "", "listen-grpc": ""}, agent.socket),
             ({"state-dir": other, "listen-unix": f"{other}.sock", "listen-grpc": ""}, str(agent.rest_port)),
             ({"state-dir": other, "listen-unix": f"{other}.sock", "listen-tcp": ""}, str(agent.grpc_port)))
    for options, name in cases:
        command = [c for c in agent.command(**options) if not c.endswith("=")]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
        assert done.returncode == 1 and name in done.stderr, (options, done)
    assert agent.rest("GET", "/livez", unix=True).status == 200


def test_stale_socket_is_replaced(agent):
    path = f"{agent.tmp.name}/stale.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    options = {"state-dir": f"{agent.tmp.name}/stale", "listen-unix": path}
    command = [c for c in agent.command(**options) if "listen-tcp" not in c and "listen-grpc" not in c]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert any("is ready" in line for line in iter(process.stderr.readline, ""))
        done = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://x/livez"], capture_output=True, check=True)
        assert done.stdout == b'{"ok":true}\n', done
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        process.stderr.close()
    assert process.wait(60) == 0 and not os.path.exists(path)
