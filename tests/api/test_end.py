# SPDX-License-Identifier: Apache-2.0
"""The agent ends while clients wait and follow, and leaves nothing behind."""

import os
import re
import subprocess

from harness import MESSAGES as m, split_answer


def test_end(agent):
    agent.run_vm("last")
    body = {"name": "last", "spec": {"manifest_url": agent.images.url("stall")}}
    pull = agent.rest("POST", "/v1/images", body).json["name"]
    print(f"    RSS {agent.rss_kib()} KiB, {agent.fds()} file descriptors")
    waiter = agent.connect()
    waiter.sendall(f"GET /v1/operations/{pull}?wait=200s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    follower = subprocess.Popen(["curl", "-sSN", "-m", "60", agent.url("/v1/vms/last/console?follow=true")],
                                stdout=subprocess.PIPE)
    call = agent.channel.unary_unary("/croft.v1.Operations/WaitOperation", m.WaitOperationRequest.SerializeToString,
                                     m.Operation.FromString)
    future = call.future(m.WaitOperationRequest(name=pull, timeout={"seconds": 200}), timeout=60)
    agent.curl("POST", "/v1/vms/last/console", "--data-binary", "x")
    assert follower.stdout.read(1)
    for _ in range(3):  # the waiters have come in when others behind them were answered
        agent.rest("GET", "/livez")
        agent.rpc("NodeService/GetVersion", m.GetVersionRequest())

    status = agent.stop(close_channel=False)
    raw = b""
    while chunk := waiter.recv(65536):
        raw += chunk
    waiter.close()
    answer = split_answer(raw)
    assert answer.status == 503 and answer.json["retryable"], answer
    follower.communicate(timeout=60)
    assert follower.returncode == 0, follower.returncode
    assert future.code().name == "UNAVAILABLE", future
    agent.channel.close()
    log = agent.log_text()
    assert not re.search(r"Sanitizer|runtime error", log), log[-4000:]
    assert status == 0, (status, log[-4000:])
    assert not os.path.exists(agent.socket)
    agent.start()


def test_records_are_back(agent):
    """What was answered before the end is there behind it."""
    vm = agent.rest("GET", "/v1/vms/last").json
    assert vm["status"]["exit_reason"] == "host_shutdown", vm
    # The pull goes on, as the operation that it was.
    image = agent.rest("GET", "/v1/images/last").json
    assert image["status"]["state"] == "PULLING", image
    operations = agent.rest("GET", "/v1/operations?filter=target%3Dimages/last,state%3DRUNNING").json["operations"]
    cancelled = agent.rest("POST", f"/v1/operations/{operations[0]['name']}:cancel", {})
    assert cancelled.status == 200, cancelled
    agent.until(lambda: agent.rest("GET", "/v1/images/last").json["status"]["state"] == "FAILED", "its end")
    agent.drop_vm("last")
    assert agent.rest("DELETE", "/v1/images/last").status == 200
    assert agent.rest("GET", "/v1/images/tiny").json["status"]["state"] == "READY"


def test_clean_end(agent):
    status = agent.stop()
    log = agent.log_text()
    assert status == 0 and not re.search(r"Sanitizer|runtime error", log), (status, log[-4000:])
    agent.start()
