# SPDX-License-Identifier: Apache-2.0
"""Every RPC of gRPC, with Debian's python3-grpcio as the client."""

import concurrent.futures
import json
import os
import socket
import time

import grpc
from google.protobuf import json_format

from harness import MESSAGES as m, MIB

Code = grpc.StatusCode


def refused(agent, name, request, code, **other):
    """The call is refused with this code; its error."""
    try:
        reply = agent.rpc(name, request, **other)
    except grpc.RpcError as e:
        assert e.code() == code and e.details(), (name, e.code(), e.details())
        return e
    raise AssertionError(f"{name} was not refused: {reply}")


def problem(e):
    """The croft.v1.Problem of an error's google.rpc.Status: {1: code, 2: message, 3: Any{1: url, 2: value}}."""
    raw = dict(e.trailing_metadata())["grpc-status-details-bin"]
    status = fields(raw)
    assert status[1] == e.code().value[0] and status[2].decode() == e.details(), status
    any_value = fields(status[3])
    assert any_value[1] == b"type.googleapis.com/croft.v1.Problem", any_value
    return m.Problem.FromString(any_value[2])


def fields(raw):
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(raw):
        tag = varint()
        if tag & 7 == 0:
            out[tag >> 3] = varint()
        else:
            size = varint()
            out[tag >> 3] = raw[at:at + size]
            at += size
    return out


def vm_of(name, test="idle", **spec):
    spec = m.VmSpec(vcpus=1, memory_bytes=64 * MIB, image="tiny", cmdline_append=f"croft.test={test}", **spec)
    return m.CreateVmRequest(vm=m.Vm(name=name, spec=spec))


def wait(agent, operation):
    done = agent.rpc("Operations/WaitOperation", m.WaitOperationRequest(name=operation.name, timeout={"seconds": 60}))
    assert done.state == m.Operation.SUCCEEDED, done
    return done


def test_health(agent):
    check = agent.channel.unary_unary("/grpc.health.v1.Health/Check", m.HealthCheckRequest.SerializeToString,
                                      m.HealthCheckResponse.FromString)
    for service in ("", "croft.v1.Vms", "croft.v1.Images", "croft.v1.Operations", "croft.v1.NodeService",
                    "grpc.health.v1.Health"):
        assert check(m.HealthCheckRequest(service=service), timeout=60).status == m.HealthCheckResponse.SERVING, service
    for service in ("croft.v1", "croft.v1.Vm", "nobody", "croft.v1.Vms/GetVm"):
        try:
            check(m.HealthCheckRequest(service=service), timeout=60)
            raise AssertionError(service)
        except grpc.RpcError as e:
            assert e.code() == Code.NOT_FOUND, e


def test_node(agent):
    node = agent.rpc("NodeService/GetNode", m.GetNodeRequest())
    assert node.name == socket.gethostname() and node.status.hypervisor == "fake", node
    assert agent.rpc("NodeService/GetVersion", m.GetVersionRequest()).api_version == "v1"
    for kind in ("live", "ready"):
        assert agent.rpc("NodeService/CheckHealth", m.CheckHealthRequest(kind=kind)).ok
    refused(agent, "NodeService/CheckHealth", m.CheckHealthRequest(kind="other"), Code.INVALID_ARGUMENT)


def test_images(agent):
    request = m.PullImageRequest(image=m.Image(name="wired", spec=m.ImageSpec(
        manifest_url=agent.images.url("manifest.json"))))
    operation = agent.rpc("Images/PullImage", request)
    assert operation.verb == "pull" and operation.actor == "tcp:127.0.0.1", operation
    wait(agent, operation)
    image = agent.rpc("Images/GetImage", m.GetImageRequest(name="wired"))
    assert image.status.state == m.ImageStatus.READY and image.status.kernel.size == 4096, image
    refused(agent, "Images/PullImage", request, Code.ALREADY_EXISTS)
    assert "wired" in [i.name for i in agent.rpc("Images/ListImages", m.ListImagesRequest()).images]
    assert agent.rpc("Images/DeleteImage", m.DeleteImageRequest(name="wired")).name == "wired"
    refused(agent, "Images/GetImage", m.GetImageRequest(name="wired"), Code.NOT_FOUND)


