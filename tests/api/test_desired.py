# SPDX-License-Identifier: Apache-2.0
"""The desired state: put, converge, drift, failure with its reason, prune, dry run, and boot without a network."""

import harness
from harness import MIB


class Own:
    """An agent of this test alone: the document is about the whole node."""

    def __enter__(self):
        self.agent = harness.Agent().start()
        return self.agent

    def __exit__(self, *_):
        self.agent.close()


def vm(name, power="ON", **spec):
    return {"name": name, "power": power, "spec": {"vcpus": 1, "memory_bytes": 64 * MIB, "image": "tiny",
                                                   "cmdline_append": "croft.test=idle", **spec}}


def image(agent, name="tiny", page="manifest.json"):
    return {"name": name, "spec": {"manifest_url": agent.images.url(page)}}


def put(agent, spec, *headers, query=""):
    return agent.rest("PUT", f"/v1/desired{query}", {"spec": spec}, headers)


def get(agent):
    answer = agent.rest("GET", "/v1/desired")
    assert answer.status == 200, answer
    return answer.json


def state(agent, name):
    return agent.rest("GET", f"/v1/vms/{name}").json["status"]["state"]


def thing(agent, target):
    return next((o for o in get(agent)["status"]["objects"] if o["target"] == target), {"state": "gone"})


def converge(agent, spec=None):
    if spec is not None:
        answer = put(agent, spec)
        assert answer.status == 200, answer
    agent.until(lambda: get(agent)["status"].get("in_sync"), "the desired state", 30)


def diff(agent, spec=None):
    answer = agent.rest("POST", "/v1/desired:diff", {"spec": spec} if spec is not None else None)
    assert answer.status == 200, answer
    return [" ".join([c["target"], c["verb"], *c.get("fields", [])]) for c in answer.json.get("changes", [])]


def test_put_and_converge(_):
    with Own() as agent:
        empty = agent.rest("GET", "/v1/desired")
        assert empty.json["revision"] == 0 and "spec" not in empty.json, empty
        assert agent.rest("DELETE", "/v1/desired").status == 404
        spec = {"node_labels": {"site": "north"}, "images": [image(agent)], "vms": [vm("web1"), vm("web2", "OFF")]}
        plan = ["node label", "images/tiny pull", "vms/web1 create", "vms/web1 start", "vms/web2 create"]
        assert diff(agent, spec) == plan, diff(agent, spec)

        dry = put(agent, spec, query="?dry_run=true")
        assert dry.status == 200 and dry.json["spec"]["vms"][0]["name"] == "web1", dry
        assert get(agent)["revision"] == 0 and not agent.rest("GET", "/v1/vms").json.get("vms")

        converge(agent, spec)
        assert state(agent, "web1") == "RUNNING" and state(agent, "web2") == "DEFINED"
        assert agent.rest("GET", "/v1/node").json["labels"] == {"site": "north"}
        now = get(agent)
        assert now["status"]["in_sync_time"] and now["update_time"], now
        assert {o["target"]: o["state"] for o in now["status"]["objects"]} == {
            t: "IN_SYNC" for t in ("node", "images/tiny", "vms/web1", "vms/web2")}, now
        assert diff(agent) == []

        stale = put(agent, spec, f'If-Match: "{now["revision"] - 1}"')
        assert stale.status == 412, stale
        assert put(agent, spec, f'If-Match: "{now["revision"]}"').status == 200
        records = agent.rest("GET", "/v1/audit?filter=actor%3Dagent").json["records"]
        methods = [r["method"].split("/")[1] for r in reversed(records)]
        assert methods == ["UpdateNode", "PullImage", "CreateVm", "CreateVm", "StartVm"], methods
        gone = agent.rest("DELETE", "/v1/desired")
        assert gone.status == 200 and len(gone.json["spec"]["vms"]) == 2, gone
        assert state(agent, "web1") == "RUNNING"


