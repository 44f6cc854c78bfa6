# SPDX-License-Identifier: Apache-2.0
"""The console over gRPC and REST at once: one recording, one writer, many readers."""

import queue

import grpc
from harness import MESSAGES


def follow(agent, name, **more):
    reply = MESSAGES.reply("croft.v1.Vms", "FollowConsole")
    call = agent.channel.unary_stream("/croft.v1.Vms/FollowConsole",
                                      MESSAGES.FollowConsoleRequest.SerializeToString, reply.FromString)
    return call(MESSAGES.FollowConsoleRequest(name=name, **more), timeout=60)


class Attachment:
    """A bidirectional stream whose messages the test puts in one by one."""

    def __init__(self, agent, name, write):
        self.out = queue.Queue()
        self.out.put(MESSAGES.AttachConsoleRequest(name=name, write=write))
        reply = MESSAGES.reply("croft.v1.Vms", "AttachConsole")
        call = agent.channel.stream_stream("/croft.v1.Vms/AttachConsole",
                                           MESSAGES.AttachConsoleRequest.SerializeToString, reply.FromString)
        self.call = call(iter(self.out.get, None), timeout=60)

    def type(self, data):
        self.out.put(MESSAGES.AttachConsoleRequest(data=data))

    def read_until(self, text):
        return read_until(self.call, text)

    def close(self):
        self.out.put(None)
        self.call.cancel()


def read_until(call, text):
    data = b""
    for message in call:
        data += message.data
        if text in data:
            return data
    raise AssertionError((text, data))


def test_follow_to_the_end(agent):
    agent.run_vm("con-f")
    call = follow(agent, "con-f")
    assert agent.curl("POST", "/v1/vms/con-f/console", "--data-binary", "first\n").status == 200
    read_until(call, b"first")
    assert agent.rest("POST", "/v1/vms/con-f:stop?wait=60s", {"force": True}).status == 200
    last = list(call)[-1]
    assert last.ended, last
    whole = agent.curl("GET", "/v1/vms/con-f/console").body
    assert b"".join(m.data for m in follow(agent, "con-f")) == whole
    tail = list(follow(agent, "con-f", tail_bytes=5))
    assert b"".join(m.data for m in tail) == whole[-5:] and tail[0].offset == len(whole) - 5, tail
    agent.drop_vm("con-f")


def test_one_writer_over_both(agent):
    agent.run_vm("con-w")
    first = Attachment(agent, "con-w", True)
    assert next(first.call).data == b"", "it is told at once that it may type"
    first.type(b"hello there\n")
    first.read_until(b"hello there")
    second = Attachment(agent, "con-w", True)
    try:
        next(second.call)
        raise AssertionError("two writers")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.FAILED_PRECONDITION and "is attached and writes" in e.details(), e
    answer = agent.curl("POST", "/v1/vms/con-w/console", "--data-binary", "x")
    assert answer.status == 409 and "attached" in answer.json["detail"], answer
    reader = Attachment(agent, "con-w", False)
    reader.read_until(b"hello there")
    first.close()
    agent.until(lambda: agent.curl("POST", "/v1/vms/con-w/console", "--data-binary", "free\n").status == 200,
                "the end of the writer")
    reader.read_until(b"free")
    reader.close()
    agent.drop_vm("con-w")


def test_refusals(agent):
    agent.make_vm("con-r")
    for name, write, code in (("none", False, grpc.StatusCode.NOT_FOUND), ("con-r", True, grpc.StatusCode.FAILED_PRECONDITION)):
        attachment = Attachment(agent, name, write)
        try:
            next(attachment.call)
            raise AssertionError(name)
        except grpc.RpcError as e:
            assert e.code() == code, e
        attachment.close()
    try:
        list(follow(agent, "con-r", offset=1, tail_bytes=1))
        raise AssertionError("offset and tail_bytes")
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.INVALID_ARGUMENT, e
    agent.drop_vm("con-r")


def test_stream_goes_on_over_a_restart(agent):
    """A restart is no end of the VM: who follows sees both runs."""
    agent.run_vm("con-x")
    call = follow(agent, "con-x")
    banner = b"echoed"  # near the end of what the test guest says first
    read_until(call, banner)
    assert agent.rest("POST", "/v1/vms/con-x:restart?wait=60s", {"force": True}).status == 200
    read_until(call, banner)
    call.cancel()
    agent.drop_vm("con-x")
