# SPDX-License-Identifier: Apache-2.0
"""The metrics, read by Prometheus's own readers, and the contract that the agent serves."""

import os
import re
import subprocess
import tempfile
import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

import tools
from harness import Agent, MESSAGES as m, MIB, TOP

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def scrape(agent):
    answer = agent.rest("GET", "/metrics")
    assert answer.status == 200 and answer.headers["content-type"] == TYPE, answer
    return answer.body.decode()


def families(agent):
    """By name; the parser refuses what OpenMetrics forbids: families apart, units that no name ends with, no EOF."""
    return {f.name: f for f in parse(scrape(agent))}


def value(agent, family, **labels):
    """The one sample of the family with these labels."""
    found = [s for s in families(agent)[family].samples if labels.items() <= s.labels.items()]
    assert len(found) == 1, (family, labels, found)
    return found[0].value


def test_metrics_of_the_node(agent):
    all_of = families(agent)
    assert all(name.startswith("croft_") and f.documentation and f.type != "unknown" for name, f in all_of.items())
    for name, f in all_of.items():
        for unit in ("seconds", "bytes"):
            assert (f.unit == unit) == name.endswith("_" + unit), (name, f.unit)
    build = all_of["croft_build"].samples[0]
    version = agent.rest("GET", "/version").json
    assert build.name == "croft_build_info" and build.labels == version and build.value == 1, build
    node = agent.rest("GET", "/v1/node").json["status"]
    assert value(agent, "croft_node_memory_total_bytes") == node["memory_total_bytes"]
    assert 0 < value(agent, "croft_node_memory_available_bytes") < node["memory_total_bytes"]
    with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as f:
        ticks = int(f.read().rpartition(")")[2].split()[19])
    with open("/proc/stat", encoding="ascii") as f:
        boot = int(re.search(r"btime (\d+)", f.read())[1])
    # The kernel's time of boot has whole seconds.
    assert boot + ticks / 100 - 2 <= value(agent, "croft_process_start_time_seconds") <= time.time()
    assert value(agent, "croft_images", state="READY") >= 1
    assert value(agent, "croft_operations", verb="pull", state="SUCCEEDED") >= 1


def test_metrics_of_vms(agent):
    agent.make_vm("measured", vcpus=2, disks=[{"name": "root", "image_disk": "root"},
                                              {"name": "data", "size_bytes": MIB}])
    assert "measured" not in scrape(agent)
    before = value(agent, "croft_vms", state="RUNNING")
    answer = agent.rest("POST", "/v1/vms/measured:start?wait=60s")
    assert answer.json["state"] == "SUCCEEDED", answer
    assert value(agent, "croft_vms", state="RUNNING") == before + 1
    # The times of a thread are known when it has run.
    agent.until(lambda: 'vcpu_run_seconds_total{vm="measured",vcpu="0"}' in scrape(agent), "the time of vCPU 0")
    agent.until(lambda: 'vcpu_run_seconds_total{vm="measured",vcpu="1"}' in scrape(agent), "the time of vCPU 1")
    all_of = families(agent)
    stats = agent.rest("GET", "/v1/vms/measured/stats").json
    samples = [s for f in all_of.values() for s in f.samples if s.labels.get("vm") == "measured"]
    for name in ("run_seconds", "wait_seconds"):
        assert {s.labels["vcpu"] for s in samples if s.name == f"croft_vm_vcpu_{name}_total"} == {"0", "1"}, samples
    reasons = {s.labels["reason"] for s in samples if s.name == "croft_vm_vcpu_exits_total"}
    assert {"mmio_read", "mmio_write", "interrupted", "error"} <= reasons <= set(stats["vcpus"][0]["exits"]), reasons
    assert value(agent, "croft_vm_memory_configured_bytes", vm="measured") == 64 * MIB
    assert 0 < value(agent, "croft_vm_memory_resident_bytes", vm="measured") <= 64 * MIB
    agent.until(lambda: value(agent, "croft_vm_console_bytes", vm="measured") >= len("croft-guest: ready"), "the text")
    for disk in ("root", "data"):
        for direction in ("read", "write", "flush"):
            value(agent, "croft_vm_disk_operations", vm="measured", disk=disk, direction=direction)
        for direction in ("read", "write"):
            value(agent, "croft_vm_disk_bytes", vm="measured", disk=disk, direction=direction)
        assert value(agent, "croft_vm_disk_errors", vm="measured", disk=disk) == 0
    agent.drop_vm("measured")
    assert "measured" not in scrape(agent)