def test_vm_life(agent):
    vm = agent.rpc("Vms/CreateVm", vm_of("wire"))
    assert vm.uid and vm.revision and vm.status.state == m.VmStatus.DEFINED, vm
    refused(agent, "Vms/CreateVm", vm_of("wire"), Code.ALREADY_EXISTS)
    refused(agent, "Vms/GetVmStats", m.GetVmStatsRequest(name="wire"), Code.FAILED_PRECONDITION)
    done = wait(agent, agent.rpc("Vms/StartVm", m.StartVmRequest(name="wire")))
    assert done.target == "vms/wire" and done.HasField("end_time"), done
    refused(agent, "Vms/StartVm", m.StartVmRequest(name="wire"), Code.FAILED_PRECONDITION)
    refused(agent, "Vms/DeleteVm", m.DeleteVmRequest(name="wire"), Code.FAILED_PRECONDITION)
    stats = agent.rpc("Vms/GetVmStats", m.GetVmStatsRequest(name="wire"))
    assert len(stats.vcpus) == 1 and stats.memory_configured_bytes == 64 * MIB, stats
    text = b"\xff\x00typed\n"
    assert agent.rpc("Vms/WriteConsole", m.WriteConsoleRequest(name="wire", data=text)).accepted_bytes == len(text)
    refused(agent, "Vms/WriteConsole", m.WriteConsoleRequest(name="wire", data=bytes(4097)), Code.INVALID_ARGUMENT)
    seen, offset = b"", 0
    while b"typed" not in seen:
        read = agent.rpc("Vms/ReadConsole", m.ReadConsoleRequest(name="wire", offset=offset, wait={"seconds": 20}))
        assert read.data and not read.ended, (read, seen)
        seen += read.data
        offset = read.next_offset
    refused(agent, "Vms/ReadConsole", m.ReadConsoleRequest(name="wire", max_bytes=300000), Code.INVALID_ARGUMENT)
    assert "wire" in [v.name for v in agent.rpc("Vms/ListVms", m.ListVmsRequest(page_size=1000)).vms]
    e = refused(agent, "Vms/StopVm", m.StopVmRequest(name="wire", deadline={"seconds": 601}), Code.INVALID_ARGUMENT)
    assert problem(e).field_errors[0].field == "/deadline"
    wait(agent, agent.rpc("Vms/StopVm", m.StopVmRequest(name="wire", force=True)))
    vm = agent.rpc("Vms/GetVm", m.GetVmRequest(name="wire"))
    assert vm.status.exit_reason == m.VmStatus.force_stopped, vm
    assert agent.rpc("Vms/ReadConsole", m.ReadConsoleRequest(name="wire", offset=offset)).ended
    assert agent.rpc("Vms/DeleteVm", m.DeleteVmRequest(name="wire")).name == "wire"


def test_operations(agent):
    request = m.PullImageRequest(image=m.Image(name="stall-wire", spec=m.ImageSpec(
        manifest_url=agent.images.url("stall"))))
    operation = agent.rpc("Images/PullImage", request)
    got = agent.rpc("Operations/GetOperation", m.GetOperationRequest(name=operation.name))
    assert got.state in (m.Operation.PENDING, m.Operation.RUNNING), got
    short = agent.rpc("Operations/WaitOperation", m.WaitOperationRequest(name=operation.name, timeout={"nanos": 1000}))
    assert short.state in (m.Operation.PENDING, m.Operation.RUNNING), short
    agent.rpc("Operations/CancelOperation", m.CancelOperationRequest(name=operation.name))
    done = agent.rpc("Operations/WaitOperation", m.WaitOperationRequest(name=operation.name))
    assert done.state == m.Operation.CANCELLED and done.error.code == "CANCELLED", done
    refused(agent, "Operations/CancelOperation", m.CancelOperationRequest(name=operation.name),
            Code.FAILED_PRECONDITION)
    listed = agent.rpc("Operations/ListOperations", m.ListOperationsRequest(page_size=1000))
    assert operation.name in [o.name for o in listed.operations]
    agent.rpc("Images/DeleteImage", m.DeleteImageRequest(name="stall-wire"))


