# SPDX-License-Identifier: Apache-2.0
"""Every route of REST, used as it is meant to be."""

import json
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


def test_longest_command_lines(agent):
    """What is accepted also starts; the image's own line is known at the start only."""
    image = len(agent.images.manifest["cmdline"])
    for spec, status in (({"cmdline": "x" * 2047, "cmdline_append": ""}, 200), ({"cmdline": "x", "cmdline_append": "y" * 2045}, 200),
                         ({"cmdline_append": "y" * (2046 - image)}, 200), ({"cmdline_append": "y" * (2047 - image)}, 409)):
        agent.make_vm("long", **spec)
        answer = agent.rest("POST", "/v1/vms/long:start?wait=60s")
        assert answer.status == status, answer
        assert status == 200 or "2048 bytes together: at most 2047" in answer.json["detail"], answer
        agent.drop_vm("long")


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
        agent.until(lambda name=test: agent.rest("GET", f"/v1/vms/{name}").json["status"]["state"] in ("STOPPED", "FAILED"),
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
    assert actors == {False: "tcp", True: f"uid:{os.getuid()}"}, actors


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


MERGE = "Content-Type: application/merge-patch+json"


def patch(agent, target, body, *headers, kind=MERGE):
    args = [a for h in headers for a in ("-H", h)]
    return agent.curl("PATCH", target, "-H", kind, *args, "--data-binary", body)


def test_patch(agent):
    vm = agent.make_vm("patched")
    etag = vm.headers["etag"]
    answer = patch(agent, "/v1/vms/patched", '{"labels":{"tier":"test","a.b":"c"},"spec":{"vcpus":2}}', f"If-Match: {etag}")
    assert answer.status == 200 and answer.json["labels"] == {"tier": "test", "a.b": "c"}, answer
    assert answer.json["spec"]["vcpus"] == 2 and answer.json["spec"]["image"] == "tiny", answer
    assert answer.headers["etag"] == f'"{answer.json["revision"]}"' != etag, answer
    assert patch(agent, "/v1/vms/patched", '{"labels":{"x":"y"}}', f"If-Match: {etag}").status == 412
    # null clears, one key of a map or all; the name may be repeated; plain JSON is taken, too.
    answer = patch(agent, "/v1/vms/patched", '{"name":"patched","labels":{"a.b":null},"spec":{"cmdline_append":null}}')
    assert answer.json["labels"] == {"tier": "test"} and "cmdline_append" not in answer.json["spec"], answer
    answer = patch(agent, "/v1/vms/patched", '{"labels":null}', kind="Content-Type: application/json; charset=utf-8")
    assert "labels" not in answer.json, answer
    disks = '[{"name":"a","size_bytes":1048576},{"name":"b","size_bytes":1048576}]'
    assert len(patch(agent, "/v1/vms/patched", '{"spec":{"disks":%s}}' % disks).json["spec"]["disks"]) == 2
    before = agent.rest("GET", "/v1/vms/patched")
    for body, field in (('{"spec":{"cpus":1}}', "/spec/cpus"), ('{"spec":{"vcpus":"1"}}', "/spec/vcpus"),
                        ('{"spec":5}', "/spec"), ('{"colour":null}', "/colour"), ('{"labels":{"a":1}}', "/labels/a"),
                        ('{"labels":{"a`b":"c"}}', "/labels/a`b"), ('{"labels":{"":"c"}}', "/labels/"), ('{"name":"other"}', "/name"),
                        ('{"spec":{"vcpus":1},"spec":{}}', "/spec"), ('{"spec":{"disks":[null]}}', "/spec/disks/0"),
                        ('{"status":null}', "/status"), ('{"uid":"x"}', "/uid"), ('{"status":{}}', "/status"), ("[]", None),
                        ("null", None), ("", None), ('{"spec":{"vcpus":99}}', "/spec/vcpus"),
                        ('{"labels":{"%s":"x"}}' % ("k" * 64), "/labels/" + "k" * 64)):
        answer = patch(agent, "/v1/vms/patched", body)
        assert answer.status == 400 and answer.field() == field, (body, answer)
    for nothing in ("{}", '{"spec":{}}', '{"labels":{}}', '{"name":"patched"}'):
        answer = patch(agent, "/v1/vms/patched", nothing)
        assert answer.status == 200 and answer.body == before.body, (nothing, answer)
    for kind in ("application/json-patch+json", "text/plain", "application/merge-patch"):
        answer = patch(agent, "/v1/vms/patched", "{}", kind=f"Content-Type: {kind}")
        assert answer.status == 415 and "merge-patch+json" in answer.headers["accept-patch"], (kind, answer)
    assert agent.rest("GET", "/v1/vms/patched").body == before.body, "a refused patch changed something"
    assert patch(agent, "/v1/vms/nobody", '{"labels":{"a":"b"}}').status == 404
    agent.drop_vm("patched")


def test_put(agent):
    agent.make_vm("whole", disks=[{"name": "data", "size_bytes": MIB}])
    vm = agent.rest("GET", "/v1/vms/whole")
    # What was read can be sent back: what is output only is passed over.
    same = agent.rest("PUT", "/v1/vms/whole", vm.json, headers=[f"If-Match: {vm.headers['etag']}"])
    assert same.status == 200 and same.json["spec"] == vm.json["spec"] and "location" not in same.headers, same
    body = {"labels": {"a": "b"}, "spec": {"vcpus": 3, "memory_bytes": 128 * MIB, "image": "tiny"}}
    answer = agent.rest("PUT", "/v1/vms/whole", body)
    assert answer.status == 200 and answer.json["labels"] == {"a": "b"} and answer.json["spec"] == body["spec"], answer
    assert "labels" not in agent.rest("PUT", "/v1/vms/whole", {"spec": body["spec"]}).json
    assert agent.rest("PUT", "/v1/vms/whole", {**body, "name": "other"}).field() == "/name"
    assert agent.rest("PUT", "/v1/vms/whole", {"labels": {}}).status == 400, "a VM without a spec"
    assert agent.rest("PUT", "/v1/vms/whole", body, headers=['If-Match: "999999"']).status == 412
    assert agent.rest("PUT", "/v1/vms/nobody", body).status == 404
    agent.drop_vm("whole")


def test_patch_of_other_objects(agent):
    image = patch(agent, "/v1/images/tiny", '{"labels":{"os":"none"}}')
    assert image.status == 200 and image.json["labels"] == {"os": "none"}, image
    assert "labels" not in patch(agent, "/v1/images/tiny", '{"labels":null}').json
    assert patch(agent, "/v1/images/tiny", '{"spec":{"manifest_url":"http://x/"}}').status == 400
    node = patch(agent, "/v1/node", '{"labels":{"site":"a"}}')
    assert node.status == 200 and node.json["labels"] == {"site": "a"} and node.headers["etag"], node
    assert "labels" not in patch(agent, "/v1/node", '{"labels":null}', f"If-Match: {node.headers['etag']}").json
    config = agent.rest("GET", "/v1/config")
    changed = patch(agent, "/v1/config", '{"spec":{"start_timeout":"77s"}}', f"If-Match: {config.headers['etag']}")
    assert changed.json["spec"]["start_timeout"] == "77s" and changed.json["changed"] == ["start_timeout"], changed
    back = patch(agent, "/v1/config", '{"spec":{"start_timeout":null}}')
    assert back.json["spec"] == config.json["spec"] and "changed" not in back.json, back


def test_none_match(agent):
    agent.make_vm("cached")
    vm = agent.rest("GET", "/v1/vms/cached")
    etag = vm.headers["etag"]
    for tags in (etag, f"W/{etag}", f'"1", {etag}', "*"):
        for method in ("GET", "HEAD"):
            answer = agent.rest(method, "/v1/vms/cached", headers=[f"If-None-Match: {tags}"])
            assert answer.status == 304 and not answer.body and answer.headers["etag"] == etag, (tags, answer)
    for tags in ('"0"', '"999999"', "garbage", '""'):
        assert agent.rest("GET", "/v1/vms/cached", headers=[f"If-None-Match: {tags}"]).body == vm.body, tags
    assert agent.rest("GET", "/v1/vms/cached", headers=['If-Match: "999999"']).status == 412
    assert agent.rest("GET", "/v1/vms/cached", headers=[f"If-Match: {etag}"]).status == 200
    # A list has no tag, so there is nothing that it could match.
    assert agent.rest("GET", "/v1/vms", headers=[f"If-None-Match: {etag}"]).status == 200
    answer = agent.rest("DELETE", "/v1/vms/cached", headers=[f"If-None-Match: {etag}"])
    assert answer.status == 400 and answer.field() == "If-None-Match", answer
    agent.drop_vm("cached")


def test_dry_run(agent):
    body = {"name": "dry", "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny"}}
    assert agent.rest("POST", "/v1/vms?dry_run=true", body).status == 201
    assert agent.rest("GET", "/v1/vms/dry").status == 404
    agent.make_vm("dry")
    before = agent.rest("GET", "/v1/vms/dry").body
    assert patch(agent, "/v1/vms/dry?dry_run", '{"spec":{"vcpus":2}}').json["spec"]["vcpus"] == 2
    for query in ("?dry_run", "?dry_run=true&wait=60s"):
        started = agent.rest("POST", f"/v1/vms/dry:start{query}")
        assert started.status == 202 and "name" not in started.json and "location" not in started.headers, started
    assert agent.rest("DELETE", "/v1/vms/dry?dry_run=true").status == 200
    assert agent.rest("DELETE", "/v1/vms/dry?dry_run=perhaps").field() == "/dry_run"
    assert agent.rest("GET", "/v1/vms/dry").body == before, "a dry run changed something"
    assert agent.rest("GET", "/v1/vms/dry?dry_run").field() == "/dry_run"
    agent.drop_vm("dry")