def test_drift(_):
    """Somebody deletes one VM, stops another, and changes a third."""
    with Own() as agent:
        spec = {"images": [image(agent)], "vms": [vm("web1"), vm("web2", "OFF"), vm("web3", "POWER_UNSPECIFIED")]}
        converge(agent, spec)
        uid = agent.rest("GET", "/v1/vms/web2").json["uid"]
        assert agent.rest("DELETE", "/v1/vms/web2").status == 200
        assert agent.rest("POST", "/v1/vms/web1:stop?wait=60s", {"force": True}).json["state"] == "SUCCEEDED"
        answer = agent.rest("PATCH", "/v1/vms/web3", '{"labels": {"x": "y"}}')
        assert answer.status == 200, answer
        agent.until(lambda: state(agent, "web1") == "RUNNING", "web1")
        converge(agent)
        assert agent.rest("GET", "/v1/vms/web2").json["uid"] != uid
        assert "labels" not in agent.rest("GET", "/v1/vms/web3").json

        # A guest that ends at once is started again with growing pauses, and the reason is told.
        spec["vms"] = [vm("brief", cmdline_append="croft.test=poweroff")]
        assert put(agent, spec).status == 200
        agent.until(lambda: thing(agent, "vms/brief").get("failures", 0) >= 2, "two failures")
        brief = thing(agent, "vms/brief")
        assert brief["state"] in ("FAILED", "PROGRESSING", "IN_SYNC"), brief
        agent.until(lambda: "guest_poweroff" in thing(agent, "vms/brief").get("message", ""), "the reason")
        assert thing(agent, "vms/brief")["retry_time"]


def test_change(_):
    """A change of the document changes VMs: live, at the next restart, or now by a restart."""
    with Own() as agent:
        converge(agent, {"images": [image(agent)], "vms": [vm("web1")]})
        spec = {"images": [image(agent)], "vms": [{**vm("web1", vcpus=2), "labels": {"tier": "a"}}]}
        assert diff(agent, spec) == ["vms/web1 update /labels /spec/vcpus"], diff(agent, spec)
        assert put(agent, spec).status == 200
        agent.until(lambda: thing(agent, "vms/web1")["state"] == "WAITING", "the wait for a restart")
        assert "/spec/vcpus" in thing(agent, "vms/web1")["message"], thing(agent, "vms/web1")
        starts = agent.rest("GET", "/v1/vms/web1").json["status"]["starts"]
        spec["vms"][0]["restart_to_apply"] = True
        assert diff(agent, spec) == ["vms/web1 restart"]
        converge(agent, spec)
        after = agent.rest("GET", "/v1/vms/web1").json
        assert after["status"]["starts"] == starts + 1 and "pending" not in after["status"], after
        # Cordoned: what runs goes on, what ends stays so, and the reason is told.
        spec["cordoned"] = True
        converge(agent, spec)
        agent.rest("POST", "/v1/vms/web1:stop?wait=60s", {"force": True})
        agent.until(lambda: thing(agent, "vms/web1")["state"] == "WAITING", "the wait for the cordon's end")
        assert "cordoned" in thing(agent, "vms/web1")["message"]
        spec["cordoned"] = False
        assert diff(agent, spec) == ["node uncordon", "vms/web1 start"], diff(agent, spec)
        converge(agent, spec)
        assert state(agent, "web1") == "RUNNING"


def test_drain(_):
    """A drain by hand holds until the node is uncordoned by hand, and then the document counts again."""
    with Own() as agent:
        converge(agent, {"images": [image(agent)], "vms": [vm("web1")]})
        starts = agent.rest("GET", "/v1/vms/web1").json["status"]["starts"]
        drained = agent.rest("POST", "/v1/node:drain?wait=60s", {"deadline": "1s"})
        assert drained.status == 200 and drained.json["state"] == "SUCCEEDED", drained
        agent.until(lambda: thing(agent, "vms/web1")["state"] == "WAITING", "the wait for a person")
        assert thing(agent, "vms/web1")["message"] == "the node is cordoned by tcp", thing(agent, "vms/web1")
        node = agent.rest("GET", "/v1/node").json
        assert node["cordoned"] and node["cordon_actor"] == "tcp", node
        assert agent.rest("POST", "/v1/node:uncordon").status == 200
        agent.until(lambda: agent.rest("GET", "/v1/vms/web1").json["status"]["starts"] == starts + 1, "a new start")
        converge(agent)
        assert state(agent, "web1") == "RUNNING" and not agent.rest("GET", "/v1/node").json.get("cordoned")