def test_same_as_rest(agent):
    """An object is the same at both doors."""
    agent.run_vm("both", disks=[{"name": "data", "size_bytes": MIB}])

    def numbers(value):
        """protojson writes 64-bit integers as strings."""
        if isinstance(value, dict):
            return {k: numbers(v) for k, v in value.items()}
        if isinstance(value, list):
            return [numbers(v) for v in value]
        return value

    for name, request, target in (("Vms/GetVm", m.GetVmRequest(name="both"), "/v1/vms/both"),
                                  ("Images/GetImage", m.GetImageRequest(name="tiny"), "/v1/images/tiny"),
                                  ("Vms/ListVms", m.ListVmsRequest(), "/v1/vms"),
                                  ("NodeService/GetVersion", m.GetVersionRequest(), "/version")):
        wire = agent.rpc(name, request)
        rest = json_format.Parse(agent.rest("GET", target).body, type(wire)())
        assert wire == rest, (wire, rest)
        mine = json_format.MessageToDict(wire, preserving_proto_field_name=True)
        theirs = json_format.MessageToDict(rest, preserving_proto_field_name=True)
        assert numbers(mine) == numbers(theirs)
    agent.drop_vm("both")


def test_errors_are_rich(agent):
    vm = vm_of("bad")
    vm.vm.spec.vcpus = 100
    e = refused(agent, "Vms/CreateVm", vm, Code.INVALID_ARGUMENT)
    wire = problem(e)
    rest = agent.rest("POST", "/v1/vms", {"name": "bad", "spec": {"vcpus": 100, "memory_bytes": 64 * MIB,
                                                                  "image": "tiny"}}).json
    assert json_format.MessageToDict(wire, preserving_proto_field_name=True) == rest, (wire, rest)
    assert problem(refused(agent, "Vms/GetVm", m.GetVmRequest(name="x"), Code.NOT_FOUND)).code == "NOT_FOUND"
    refused(agent, "Vms/CreateVm", m.CreateVmRequest(), Code.INVALID_ARGUMENT)


def test_if_match(agent):
    vm = agent.rpc("Vms/CreateVm", vm_of("rev"))
    request = m.DeleteVmRequest(name="rev")
    refused(agent, "Vms/DeleteVm", request, Code.ABORTED, metadata=[("if-match", str(vm.revision + 1))])
    for text in ("", "x", "-1", "0", "99999999999999999999999", '"1"'):
        refused(agent, "Vms/DeleteVm", request, Code.INVALID_ARGUMENT, metadata=[("if-match", text)])
    assert agent.rpc("Vms/DeleteVm", request, metadata=[("if-match", str(vm.revision))]).name == "rev"


