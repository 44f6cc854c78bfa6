# SPDX-License-Identifier: Apache-2.0
"""Resources through REST and gRPC: updates and what waits for a restart, filters, the node's verbs, the configuration."""

import json
import subprocess
import urllib.parse

from harness import MESSAGES, MIB


def change(agent, name, spec, status=200, query=""):
    answer = agent.rest("PATCH", f"/v1/vms/{name}{query}", {"spec": spec})
    assert answer.status == status, (spec, answer)
    return answer


def names(agent, collection, text):
    answer = agent.rest("GET", f"/v1/{collection}?filter={urllib.parse.quote(text)}")
    assert answer.status == 200, answer
    return [o["name"] for o in answer.json.get(collection, [])]


def newest(agent):
    return agent.rest("GET", "/v1/events?max_events=1").json["newest"]


def events_since(agent, number):
    return agent.rest("GET", f"/v1/events?after={number}&max_events=1000").json.get("events", [])


def test_update_of_a_running_vm(agent):
    """What needs a restart waits for it and says so; a balloon does not."""
    agent.run_vm("upd", disks=[{"name": "data", "size_bytes": MIB}])
    number = newest(agent)
    vm = change(agent, "upd", {"vcpus": 2, "memory_bytes": 128 * MIB, "memory_target_bytes": 96 * MIB}).json
    assert vm["status"]["pending"] == ["/spec/vcpus", "/spec/memory_bytes"], vm
    event, = [e for e in events_since(agent, number) if e["type"] == "vm.updated"]
    assert event["message"] == "/spec/vcpus, /spec/memory_bytes, /spec/memory_target_bytes", event
    assert event["target"] == "vms/upd" and event["actor"].startswith("tcp"), event
    assert len(agent.rest("GET", "/v1/vms/upd/stats").json["vcpus"]) == 1
    answer = agent.rest("POST", "/v1/vms/upd:restart?wait=60s", {"force": True})
    assert answer.status == 200 and answer.json["verb"] == "restart", answer
    vm = agent.rest("GET", "/v1/vms/upd").json
    assert vm["status"]["state"] == "RUNNING" and "pending" not in vm["status"], vm
    stats = agent.rest("GET", "/v1/vms/upd/stats").json
    assert len(stats["vcpus"]) == 2 and stats["memory_configured_bytes"] == 128 * MIB, stats
    agent.drop_vm("upd")


def test_disks_grow_and_go(agent):
    agent.run_vm("dsk", disks=[{"name": "data", "size_bytes": MIB}])
    more = [{"name": "data", "size_bytes": 2 * MIB}, {"name": "root", "image_disk": "root"}]
    assert change(agent, "dsk", {"disks": more}).json["status"]["pending"] == ["/spec/disks"]
    assert len(agent.rest("GET", "/v1/vms/dsk/stats").json["disks"]) == 1
    for disks, field in (([{"name": "data", "size_bytes": MIB}], "/spec/disks/0/size_bytes"),
                         ([{"name": "data", "size_bytes": 2 * MIB, "image_disk": "root"}], "/spec/disks/0/image_disk"),
                         ([{"name": "x", "image_disk": "none"}], "/spec/disks/0/image_disk"),
                         ([{"name": "x"}], "/spec/disks/0/size_bytes")):
        assert change(agent, "dsk", {"disks": disks}, 400).field() == field
    assert agent.rest("POST", "/v1/vms/dsk:restart?wait=60s", {"force": True}).status == 200
    assert [d["name"] for d in agent.rest("GET", "/v1/vms/dsk/stats").json["disks"]] == ["data", "root"]
    assert change(agent, "dsk", {"disks": []}).json["status"]["pending"] == ["/spec/disks"]
    agent.drop_vm("dsk")