def test_failure_is_told_and_tried_again(_):
    """The image is not on the server yet: why is told per object, and applied at once when it is wanted."""
    with Own() as agent:
        answer = put(agent, {"images": [image(agent, page="later.json")], "vms": [vm("web1")]})
        assert answer.status == 200, answer
        agent.until(lambda: thing(agent, "images/tiny").get("failures", 0) >= 2, "two failures")
        failed = thing(agent, "images/tiny")
        assert failed["state"] in ("FAILED", "PROGRESSING"), failed
        agent.until(lambda: thing(agent, "images/tiny")["state"] == "FAILED", "the failure")
        failed = thing(agent, "images/tiny")
        assert "404" in failed["message"] and failed["retry_time"], failed
        waits = thing(agent, "vms/web1")
        assert waits["state"] == "WAITING" and "tiny" in waits["message"], waits
        first = get(agent)["status"]["objects"]
        assert [o["state"] == "IN_SYNC" for o in first] == sorted(o["state"] == "IN_SYNC" for o in first), first
        agent.images.put("later.json", agent.images.manifest)
        assert agent.rest("POST", "/v1/desired:apply", {}).status == 200
        converge(agent)
        assert state(agent, "web1") == "RUNNING"
        assert not thing(agent, "images/tiny").get("failures")


def test_prune(_):
    with Own() as agent:
        converge(agent, {"images": [image(agent), image(agent, "other")], "vms": [vm("web1"), vm("web2", "OFF")]})
        spec = {"images": [image(agent)], "vms": []}
        assert diff(agent, spec) == []
        spec["prune"] = True
        plan = diff(agent, spec)
        assert sorted(plan) == sorted(["vms/web2 delete", "vms/web1 stop", "vms/web1 delete", "images/other delete"]), plan
        assert plan.index("vms/web1 stop") < plan.index("vms/web1 delete") < plan.index("images/other delete"), plan
        converge(agent, spec)
        assert not agent.rest("GET", "/v1/vms").json.get("vms")
        assert [i["name"] for i in agent.rest("GET", "/v1/images").json["images"]] == ["tiny"]


def test_boot_without_network(_):
    """After its restart the agent has nothing but what is here: no image server answers."""
    with Own() as agent:
        converge(agent, {"images": [image(agent)], "vms": [vm("web1")]})
        agent.images.server.shutdown()
        agent.images.server.server_close()
        assert agent.stop() == 0, agent.log_text()[-2000:]
        agent.start()
        converge(agent)
        assert state(agent, "web1") == "RUNNING"
        assert agent.stop() == 0, agent.log_text()[-2000:]


def test_refusals(agent):
    revision = get(agent)["revision"]
    for spec, field in (({"vms": [vm("a"), vm("b", vcpus=99)]}, "/spec/vms/1/spec/vcpus"),
                        ({"vms": [vm("a"), vm("a")]}, "/spec/vms/1/name"),
                        ({"images": [{"name": "x", "spec": {"manifest_url": "ftp://x/"}}]},
                         "/spec/images/0/spec/manifest_url"),
                        ({"node_labels": {"": "x"}}, "/spec/node_labels/")):
        answer = put(agent, spec)
        assert answer.status == 400 and answer.field() == field, answer
    answer = agent.rest("PUT", "/v1/desired", {})
    assert answer.status == 400 and answer.field() == "/spec", answer
    assert not revision, "here nothing is desired"
    for tag in ('"1"', "*"):
        answer = agent.rest("PUT", "/v1/desired", {"spec": {}}, headers=[f"If-Match: {tag}"])
        assert answer.status == 412 and answer.json["code"] == "PRECONDITION", answer
    assert get(agent)["revision"] == revision