def test_idempotency_key(agent):
    body = {"name": "once", "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny"}}
    first = agent.rest("POST", "/v1/vms", body, headers=["Idempotency-Key: rest key 1"])
    again = agent.rest("POST", "/v1/vms", body, headers=["Idempotency-Key: rest key 1"])
    assert first.status == again.status == 201 and first.body == again.body, (first, again)
    assert first.headers["etag"] == again.headers["etag"] and again.headers["location"] == "/v1/vms/once", again
    for key in ("", "x" * 129, "caf\u00e9"):
        answer = agent.rest("POST", "/v1/vms", body, headers=[f"Idempotency-Key: {key}" if key else "Idempotency-Key;"])
        assert answer.status == 400 and answer.field() == "Idempotency-Key", (key, answer)
    assert agent.rest("POST", "/v1/vms", body, headers=["Idempotency-Key: " + "x" * 128]).status == 409
    agent.drop_vm("once")


def test_verbs_of_what_has_no_name(agent):
    answer = agent.rest("POST", "/v1/node:cordon", {"reason": "cleaning"})
    assert answer.status == 200 and answer.json["cordoned"] and answer.json["cordon_reason"] == "cleaning", answer
    assert agent.rest("POST", "/v1/node:uncordon").json["cordoned"] is False
    assert agent.rest("POST", "/v1/node:fly").status == 404
    assert agent.rest("GET", "/v1/node:cordon").status == 405
    spec = {"spec": {"node_labels": {"a": "b"}}}
    assert agent.rest("POST", "/v1/desired:diff", spec).json["changes"], "nothing would be done"
    put = agent.rest("PUT", "/v1/desired?dry_run", {"spec": {"colour": 1}})
    assert put.status == 400 and put.field() == "/spec/colour", put


