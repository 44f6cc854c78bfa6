# SPDX-License-Identifier: Apache-2.0
"""Restart policies through the doors: how they are set, what they do, and that a person has the last word."""

import json
import os
import time

import harness
from harness import MESSAGES as m
from test_ctl import ctl
from test_metrics import value
from test_state import kill

FOREVER = {"when": "always", "backoff": "300s"}


def status(agent, name):
    return agent.rest("GET", f"/v1/vms/{name}").json["status"]


def waits(agent, name):
    agent.until(lambda: "next_restart_time" in status(agent, name), f"the wait of {name}", 60)


def left_alone(agent, name):
    agent.until(lambda: "left alone" in status(agent, name).get("message", ""), f"the end of {name}", 60)
    return status(agent, name)


def test_reboots_until_the_limit(agent):
    agent.run_vm("boots", "reboot", restart={"when": "on_failure", "limit": 2, "backoff": "0s"})
    found = left_alone(agent, "boots")
    assert (found["state"], found["exit_reason"], found["starts"], found["restarts"]) == ("STOPPED", "guest_reset", 3, 2), found
    assert found["message"] == "restarted 2 times in an hour; left alone", found
    assert value(agent, "croft_vm_restarts", vm="boots") == 2
    records = agent.rest("GET", "/v1/audit?filter=target=vms/boots,actor=agent").json["records"]
    assert [(r["method"], r["code"]) for r in records] == [("croft.v1.Vms/RestartVm", "OK")] * 2, records
    for record in records:
        operation = agent.rest("GET", f"/v1/operations/{record['operation']}").json
        assert (operation["verb"], operation["actor"], operation["state"]) == ("restart", "agent", "SUCCEEDED"), operation
    events = agent.rest("GET", "/v1/events?filter=target=vms/boots,actor=agent&max_events=1000").json["events"]
    types = [e["type"] for e in events if e["type"] != "vm.state"]
    assert types == ["vm.restart", "vm.restart", "vm.left_alone"], events
    # A person may start it all the same, and then the count begins anew.
    agent.rest("POST", "/v1/vms/boots:start?wait=60s")
    agent.until(lambda: status(agent, "boots").get("restarts") == 4, "the next two", 60)
    left_alone(agent, "boots")
    agent.drop_vm("boots")
    assert "boots" not in agent.rest("GET", "/metrics").body.decode()


def test_a_guest_that_powers_off(agent):
    agent.run_vm("job", "poweroff", restart={"when": "on_failure", "backoff": "0s"})
    agent.run_vm("server", "poweroff", restart={"when": "always", "backoff": "0s", "limit": 1})
    agent.run_vm("plain", "reboot", restart={"when": "never"})
    assert left_alone(agent, "server")["exit_reason"] == "guest_poweroff"
    for name, reason in (("job", "guest_poweroff"), ("plain", "guest_reset")):
        agent.until(lambda n=name: status(agent, n)["state"] == "STOPPED", f"the end of {name}", 60)
        found = status(agent, name)
        assert found["exit_reason"] == reason and "restarts" not in found and "next_restart_time" not in found, found
    for name in ("job", "server", "plain"):
        agent.drop_vm(name)


def test_a_person_has_the_last_word(agent):
    agent.run_vm("word", "broken", restart=FOREVER)
    waits(agent, "word")
    assert status(agent, "word")["state"] == "FAILED"
    preview = agent.rest("POST", "/v1/vms/word:stop?dry_run=true")
    assert preview.status in (200, 202) and "next_restart_time" in status(agent, "word"), preview
    answer = agent.rest("POST", "/v1/vms/word:stop?wait=60s")
    assert answer.status == 200 and answer.json["state"] == "SUCCEEDED" and answer.json["verb"] == "stop", answer
    assert "next_restart_time" not in status(agent, "word")
    assert agent.rest("POST", "/v1/vms/word:stop").status == 409
    # A start by hand is now, not when the policy would.
    for verb in ("start", "start", "restart"):
        answer = agent.rest("POST", f"/v1/vms/word:{verb}?wait=60s")
        assert answer.status == 200 and answer.json["state"] == "SUCCEEDED", answer
        waits(agent, "word")
    assert "restarts" not in status(agent, "word")
    agent.drop_vm("word")


