# SPDX-License-Identifier: Apache-2.0
"""Many clients at once: slow calls, followers, clients that vanish or do not read."""

import concurrent.futures
import socket
import subprocess

from harness import split_answer

FOLLOWERS = 50


def follow(agent, name, n):
    return [subprocess.Popen(["curl", "-sSN", "-m", "120", agent.url(f"/v1/vms/{name}/console?follow=true")],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(n)]


def open_follower(agent, name):
    s = agent.connect()
    s.sendall(f"GET /v1/vms/{name}/console?follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return s


def read_until(s, text):
    data = b""
    while text not in data:
        chunk = s.recv(65536)
        assert chunk, f"closed behind {data[-200:]!r}"
        data += chunk
    return data


def test_slow_calls_block_nobody(agent):
    """Pulls that stall and clients that wait for them, while others are answered."""
    pulls = []
    for i in range(2):
        body = {"name": f"slow-{i}", "spec": {"manifest_url": agent.images.url("stall")}}
        pulls.append(agent.rest("POST", "/v1/images", body).json["name"])
    waiters = []
    for i in range(40):
        s = agent.connect()
        s.sendall(f"GET /v1/operations/{pulls[i % 2]}?wait=100s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        waiters.append(s)
    for _ in range(50):
        assert agent.rest("GET", "/v1/vms").status == 200
    agent.run_vm("quick")
    agent.drop_vm("quick")
    for s in waiters:
        s.setblocking(False)
        try:
            assert False, f"a waiter was answered early: {s.recv(100)!r}"
        except BlockingIOError:
            s.settimeout(60)
    for name in pulls:
        assert agent.rest("POST", f"/v1/operations/{name}:cancel").status == 200
    for s in waiters:
        raw = b""
        while chunk := s.recv(65536):
            raw += chunk
        assert split_answer(raw).json["state"] == "CANCELLED", raw
        s.close()
    for i in range(2):
        assert agent.rest("DELETE", f"/v1/images/slow-{i}").status == 200


def test_many_followers(agent):
    agent.run_vm("watched")
    clients = follow(agent, "watched", FOLLOWERS)
    late = open_follower(agent, "watched")
    read_until(late, b"\r\n\r\n")
    for i in range(20):
        assert agent.curl("POST", "/v1/vms/watched/console", "--data-binary", f"line {i}\n").status == 200
    text = agent.rest("GET", "/v1/vms/watched/console").body
    assert b"line 19" in text, text
    assert agent.rest("POST", "/v1/vms/watched:stop?wait=60s", {"force": True}).status == 200
    whole = agent.rest("GET", "/v1/vms/watched/console").body
    for client in clients:
        out, err = client.communicate(timeout=60)
        assert client.returncode == 0 and out == whole, (client.returncode, err, len(out), len(whole))
    read_until(late, b"0\r\n\r\n")
    late.close()
    agent.drop_vm("watched")


def test_vanished_clients_are_forgotten(agent):
    agent.run_vm("left")
    body = {"name": "left", "spec": {"manifest_url": agent.images.url("stall")}}
    pull = agent.rest("POST", "/v1/images", body).json["name"]
    agent.until(lambda: agent.rest("GET", "/v1/vms/left/console").body.endswith(b"> "), "the prompt")
    base = agent.fds()
    gone = []
    for i in range(FOLLOWERS):
        s = open_follower(agent, "left") if i % 2 else agent.connect()
        if not i % 2:
            s.sendall(f"GET /v1/operations/{pull}?wait=250s HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        gone.append(s)
    agent.until(lambda: agent.fds() >= base + FOLLOWERS, "all connections")
    for i, s in enumerate(gone):
        if i % 3 == 0:  # RST in place of FIN
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    agent.until(lambda: agent.fds() <= base, "the end of the connections")
    assert agent.rest("POST", f"/v1/operations/{pull}:cancel").status == 200
    assert agent.rest("GET", f"/v1/operations/{pull}?wait=60s").json["state"] == "CANCELLED"
    agent.drop_vm("left")
    assert agent.rest("DELETE", "/v1/images/left").status == 200


def test_followers_that_do_not_read(agent):
    """They delay neither the guest nor a follower that reads."""
    agent.run_vm("flood")
    deaf = []
    for _ in range(10):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", agent.rest_port))
        s.sendall(b"GET /v1/vms/flood/console?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
        deaf.append(s)
    reader = follow(agent, "flood", 1)[0]
    path = f"{agent.tmp.name}/flood"
    with open(path, "wb") as f:
        f.write(b"y" * 2000)
    typed = 0
    while typed < 600000:
        typed += agent.curl("POST", "/v1/vms/flood/console", "--data-binary", f"@{path}").json.get("accepted_bytes", 0)
    assert agent.rest("POST", "/v1/vms/flood:stop?wait=60s", {"force": True}).status == 200
    out, _ = reader.communicate(timeout=60)
    whole = agent.rest("GET", "/v1/vms/flood/console").body
    assert reader.returncode == 0 and out == whole and out.count(b"y") > 100000, (len(out), len(whole))
    for s in deaf:
        s.close()
    agent.drop_vm("flood")


def test_console_larger_than_a_read(agent):
    """All that is kept comes as one answer."""
    agent.run_vm("long")
    path = f"{agent.tmp.name}/long"
    with open(path, "wb") as f:
        f.write(b"0123456789abcde\n" * 200)
    while len(agent.rest("GET", "/v1/vms/long/console").body) < 300000:
        agent.curl("POST", "/v1/vms/long/console", "--data-binary", f"@{path}")
    answer = agent.rest("GET", "/v1/vms/long/console?offset=100000")
    assert answer.headers["croft-console-offset"] == "100000" and len(answer.body) >= 200000, answer
    agent.drop_vm("long")


def test_slow_senders_block_nobody(agent):
    """Half of a request line, and half of a body."""
    slow = []
    for i in range(40):
        s = agent.connect()
        s.sendall(b"GET /livez HTTP/1.1\r\nHost:" if i % 2 else
                  b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        slow.append(s)
    for _ in range(20):
        assert agent.rest("GET", "/livez").status == 200
    for s in slow:
        s.close()


def test_creators_of_one_name(agent):
    """One of them gets it."""
    body = {"name": "race", "spec": {"vcpus": 1, "memory_bytes": 67108864, "image": "tiny"}}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: agent.rest("POST", "/v1/vms", body).status, range(16)))
    assert sorted(answers) == [201] + [409] * 15, answers
    agent.drop_vm("race")


def test_more_connections_than_allowed(agent):
    """Those beyond the limit wait or are closed; the others work, and so do new ones when they have gone."""
    many = []
    for _ in range(700):
        try:
            many.append(socket.create_connection(("127.0.0.1", agent.rest_port), 2))
        except OSError:
            break
    assert len(many) > 400, len(many)
    many[0].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert many[0].recv(100).startswith(b"HTTP/1.1 200")
    assert agent.rest("GET", "/livez", unix=True).status == 200
    for s in many:
        s.close()
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    # A connection that the kernel dropped from the full queue comes to nothing for long; a new one does not.
    agent.until(lambda: b" 200 " in agent.raw(last, timeout=2)[:20], "an answer")