def test_head(agent):
    agent.make_vm("head")
    for target in ("/livez", "/version", "/v1/node", "/v1/vms", "/v1/vms/head", "/v1/vms/head/console?follow"):
        answer = agent.rest("HEAD", target)
        assert answer.status == 200 and not answer.body, (target, answer)
    assert agent.rest("HEAD", "/v1/vms/nobody").status == 404
    assert int(agent.rest("HEAD", "/v1/vms/head").headers["content-length"]) > 10
    agent.drop_vm("head")


def test_headers_and_parameters(agent):
    agent.make_vm("clean")
    vm, stream = "/v1/vms/clean", "Accept: text/event-stream"
    for target, headers, status, field in (
            (vm, ['If-Match: "1"', 'If-Match: "2"'], 400, "If-Match"),
            (vm, ['If-None-Match: "1"', 'If-None-Match: "2"'], 400, "If-None-Match"),
            (vm, ["Idempotency-Key: a", "Idempotency-Key: a"], 400, "Idempotency-Key"),
            ("/v1/events", [stream, "Last-Event-ID: 1", "Last-Event-ID: 2"], 400, "Last-Event-ID"),
            ("/v1/events", [stream, "Last-Event-ID: x"], 400, "Last-Event-ID"),
            ("/v1/vms?page_size=1&page_size=2", [], 400, "/page_size"),
            ("/v1/vms?page_size=1&page_size=1", [], 400, "/page_size"),
            ("/readyz?verbose&verbose", [], 400, "/verbose"),
            ("/v1/vms?page_token", [], 200, None),
            ("/v1/vms?filter=state=RUNNING", [], 200, None),
            ("/v1/vms?filter=colour=red", [], 400, "/filter"),
            ("/v1/vms?%70age_size=1", [], 200, None),
            (f"{vm}?" + "x" * 4000, [], 400, "/" + "x" * 94),
            ("/v1/vms/%zz", [], 400, None), ("/v1/vms/%", [], 400, None), ("/v1/vms?filter=%4", [], 400, None),
            ("/v1/vms?filter=%00", [], 400, None), ("/v1/vms/clea%6E", [], 200, None),
            (f"{vm}/stats?interval=1s", [], 400, "/interval"), ("/v1/events?wait=1s", [stream], 400, "/wait"),
            (f"{vm}/console?tail_bytes=5", [], 400, "/tail_bytes"),
            (f"{vm}/console?follow&tail_bytes=5&offset=1", [], 400, "/tail_bytes"),
            ("/v1/vms?" + "y" * 9000, [], 414, None), ("/" + "z" * 9000, [], 414, None),
            (vm, [f"X-{i}: {'v' * 900}" for i in range(20)], 431, None),
            (vm, ["X-Large: " + "v" * 16400], 431, None), (vm, ["X-Large: " + "v" * 15000], 200, None)):
        args = [a for h in headers for a in ("-H", h)]
        answer = agent.curl("GET", target, "--globoff", *args)
        assert answer.status == status, (target[:80], headers[:2], answer)
        assert status < 400 or answer.field() == field, (target[:80], headers[:2], answer)
    agent.drop_vm("clean")