def test_how_it_is_set(agent):
    agent.make_vm("set", restart=FOREVER)
    path = "/v1/vms/set"
    answer = agent.rest("PATCH", path, {"spec": {"restart": {"limit": 7}}})
    assert answer.json["spec"]["restart"] == {**FOREVER, "limit": 7}, answer
    answer = agent.rest("PATCH", path, {"spec": {"restart": {"backoff": None, "when": "never"}}})
    assert answer.json["spec"]["restart"] == {"when": "never", "limit": 7}, answer
    answer = agent.rest("PATCH", path, {"spec": {"restart": None}})
    assert "restart" not in answer.json["spec"] and "pending" not in answer.json["status"], answer
    vm = m.Vm(name="set", spec=m.VmSpec(restart=m.RestartPolicy(limit=3)))
    request = m.UpdateVmRequest(vm=vm)
    request.update_mask.paths.append("spec.restart.limit")
    assert agent.rpc("Vms/UpdateVm", request).spec.restart == m.RestartPolicy(limit=3)
    for change, field in (({"limit": 1001}, "limit"), ({"backoff": "301s"}, "backoff"), ({"backoff": "-1s"}, "backoff")):
        answer = agent.rest("PATCH", path, {"spec": {"restart": change}})
        assert answer.status == 400 and answer.field() == f"/spec/restart/{field}", answer
    assert agent.rest("PATCH", path, {"spec": {"restart": {"when": "sometimes"}}}).status == 400
    agent.drop_vm("set")


def test_croftctl_sets_and_shows_it(agent):
    vm = json.loads(ctl(agent, "--json", "vm", "create", "shown", "--image=tiny", "--memory=64M", "--append=croft.test=panic",
                        "--restart=on_failure,limit=1,backoff=0s"))
    assert vm["spec"]["restart"] == {"when": "on_failure", "limit": 1, "backoff": "0s"}, vm
    ctl(agent, "vm", "start", "shown")
    left_alone(agent, "shown")
    table = [line.split() for line in ctl(agent, "vm", "list").splitlines()]
    row = [line for line in table if line[0] == "shown"][0]
    assert "RESTARTS" in table[0] and row[0] == "shown", table
    assert "status.restarts: 1" in ctl(agent, "vm", "get", "shown")
    assert "spec.restart.when: always" in ctl(agent, "vm", "set", "shown", "--restart=always")
    assert "wrong value" in ctl(agent, "vm", "set", "shown", "--restart=always,often", status=2)
    agent.drop_vm("shown")


def test_starts_that_hang(_agent):
    """They are given up; the policy tries again once the hanging one is gone, which may take the agent's own end."""
    own = harness.Agent(builds=("native", "san")).start()
    try:
        own.pull()
        blob = f"{own.tmp.name}/state/blobs/{own.images.manifest['kernel']['sha256']}"
        os.rename(blob, f"{own.tmp.name}/kernel")
        os.mkfifo(blob)
        assert own.rest("PATCH", "/v1/config", {"spec": {"start_timeout": "1s"}}).status == 200
        for name, when in (("failure", "on_failure"), ("never", "never")):
            own.make_vm(name, restart={"when": when, "backoff": "0s"})
            answer = own.rest("POST", f"/v1/vms/{name}:start?wait=60s")
            assert answer.status == 504 and answer.json["code"] == "DEADLINE", answer
            assert status(own, name)["exit_reason"] == "start_timeout" and status(own, name)["state"] == "FAILED"
        assert own.rest("PATCH", "/v1/config", {"spec": {"start_timeout": None}}).status == 200
        waits(own, "failure")
        for method, path in (("POST", ":start"), ("DELETE", "")):
            answer = own.rest(method, f"/v1/vms/failure{path}")
            assert answer.status == 409 and "has not come back" in answer.json["detail"], answer
        kill(own)
        os.rename(f"{own.tmp.name}/kernel", blob)
        own.start()
        own.until(lambda: status(own, "failure")["state"] == "RUNNING", "the next try", 60)
        assert (status(own, "failure")["restarts"], status(own, "failure")["starts"]) == (1, 1), status(own, "failure")
        assert status(own, "never")["exit_reason"] == "start_timeout" and "restarts" not in status(own, "never")
    finally:
        own.close()


def test_a_killed_agent(_agent):
    """What ran and is to run comes back, also when the agent could not say good-bye; and what waited still waits."""
    own = harness.Agent(builds=("native", "san")).start()
    try:
        own.pull()
        own.run_vm("always", "idle", restart={"when": "always", "backoff": "0s"})
        own.run_vm("failure", "idle", restart={"when": "on_failure", "backoff": "0s"})
        own.run_vm("never", "idle", restart={"when": "never"})
        own.run_vm("waiting", "broken", restart=FOREVER)
        waits(own, "waiting")
        due = status(own, "waiting")["next_restart_time"]
        for times in (1, 2):
            kill(own)
            own.start()
            for name in ("always", "failure"):
                own.until(lambda n=name: status(own, n)["state"] == "RUNNING", f"{name} again", 60)
                assert status(own, name)["restarts"] == times, status(own, name)
        assert status(own, "never")["exit_reason"] == "vmm_crash" and status(own, "never")["state"] == "STOPPED"
        again = status(own, "waiting")["next_restart_time"]
        parse = lambda text: time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
        # As its clock says, whatever the agent's ends took.
        assert abs(parse(again) - parse(due)) <= 2, (due, again)
        assert "restarts" not in status(own, "waiting")
    finally:
        own.close()