def test_resize(agent):
    agent.run_vm("balloon", memory_bytes=128 * MIB)
    answer = agent.rest("POST", "/v1/vms/balloon:resize", {"memory_target_bytes": 64 * MIB})
    assert answer.status == 200 and answer.json["spec"]["memory_target_bytes"] == 64 * MIB, answer
    assert "pending" not in answer.json["status"], answer
    for target in (32 * MIB, 130 * MIB, 64 * MIB + 1):
        answer = agent.rest("POST", "/v1/vms/balloon:resize", {"memory_target_bytes": target})
        assert answer.status == 400 and answer.field() == "/memory_target_bytes", answer
    vm = agent.rpc("Vms/ResizeVm", MESSAGES.ResizeVmRequest(name="balloon"))
    assert vm.spec.memory_target_bytes == 0 and vm.status.state == MESSAGES.VmStatus.RUNNING, vm
    agent.drop_vm("balloon")


def test_update_over_grpc(agent):
    agent.make_vm("masked")
    request = MESSAGES.UpdateVmRequest()
    request.vm.name = "masked"
    request.vm.spec.vcpus = 3
    request.vm.labels["a.b"] = "c"
    request.update_mask.paths.extend(["spec.vcpus", "labels.`a.b`"])
    vm = agent.rpc("Vms/UpdateVm", request)
    assert vm.spec.vcpus == 3 and vm.spec.memory_bytes == 64 * MIB and dict(vm.labels) == {"a.b": "c"}, vm
    assert agent.rpc("Vms/UpdateVm", request).revision == vm.revision, "nothing has changed"
    agent.drop_vm("masked")


def test_filters(agent):
    agent.run_vm("flt-a")
    agent.make_vm("flt-b")
    assert agent.rest("PATCH", "/v1/vms/flt-a", {"labels": {"tier": "front", "x.y/z": "1"}}).status == 200
    assert agent.rest("PATCH", "/v1/vms/flt-b", {"labels": {"tier": "back"}}).status == 200
    for text, expected in (("labels.tier", ["flt-a", "flt-b"]), ("labels.tier=front", ["flt-a"]),
                           ("labels.tier!=front,labels.tier", ["flt-b"]), ("labels.tier,state=RUNNING", ["flt-a"]),
                           ("labels.x.y/z=1", ["flt-a"]), ("name=flt-b", ["flt-b"]), ("name=flt", []),
                           ("image=tiny,labels.tier=back", ["flt-b"])):
        assert names(agent, "vms", text) == expected, text
    assert names(agent, "images", "state=READY,name=tiny") == ["tiny"]
    assert names(agent, "images", "state=FAILED,name=tiny") == []
    for text in ("colour=red", "name", "=x", "labels.", "uid=1", ",".join(["name=a"] * 17), "name=" + "x" * 1024):
        answer = agent.rest("GET", f"/v1/vms?filter={urllib.parse.quote(text)}")
        assert answer.status == 400 and answer.field() == "/filter", (text, answer)
    page = agent.rest("GET", "/v1/vms?page_size=1&filter=labels.tier").json
    assert [v["name"] for v in page["vms"]] == ["flt-a"] and page["next_page_token"] == "flt-a", page
    page = agent.rest("GET", "/v1/vms?page_size=1&filter=labels.tier&page_token=flt-a").json
    assert [v["name"] for v in page["vms"]] == ["flt-b"] and "next_page_token" not in page, page
    agent.drop_vm("flt-a")
    agent.drop_vm("flt-b")


def test_cordon(agent):
    agent.make_vm("cordon")
    number = newest(agent)
    node = agent.rest("POST", "/v1/node:cordon", {"reason": "maintenance"}).json
    try:
        assert node["cordoned"] and node["cordon_reason"] == "maintenance", node
        schedulable, = [c for c in node["status"]["conditions"] if c["type"] == "Schedulable"]
        assert not schedulable.get("status") and schedulable["reason"] == "Cordoned" and schedulable["since"], schedulable
        event, = [e for e in events_since(agent, number) if e["type"] == "node.condition"]
        assert (event["target"], event["state"], event["reason"]) == ("node/Schedulable", "False", "Cordoned"), event
        answer = agent.rest("POST", "/v1/vms/cordon:start")
        assert answer.status == 409 and "maintenance" in answer.json["detail"], answer
    finally:
        assert agent.rest("POST", "/v1/node:uncordon").status == 200
    assert agent.rest("POST", "/v1/vms/cordon:start?wait=60s").status == 200
    agent.drop_vm("cordon")


