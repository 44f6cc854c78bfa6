# SPDX-License-Identifier: Apache-2.0
"""Many clients at once: slow calls, followers, clients that vanish or do not read."""

import concurrent.futures
import socket
import subprocess

from harness import Agent, split_answer

FOLLOWERS = 50
STREAMS = 200
STREAMS_MAX = 256  # rest_limits.h
CONNECTIONS_MAX = 512
EVENTS = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"


def deaf(agent, request):
    """A client with a small window that sends a request and never reads."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.connect(("127.0.0.1", agent.rest_port))
    s.sendall(request)
    return s


def newest(agent):
    return agent.rest("GET", "/v1/events?max_events=1").json.get("newest", 0)


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
    agent.until(lambda: agent.fds() > base + FOLLOWERS - 3, "all connections")
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


def test_event_streams(agent):
    """200 clients with open streams, half of which do not read; others are answered as if they were not there."""
    base, after = agent.fds(), newest(agent)
    since = EVENTS.replace(b"/v1/events", b"/v1/events?after=%d" % after)
    readers = [agent.connect() for _ in range(STREAMS // 2)]
    for s in readers:
        s.sendall(since)
    # From the beginning, which is more than they will take.
    stalled = [deaf(agent, EVENTS) for _ in range(STREAMS // 2)]
    agent.until(lambda: agent.fds() > base + STREAMS - 3, "all connections")
    rounds = 30
    for _ in range(rounds):
        agent.make_vm("crowd")
        assert agent.rest("DELETE", "/v1/vms/crowd").status == 200
    # A pull that does not end, and a start that answers before it does.
    body = {"name": "crowd", "spec": {"manifest_url": agent.images.url("stall")}}
    pull = agent.rest("POST", "/v1/images", body)
    assert pull.status == 202, pull
    agent.make_vm("crowd")
    started = agent.rest("POST", "/v1/vms/crowd:start")
    assert started.status == 202, started
    assert agent.rest("GET", started.headers["location"] + "?wait=60s").json["state"] == "SUCCEEDED"
    assert agent.rest("GET", pull.headers["location"]).json["state"] in ("PENDING", "RUNNING")
    for s in readers:
        data = read_until(s, b"id: %d\n" % (after + 2 * rounds))
        numbers = [int(line[4:]) for line in data.splitlines() if line.startswith(b"id: ")]
        assert numbers == list(range(after + 1, after + 1 + len(numbers))), numbers
    for s in readers + stalled:
        s.close()
    assert agent.rest("POST", f"{pull.headers['location']}:cancel").status == 200
    assert agent.rest("GET", f"{pull.headers['location']}?wait=60s").json["state"] == "CANCELLED"
    assert agent.rest("DELETE", "/v1/images/crowd").status == 200
    agent.drop_vm("crowd")
    agent.until(lambda: agent.fds() <= base, "the end of the connections")


def test_order_of_answers(agent):
    """A slow verb's 202 comes before the end of what it began, and before that of what began earlier."""
    after = newest(agent)
    body = {"name": "order", "spec": {"manifest_url": agent.images.url("stall")}}
    pull = agent.rest("POST", "/v1/images", body).json["name"]
    agent.make_vm("order", "spin")
    start = agent.rest("POST", "/v1/vms/order:start?wait=60s").json["name"]
    stop = agent.rest("POST", "/v1/vms/order:stop", {"deadline": "600s"})
    assert stop.status == 202 and stop.json["state"] == "RUNNING", stop
    second = agent.rest("POST", "/v1/images", {**body, "name": "order-2"}).json["name"]
    for name in (pull, second, stop.json["name"]):
        assert agent.rest("POST", f"/v1/operations/{name}:cancel").status == 200
        agent.rest("GET", f"/v1/operations/{name}?wait=60s")
    events = agent.rest("GET", f"/v1/events?after={after}&max_events=1000&filter=type=operation.state").json["events"]
    order = [(e["target"].split("/")[1], e["state"]) for e in events]
    place = {key: order.index(key) for key in order}
    assert place[start, "SUCCEEDED"] < place[pull, "CANCELLED"], order
    assert place[stop.json["name"], "RUNNING"] < place[second, "PENDING"] < place[pull, "CANCELLED"], order
    for name in ("order", "order-2"):
        assert agent.rest("DELETE", f"/v1/images/{name}").status == 200
    agent.drop_vm("order")


def test_more_streams_than_allowed(agent):
    base, after = agent.fds(), newest(agent)
    request = EVENTS.replace(b"/v1/events", b"/v1/events?after=%d" % after)
    streams = [agent.connect() for _ in range(STREAMS_MAX)]
    for s in streams:
        s.sendall(request)
    for s in streams:
        assert b" 200 " in read_until(s, b": heartbeat\n\n")[:20]
    answer = agent.rest("GET", "/v1/events", headers=["Accept: text/event-stream"])
    assert answer.status == 429 and answer.headers["retry-after"] and answer.json["retryable"], answer
    agent.make_vm("limit")
    assert agent.rest("GET", "/v1/vms/limit/console?follow").status == 429
    assert agent.rest("GET", "/v1/vms/limit/console").status == 200
    assert agent.rest("GET", "/v1/events?wait=0.1s").status == 200
    # The other listener counts for itself.
    done = subprocess.run(["curl", "-sS", "-m", "60", "--unix-socket", agent.socket,
                           "http://x/v1/vms/limit/console?follow=true"], capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout == b"", done
    for s in streams[:10]:
        s.close()

    def again():
        with agent.connect() as s:
            s.sendall(request)
            return b" 200 " in s.recv(4096)[:20]
    agent.until(again, "room for a stream")
    for s in streams:
        s.close()
    agent.until(lambda: agent.fds() <= base, "the end of the connections")
    agent.drop_vm("limit")


def test_more_connections_than_allowed(_):
    """On an agent of its own, which nobody else is connected to."""
    agent = Agent()
    try:
        agent.start()
        more_connections(agent)
        assert agent.stop() == 0, agent.log_text()
    finally:
        agent.close()


def more_connections(agent):
    """Those beyond the limit are told to come back; the others work, and so do new ones when they have gone."""
    # The harness has looked whether the port is open.
    agent.until(lambda: agent.rest("GET", "/livez").status == 200, "an answer")
    base = agent.fds()
    many = [agent.connect() for _ in range(CONNECTIONS_MAX)]
    agent.until(lambda: agent.fds() > base + CONNECTIONS_MAX - 3, "all connections")
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    for s in (many[0], many[-10]):
        s.sendall(request)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    for _ in range(100):
        answer = split_answer(agent.raw(request))
        assert answer.status == 503 and answer.headers["retry-after"] and answer.headers["connection"] == "close", answer
        assert answer.json["retryable"] and "512 connections" in answer.json["detail"], answer
    assert agent.rest("GET", "/livez", unix=True).status == 200
    many[1].sendall(request)
    assert many[1].recv(1000).startswith(b"HTTP/1.1 200")
    # Those that are not asked for anything hold no place beyond the limit for long.
    idle = [agent.connect() for _ in range(100)]
    agent.until(lambda: split_answer(agent.raw(request)).status == 503, "an answer")
    for s in many + idle:
        s.close()
    agent.until(lambda: agent.fds() <= base, "the end of the connections")
    assert agent.rest("GET", "/livez").status == 200