def test_deadline_and_cancel(agent):
    """They reach the work: the agent keeps no call of a client that has gone."""
    agent.run_vm("dead")
    agent.until(lambda: agent.rest("GET", "/v1/vms/dead/console").body.endswith(b"> "), "the prompt")
    end = agent.rpc("Vms/ReadConsole", m.ReadConsoleRequest(name="dead")).next_offset
    read = m.ReadConsoleRequest(name="dead", offset=end, wait={"seconds": 30})
    refused(agent, "Vms/ReadConsole", read, Code.DEADLINE_EXCEEDED, timeout=0.3)
    call = agent.channel.unary_unary("/croft.v1.Vms/ReadConsole", m.ReadConsoleRequest.SerializeToString,
                                     m.ReadConsoleResponse.FromString)
    waiting = [call.future(read, timeout=60) for _ in range(20)]
    for future in waiting:
        future.cancel()
    with grpc.insecure_channel(f"127.0.0.1:{agent.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]) as other:
        agent.rpc("NodeService/GetVersion", m.GetVersionRequest(), channel=other)
        call = other.unary_unary("/croft.v1.Vms/ReadConsole", m.ReadConsoleRequest.SerializeToString,
                                 m.ReadConsoleResponse.FromString)
        call.future(read, timeout=60)
        time.sleep(0.2)
    assert agent.rpc("Vms/GetVm", m.GetVmRequest(name="dead")).name == "dead"
    agent.drop_vm("dead")


def test_bad_messages(agent):
    raw = agent.channel.unary_unary("/croft.v1.Vms/GetVm")
    for data, code in ((b"\xff\xff\xff", Code.INVALID_ARGUMENT), (b"\x0a\x05abc", Code.INVALID_ARGUMENT),
                       (b"\x0a\x02\xff\xfe", Code.INVALID_ARGUMENT), (b"\x0a\x03\xed\xa0\x80", Code.INVALID_ARGUMENT),
                       (b"", Code.NOT_FOUND), (b"\x0a\x01x\x52\x03new", Code.NOT_FOUND),
                       (b"\x0a" + b"\xff" * 9 + b"\x01", Code.INVALID_ARGUMENT),
                       (m.GetVmRequest(name="x" * (2 * MIB)).SerializeToString(), Code.RESOURCE_EXHAUSTED)):
        try:
            raw(data, timeout=60)
            raise AssertionError(data[:20])
        except grpc.RpcError as e:
            assert e.code() == code, (data[:20], e.code(), e.details())
    try:
        raw(bytes(100), timeout=60, compression=grpc.Compression.Gzip)
        raise AssertionError("a compressed message was taken")
    except grpc.RpcError as e:
        assert e.code() == Code.UNIMPLEMENTED, e
    stream = agent.channel.stream_unary("/croft.v1.Vms/GetVm")
    for messages in ((), (b"", b"", b"")):
        try:
            stream(iter(messages), timeout=60)
            raise AssertionError(messages)
        except grpc.RpcError as e:
            assert e.code() in (Code.INVALID_ARGUMENT, Code.NOT_FOUND), e


def test_unknown_methods(agent):
    for name in ("/croft.v1.Vms/Fly", "/croft.v1.Nobody/GetVm", "/x", "/croft.v1.Vms/GetVm/", "/" + "x" * 500):
        try:
            agent.channel.unary_unary(name)(b"", timeout=60)
            raise AssertionError(name)
        except grpc.RpcError as e:
            assert e.code() == Code.UNIMPLEMENTED, (name, e)


def test_many_calls(agent):
    """Calls that wait block nobody, and many run at once."""
    agent.run_vm("many")
    agent.until(lambda: agent.rest("GET", "/v1/vms/many/console").body.endswith(b"> "), "the prompt")
    end = agent.rpc("Vms/ReadConsole", m.ReadConsoleRequest(name="many")).next_offset
    call = agent.channel.unary_unary("/croft.v1.Vms/ReadConsole", m.ReadConsoleRequest.SerializeToString,
                                     m.ReadConsoleResponse.FromString)
    read = m.ReadConsoleRequest(name="many", offset=end, wait={"seconds": 30})
    waiting = [call.future(read, timeout=60) for _ in range(100)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: agent.rpc("Vms/GetVm", m.GetVmRequest(name="many")).name, range(400)))
    assert names == ["many"] * 400 and not any(f.done() for f in waiting)
    agent.rpc("Vms/WriteConsole", m.WriteConsoleRequest(name="many", data=b"all\n"))
    for future in waiting:
        assert future.result(60).data, future
    agent.drop_vm("many")


def test_generated_messages(agent):
    """Random bytes at every method: each is answered by a refusal of the client's doing."""
    state = int(os.environ.get("SEED", "7"))

    def dice(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % n

    client = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.ALREADY_EXISTS, Code.UNIMPLEMENTED}
    seeds = [vm_of("fuzz").SerializeToString(), m.StopVmRequest(name="fuzz", force=True).SerializeToString(),
             m.ReadConsoleRequest(name="fuzz", offset=2**63, max_bytes=2**32 - 1).SerializeToString()]
    for service in m.services.values():
        for method in service.methods:
            call = agent.channel.unary_unary(f"/{service.full_name}/{method.name}")
            for _ in range(20):
                data = bytearray(seeds[dice(len(seeds))])
                for _ in range(dice(4)):
                    data[dice(len(data))] = dice(256)
                try:
                    call(bytes(data), timeout=60)
                except grpc.RpcError as e:
                    assert e.code() in client, (method.full_name, bytes(data), e)
    for vm in agent.rpc("Vms/ListVms", m.ListVmsRequest(page_size=1000)).vms:
        agent.drop_vm(vm.name)
    assert json.loads(agent.rest("GET", "/livez").body)["ok"]