def test_drain(agent):
    agent.run_vm("drain-a")
    agent.run_vm("drain-b", test="spin")
    dry = agent.rest("POST", "/v1/node:drain?dry_run=true", {"deadline": "1s"})
    assert dry.status == 202 and "name" not in dry.json, dry
    answer = agent.rest("POST", "/v1/node:drain?wait=60s", {"deadline": "0.2s", "reason": "update"})
    try:
        assert answer.status == 200 and answer.json["state"] == "SUCCEEDED" and answer.json["target"] == "node", answer
        reasons = [agent.rest("GET", f"/v1/vms/drain-{x}").json["status"]["exit_reason"] for x in "ab"]
        assert reasons == ["guest_poweroff", "force_stopped"], reasons
    finally:
        agent.rest("POST", "/v1/node:uncordon")
    agent.drop_vm("drain-a")
    agent.drop_vm("drain-b")


def test_node_resources(agent):
    status = agent.rest("GET", "/v1/node").json["status"]
    agent.run_vm("res", vcpus=1, memory_bytes=512 * MIB)
    after = agent.rest("GET", "/v1/node").json["status"]
    assert after["capacity"] == status["capacity"], after
    assert after["allocatable"].get("cpus", 0) == max(0, status["allocatable"].get("cpus", 0) - 1), (status, after)
    total = after["capacity"]["memory_bytes"]
    assert after["allocatable"]["memory_bytes"] <= total - 512 * MIB, after
    agent.drop_vm("res")


def test_config(agent):
    before = agent.rest("GET", "/v1/config").json
    assert before["spec"]["log_level"] == "info" and "changed" not in before, before
    settings = {s["name"]: s for s in before["settings"]}
    assert settings["agent.backend"]["source"] == "command line" and settings["agent.backend"]["value"] == "fake"
    answer = agent.rest("PATCH", "/v1/config", {"spec": {"log_level": "debug"}})
    assert answer.status == 200 and answer.json["changed"] == ["log_level"], answer
    agent.rest("GET", "/v1/node")
    agent.until(lambda: "croft.v1.NodeService/GetNode by tcp" in agent.log_text(), "a line of debug")
    for spec, field in (({"log_level": "loud"}, "/spec/log_level"), ({"start_timeout": "0s"}, "/spec/start_timeout"),
                        ({"stop_timeout": "1.5s"}, "/spec/stop_timeout"), ({"image_bytes_max": 1}, "/spec/image_bytes_max"),
                        ({"colour": 1}, "/spec/colour")):
        answer = agent.rest("PATCH", "/v1/config", {"spec": spec})
        assert answer.status == 400 and answer.field() == field, (spec, answer)
    assert agent.rest("PATCH", "/v1/config", {"settings": []}).status == 400
    answer = agent.rest("PATCH", "/v1/config", {"spec": {"log_level": None}})
    assert answer.json["spec"] == before["spec"] and "changed" not in answer.json, answer


def test_image_size_limit_at_once(agent):
    agent.images.put("large.json", {**agent.images.manifest, "disks": [
        {"name": "root", "url": "none", "sha256": "0" * 64, "size": 8 * MIB}]})
    assert agent.rest("PATCH", "/v1/config", {"spec": {"image_bytes_max": MIB}}).status == 200
    body = {"name": "large", "spec": {"manifest_url": agent.images.url("large.json")}}
    answer = agent.rest("POST", "/v1/images?wait=60s", body)
    assert 400 <= answer.status < 500 and "1048576" in answer.json["detail"], answer
    assert agent.rest("PATCH", "/v1/config", {"spec": {"image_bytes_max": None}}).status == 200
    agent.rest("DELETE", "/v1/images/large")