def test_odd_requests(agent):
    def ask(head, body=b""):
        return split_answer(agent.raw(head + b"Connection: close\r\n\r\n" + body))

    # The form that a proxy sends.
    assert ask(b"GET http://node.example:80/version HTTP/1.1\r\nHost: x\r\n").json["api_version"] == "v1"
    assert ask(b"GET http://node.example HTTP/1.1\r\nHost: x\r\n").status == 404
    assert ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n").status == 404
    assert ask(b"OPTIONS /v1/vms HTTP/1.1\r\nHost: x\r\n").headers["allow"] == "GET, HEAD, POST"
    assert ask(b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n").field() == "Host"
    both = b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"
    assert ask(both, b"0\r\n\r\n").status == 400
    answer = agent.rest("POST", "/v1/vms/nobody:start", headers=["Expect: 100-continue"], body={})
    assert answer.status == 404, answer


def test_watch_operation(agent):
    body = {"name": "seen", "spec": {"manifest_url": agent.images.url("stall")}}
    name = agent.rest("POST", "/v1/images", body).json["name"]
    curl = subprocess.Popen(["curl", "-sSN", "-m", "60", "-H", "Accept: text/event-stream",
                             agent.url(f"/v1/operations/{name}")], stdout=subprocess.PIPE, text=True)
    states = []
    while "RUNNING" not in states:
        line = curl.stdout.readline()
        assert line, states
        if line.startswith("data: "):
            states.append(json.loads(line[6:])["state"])
    agent.rest("POST", f"/v1/operations/{name}:cancel")
    rest = curl.communicate(timeout=60)[0]
    states += [json.loads(line[6:])["state"] for line in rest.splitlines() if line.startswith("data: ")]
    assert states[-1] == "CANCELLED" and curl.returncode == 0, (states, curl.returncode)
    assert "id: " not in rest, "an operation's stream cannot be resumed"
    assert agent.rest("GET", "/v1/operations/nobody", headers=["Accept: text/event-stream"]).status == 404
    assert agent.rest("DELETE", "/v1/images/seen").status == 200


def test_watch_stats(agent):
    agent.run_vm("figures")
    curl = subprocess.Popen(["curl", "-sSN", "-m", "60", "-H", "Accept: text/event-stream",
                             agent.url("/v1/vms/figures/stats?interval=0.1s")], stdout=subprocess.PIPE, text=True)
    times = []
    while len(times) < 3:
        line = curl.stdout.readline()
        assert line, times
        if line.startswith("data: "):
            stats = json.loads(line[6:])
            assert stats["memory_configured_bytes"] == 64 * MIB, stats
            times.append(stats["time"])
    assert times == sorted(set(times)), times
    assert agent.rest("POST", "/v1/vms/figures:stop?wait=60s", {"force": True}).status == 200
    curl.communicate(timeout=60)
    assert curl.returncode == 0
    answer = agent.rest("GET", "/v1/vms/figures/stats?interval=1h", headers=["Accept: text/event-stream"])
    assert answer.status == 400 and answer.field() == "/interval", answer
    agent.drop_vm("figures")


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
