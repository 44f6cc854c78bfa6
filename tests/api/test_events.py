# SPDX-License-Identifier: Apache-2.0
"""Events over both doors: what they tell, streams that are resumed, clients that do not read, and a kill."""

import json
import signal
import socket
import subprocess

import grpc

from harness import CONTRACT, MESSAGES as m, program

SUBSCRIBERS = 50


def newest(agent):
    return agent.rest("GET", "/v1/events?max_events=1").json.get("newest", 0)


def read(agent, after):
    """All events behind a number, which have no gaps."""
    events = []
    while True:
        answer = agent.rest("GET", f"/v1/events?after={after}&max_events=1000")
        assert answer.status == 200, answer
        some = answer.json.get("events", [])
        assert [e["number"] for e in some] == list(range(after + 1, after + 1 + len(some)))
        if not some:
            return events
        events += some
        after = answer.json["next"]


def short(events):
    return [(e["type"], e["target"], e.get("state")) for e in events]


class Stream:
    """Server-sent events by curl."""

    def __init__(self, agent, after=None, last=None):
        command = ["curl", "-sSN", "-m", "120", "-H", "Accept: text/event-stream"]
        command += ["-H", f"Last-Event-ID: {last}"] if last is not None else []
        self.curl = subprocess.Popen([*command, agent.url("/v1/events" + (f"?after={after}" if after else ""))],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def next(self):
        fields = {}
        while True:
            line = self.curl.stdout.readline().decode()
            assert line, "the stream has ended"
            line = line.rstrip("\n")
            if line and not line.startswith(":"):
                key, _, value = line.partition(": ")
                assert key not in fields, line
                fields[key] = value
            elif not line and fields:
                event = json.loads(fields["data"])
                CONTRACT.check(event, {"$ref": "#/components/schemas/Event"})
                assert set(fields) == {"id", "event", "data"}, fields
                assert fields["id"] == str(event["number"]) and fields["event"] == event["type"], fields
                return event

    def close(self):
        self.curl.kill()
        self.curl.communicate()


def test_what_events_tell(agent):
    before = newest(agent)
    agent.run_vm("told")
    agent.drop_vm("told")
    events = [e for e in read(agent, before) if e["target"] == "vms/told"]
    assert short(events) == [("vm.created", "vms/told", "DEFINED")] + \
        [("vm.state", "vms/told", s) for s in ("PREPARING", "STARTING", "RUNNING", "STOPPING", "STOPPED")] + \
        [("vm.deleted", "vms/told", None)], events
    assert all(e["actor"] == "tcp" and e["time"] for e in events), events
    assert events[5]["reason"] == "force_stopped", events
    operations = [e for e in read(agent, before) if e["type"] == "operation.state"]
    assert [e["state"] for e in operations] == ["PENDING", "RUNNING", "SUCCEEDED"] * 2, operations
    assert operations[0]["message"] == "start vms/told", operations
    body = {"name": "absent", "spec": {"manifest_url": agent.images.url("absent.json")}}
    before = newest(agent)
    assert agent.rest("POST", "/v1/images?wait=60s", body).status == 404
    assert agent.rest("DELETE", "/v1/images/absent").status == 200
    events = read(agent, before)
    assert [e for e in short(events) if e[1] == "images/absent"] == \
        [("image.state", "images/absent", "PULLING"), ("image.state", "images/absent", "FAILED"),
         ("image.deleted", "images/absent", None)], events
    failed = [e for e in events if e["target"].startswith("operations/")][-1]
    assert failed["state"] == "FAILED" and failed["reason"] == "NOT_FOUND", failed


def test_a_guest_that_ends_by_itself(agent):
    before = newest(agent)
    agent.run_vm("own", "poweroff")
    agent.until(lambda: agent.rest("GET", "/v1/vms/own").json["status"]["state"] == "STOPPED", "the end")
    last = [e for e in read(agent, before) if e["target"] == "vms/own"][-1]
    assert last["reason"] == "guest_poweroff" and "actor" not in last, last
    agent.drop_vm("own")


def test_long_poll(agent):
    after = newest(agent)
    assert "events" not in agent.rest("GET", f"/v1/events?after={after}&wait=0.2s").json
    poll = subprocess.Popen(["curl", "-sS", "-m", "60", agent.url(f"/v1/events?after={after}&wait=30s")],
                            stdout=subprocess.PIPE)
    agent.make_vm("poll")
    out = json.loads(poll.communicate()[0])
    assert out["events"][0]["number"] == after + 1 and out["events"][0]["target"] == "vms/poll", out
    agent.drop_vm("poll")
    assert agent.rest("GET", f"/v1/events?after={after}").json["next"] == after + 2


def test_refused(agent):
    number = newest(agent) + 1000
    for answer in (agent.rest("GET", f"/v1/events?after={number}"),
                   agent.rest("GET", "/v1/events", headers=["Accept: text/event-stream", f"Last-Event-ID: {number}"])):
        assert answer.status == 410 and answer.json["code"] == "OUT_OF_RANGE", answer
        assert "the oldest that is kept 1" in answer.json["detail"], answer
    assert agent.rest("GET", "/v1/events?max_events=1001").field() == "/max_events"
    stream = ["Accept: text/event-stream"]
    assert agent.rest("GET", "/v1/events?wait=5s", headers=stream).field() == "/wait"
    assert agent.rest("GET", "/v1/events?max_events=5", headers=stream).field() == "/max_events"
    for bad in ("x", "-1", "1 2", "99999999999999999999"):
        answer = agent.rest("GET", "/v1/events", headers=[*stream, f"Last-Event-ID: {bad}"])
        assert answer.status == 400, answer
    assert agent.rest("HEAD", "/v1/events", headers=stream).status == 200


def test_stream_is_resumed(agent):
    after = newest(agent)
    stream = Stream(agent, after=after)
    agent.make_vm("first")
    assert stream.next()["target"] == "vms/first"
    stream.close()
    agent.drop_vm("first")
    agent.make_vm("second")
    # The header counts, not the URL that the client began with.
    stream = Stream(agent, after=after, last=after + 1)
    assert short([stream.next(), stream.next()]) == [("vm.deleted", "vms/first", None),
                                                     ("vm.created", "vms/second", "DEFINED")]
    agent.drop_vm("second")
    assert stream.next()["type"] == "vm.deleted"
    stream.close()
    # From the beginning, if no number is given.
    stream = Stream(agent)
    assert stream.next()["number"] == 1
    stream.close()


def test_heartbeat(agent):
    s = agent.connect()
    s.sendall(f"GET /v1/events?after={newest(agent)} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
    data = b""
    while data.count(b": heartbeat\n\n") < 2:
        chunk = s.recv(65536)
        assert chunk, data
        data += chunk
    s.close()


def test_grpc(agent):
    before = newest(agent)
    agent.make_vm("rpc")
    reply = agent.rpc("Events/ReadEvents", m.ReadEventsRequest(after=before, max_events=1))
    assert [e.target for e in reply.events] == ["vms/rpc"] and reply.next == before + 1 == reply.newest, reply
    waiting = agent.channel.unary_unary("/croft.v1.Events/ReadEvents", m.ReadEventsRequest.SerializeToString,
                                        m.ReadEventsResponse.FromString)
    future = waiting.future(m.ReadEventsRequest(after=before + 1, wait={"seconds": 30}), timeout=60)
    agent.drop_vm("rpc")
    assert future.result().events[0].type == "vm.deleted", future.result()
    try:
        agent.rpc("Events/ReadEvents", m.ReadEventsRequest(after=before + 1000))
        assert False, "a number that never was is answered"
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error


def test_many_subscribers(agent):
    """Half of them do not read; they delay neither the source nor the others, and all are forgotten when they go."""
    before, base = newest(agent), agent.fds()
    streams = [Stream(agent, after=before) for _ in range(SUBSCRIBERS // 2)]
    deaf = []
    for _ in range(SUBSCRIBERS // 2):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", agent.rest_port))
        s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        deaf.append(s)
    agent.until(lambda: agent.fds() > base + SUBSCRIBERS - 3, "all connections")
    for _ in range(60):
        agent.make_vm("many")
        assert agent.rest("DELETE", "/v1/vms/many").status == 200
    for stream in streams:
        events = [stream.next() for _ in range(120)]
        assert [e["number"] for e in events] == list(range(before + 1, before + 121))
        assert {e["target"] for e in events} == {"vms/many"}
    for stream in streams:
        stream.close()
    for s in deaf:
        s.close()
    agent.until(lambda: agent.fds() <= base, "the end of the connections")


def test_kill(agent):
    """Nothing that was told is lost, and the numbers go on."""
    before = newest(agent)
    stream = Stream(agent, after=before)
    agent.run_vm("killed")
    told = [stream.next()]
    while told[-1].get("state") != "RUNNING" or told[-1]["type"] != "vm.state":
        told.append(stream.next())
    agent.channel.close()
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()
    stream.close()
    agent.start()
    after = read(agent, before)
    assert after[:len(told)] == told, (told, after)
    ends = short(after[len(told):])
    assert ("vm.state", "vms/killed", "STOPPED") in ends, ends
    stream = Stream(agent, last=told[-1]["number"])
    assert stream.next() == after[len(told)]
    stream.close()
    agent.drop_vm("killed")


def test_ctl(agent):
    def ctl(*args):
        return [program("croftctl"), "-s", agent.socket, *args]

    before = newest(agent)
    watch = subprocess.Popen(ctl("event", "watch", f"--after={before}"), stdout=subprocess.PIPE, text=True)
    agent.make_vm("ctl-event")
    line = watch.stdout.readline().split()
    assert line[0] == str(before + 1) and line[2:5] == ["vm.created", "vms/ctl-event", "DEFINED"], line
    watch.kill()
    watch.communicate()
    agent.drop_vm("ctl-event")
    done = subprocess.run(ctl("event", "list", f"--after={before}"), capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("NUMBER") and len(lines) == 3 and "vm.deleted" in lines[2], done
    done = subprocess.run(ctl("event", "list", "--after=x"), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