def test_wrong_digest_is_no_server_error(agent):
    manifest = {**agent.images.manifest, "kernel": {**agent.images.manifest["kernel"], "sha256": "0" * 64}}
    agent.images.put("wrong.json", manifest)
    body = {"name": "wrong", "spec": {"manifest_url": agent.images.url("wrong.json")}}
    answer = agent.rest("POST", "/v1/images?wait=60s", body)
    assert 400 <= answer.status < 500 and "SHA-256" in answer.json["detail"], answer
    agent.rest("DELETE", "/v1/images/wrong")


def test_dry_runs_change_nothing(agent):
    agent.run_vm("dry")
    number, audit = newest(agent), agent.rest("GET", "/v1/audit?page_size=1").json["records"][0]["number"]
    before = agent.rest("GET", "/v1/vms/dry").body
    for method, target, body in (
            ("POST", "/v1/vms?dry_run=true", {"name": "dry2", "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny"}}),
            ("PATCH", "/v1/vms/dry?dry_run=true", {"spec": {"vcpus": 2}}),
            ("POST", "/v1/vms/dry:stop?dry_run=true", {}), ("POST", "/v1/vms/dry:restart?dry_run=true", {}),
            ("POST", "/v1/vms/dry:resize?dry_run=true", {"memory_target_bytes": 64 * MIB}),
            ("POST", "/v1/node:cordon?dry_run=true", {"reason": "x"}), ("PATCH", "/v1/node?dry_run=true", {"labels": {"a": "b"}}),
            ("PATCH", "/v1/config?dry_run=true", {"spec": {"log_level": "error"}}),
            ("PATCH", "/v1/images/tiny?dry_run=true", {"labels": {"a": "b"}})):
        answer = agent.rest(method, target, body)
        assert answer.status < 300, (target, answer)
    assert agent.rest("POST", "/v1/vms/dry:start?dry_run=true").status == 409, "it runs"
    assert agent.rest("DELETE", "/v1/vms/dry?dry_run=true").status == 409, "it runs"
    assert agent.rest("GET", "/v1/vms/dry").body == before
    assert agent.rest("GET", "/v1/vms/dry2").status == 404
    assert newest(agent) == number
    assert agent.rest("GET", "/v1/audit?page_size=1").json["records"][0]["number"] == audit
    agent.drop_vm("dry")


def test_node_keeps_what_it_was_told(agent):
    """Labels, cordon and configuration are there after kill -9."""
    assert agent.rest("PATCH", "/v1/node", {"labels": {"site": "lab"}}).status == 200
    assert agent.rest("POST", "/v1/node:cordon", {"reason": "kept"}).status == 200
    assert agent.rest("PATCH", "/v1/config", {"spec": {"stop_timeout": "77s"}}).status == 200
    before = agent.rest("GET", "/v1/node").json
    agent.process.kill()
    agent.process.wait()
    agent.start()
    after = agent.rest("GET", "/v1/node").json
    assert (after["labels"], after["cordon_reason"], after["revision"]) == ({"site": "lab"}, "kept", before["revision"]), after
    assert agent.rest("GET", "/v1/config").json["spec"]["stop_timeout"] == "77s"
    assert agent.rest("POST", "/v1/node:uncordon").status == 200
    assert agent.rest("PATCH", "/v1/node", {"labels": None}).status == 200
    assert agent.rest("PATCH", "/v1/config", {"spec": {"stop_timeout": None}}).status == 200


def test_stats_have_only_what_was_measured(agent):
    agent.run_vm("meas")
    done = subprocess.run(["curl", "-sS", "-m", "20", agent.url("/v1/vms/meas/stats")], capture_output=True, check=True)
    stats = json.loads(done.stdout)
    for name in stats.keys() - {"time", "measured", "guest_memory", "vcpus"}:
        assert name in stats["measured"], (name, stats)
    for name in stats["vcpus"][0].keys() - {"index"}:
        assert f"vcpus.{name}" in stats["measured"], (name, stats)
    assert ("guest_memory" in stats) == any(m.startswith("guest_memory.") for m in stats["measured"]), stats
    agent.drop_vm("meas")