def test_metrics_count_answers(agent):
    good, bad = (value(agent, "croft_rest_responses", **{"class": c}) for c in ("2xx", "4xx"))
    for _ in range(3):
        agent.rest("GET", "/livez")
        agent.rest("GET", "/v1/vms/nobody")
        agent.rest("PUT", "/metrics")
    # Of the others, each value() is an answer.
    assert value(agent, "croft_rest_responses", **{"class": "4xx"}) == bad + 6
    assert value(agent, "croft_rest_responses", **{"class": "2xx"}) >= good + 3


def test_metrics_at_each_door(agent):
    agent.rpc("NodeService/GetMetrics", m.GetMetricsRequest()).text.index("\n# EOF\n")
    assert agent.rest("GET", "/metrics", unix=True).body.endswith(b"\n# EOF\n")
    head = agent.rest("HEAD", "/metrics")
    assert head.status == 200 and head.headers["content-type"] == TYPE and not head.body, head
    assert agent.rest("GET", "/metrics?x=1").status == 400


def promtool(*args, text=None):
    program = tools.promtool()
    done = subprocess.run([program, *args], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_metrics_pass_promtool(agent):
    agent.run_vm("tool", disks=[{"name": "root", "image_disk": "root"}])
    text = scrape(agent)
    agent.drop_vm("tool")
    # Its linter reads the older format, in which a counter's family has the name of its samples.
    old = text
    for name in re.findall(r"^# TYPE (\w+) counter$", text, re.M):
        old = re.sub(rf"^(# \w+ {name}) ", r"\1_total ", old, flags=re.M)
    old = re.sub(r"^# (TYPE|HELP) croft_build (info)?", lambda x: f"# {x[1]} croft_build_info {'gauge' if x[2] else ''}",
                 old, flags=re.M)
    assert not promtool("check", "metrics", text=old).strip()
    # Its importer reads OpenMetrics, of samples that have a time.
    timed = re.sub(r"^([^#\n].*)$", r"\1 1700000000", text, flags=re.M)
    with tempfile.TemporaryDirectory(prefix="croft-prom-") as folder:
        with open(f"{folder}/text", "w", encoding="utf-8") as f:
            f.write(timed)
        promtool("tsdb", "create-blocks-from", "openmetrics", f"{folder}/text", f"{folder}/out")
        listed = promtool("tsdb", "list", f"{folder}/out")
    series = sum(not line.startswith("#") for line in text.splitlines())
    assert str(series) in listed.splitlines()[-1].split(), (series, listed)


def test_cost_of_a_scrape(_agent):
    """Prints what a scrape of 64 running VMs costs the native agent; the figures are for people."""
    vms, scrapes = 64, 25
    agent = Agent(builds=("native", "san")).start()

    def cpu():
        with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as f:
            return sum(int(ticks) for ticks in f.read().rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")
    try:
        agent.pull()
        spec = m.VmSpec(vcpus=1, memory_bytes=64 * MIB, image="tiny", disks=[m.DiskSpec(name="root", image_disk="root")])
        for i in range(vms):
            agent.rpc("Vms/CreateVm", m.CreateVmRequest(vm=m.Vm(name=f"vm-{i}", spec=spec)))
        for started in [agent.rpc("Vms/StartVm", m.StartVmRequest(name=f"vm-{i}")) for i in range(vms)]:
            agent.rpc("Operations/WaitOperation", m.WaitOperationRequest(name=started.name))
        text = scrape(agent)
        running = sum(line.startswith("croft_vm_memory_configured_bytes{") for line in text.splitlines())
        assert running == vms, running
        idle = cpu()
        time.sleep(1)
        before = cpu()
        urls = [arg for _ in range(scrapes) for arg in (agent.url("/metrics"), "-o", "/dev/null")]
        subprocess.run(["curl", "-sS", "-m", "60", *urls], check=True)
        cost = cpu() - before
        print(f"    a scrape of {vms} VMs: {len(text):,} bytes, {text.count(chr(10)):,} lines, "
              f"{cost / scrapes * 1000:.1f} ms of CPU (user+sys); the agent idle: {(before - idle) * 100:.0f} % of a CPU", flush=True)
    finally:
        agent.close()


def test_contract_is_served(agent):
    with open(f"{TOP}/api/openapi/croft.yaml", "rb") as f:
        contract = f.read()
    for unix in (False, True):
        answer = agent.rest("GET", "/v1/openapi.yaml", unix=unix)
        assert answer.status == 200 and answer.headers["content-type"] == "application/yaml", answer
        assert answer.body == contract
    assert agent.rpc("NodeService/GetOpenapi", m.GetOpenapiRequest()).text == contract.decode()
