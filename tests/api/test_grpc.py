# SPDX-License-Identifier: Apache-2.0
"""Every RPC of gRPC, with Debian's python3-grpcio as the client."""

import concurrent.futures
import contextlib
import os
import queue
import socket
import subprocess
import tempfile
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from harness import MESSAGES as m, MIB, TOP, Agent

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


def streams(agent, name, request, channel=None, **other):
    """A stream of the server, by its method's name and its one request."""
    service, method = name.rsplit("/", 1)
    full = service if service.startswith("grpc.") else f"croft.v1.{service}"
    return (channel or agent.channel).unary_stream(f"/{full}/{method}", type(request).SerializeToString,
                                                   m.reply(full, method).FromString)(request, timeout=60, **other)


def ends(stream, code):
    """The stream ends with that code, whatever came before; the error."""
    try:
        for _ in stream:
            pass
    except grpc.RpcError as e:
        assert e.code() == code, (e.code(), e.details())
        return e
    assert code == Code.OK, "it ended well"
    return None


def test_health(agent):
    check = agent.channel.unary_unary("/grpc.health.v1.Health/Check", m.HealthCheckRequest.SerializeToString,
                                      m.HealthCheckResponse.FromString)
    for service in ("", "croft.v1.Vms", "croft.v1.Images", "croft.v1.Operations", "croft.v1.NodeService", "croft.store",
                    "croft.hypervisor", "croft.images", "grpc.health.v1.Health", *m.services):
        assert check(m.HealthCheckRequest(service=service), timeout=60).status == m.HealthCheckResponse.SERVING, service
    for service in ("croft.v1", "croft.v1.Vm", "nobody", "croft.v1.Vms/GetVm", "croft.disk"):
        try:
            check(m.HealthCheckRequest(service=service), timeout=60)
            raise AssertionError(service)
        except grpc.RpcError as e:
            assert e.code() == Code.NOT_FOUND and problem(e).field_errors[0].field == "/service", e


def test_health_watch(agent):
    """The status now, and again when it changes: of what needs the part that fails, and of nothing else."""
    Status = m.HealthCheckResponse
    watch = {name: streams(agent, "grpc.health.v1.Health/Watch", m.HealthCheckRequest(service=name))
             for name in ("", "croft.images", "croft.v1.Images", "croft.store", "nobody")}
    for name, stream in watch.items():
        assert next(stream).status == (Status.SERVICE_UNKNOWN if name == "nobody" else Status.SERVING), name
    blobs = f"{agent.tmp.name}/state/blobs"
    os.rename(blobs, f"{blobs}.gone")
    try:
        for name in ("", "croft.images", "croft.v1.Images"):
            assert next(watch[name]).status == Status.NOT_SERVING, name
    finally:
        os.rename(f"{blobs}.gone", blobs)
    for name in ("", "croft.images", "croft.v1.Images"):
        assert next(watch[name]).status == Status.SERVING, name
    for name in ("croft.store", "nobody"):
        late = concurrent.futures.ThreadPoolExecutor(1).submit(next, watch[name])
        watch[name].cancel()
        assert isinstance(late.exception(60), grpc.RpcError), name
    for stream in watch.values():
        stream.cancel()


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
    assert operation.verb == "pull" and operation.actor == "tcp", operation
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
                       (b"", Code.NOT_FOUND), (b"\x0a\x01x\x52\x03new", Code.NOT_FOUND), (b"\x0a\x03a\0b", Code.INVALID_ARGUMENT),
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


def test_metadata(agent):
    """An idempotency key makes one VM of two requests; what is too long or wrong is refused by name."""
    key = [("idempotency-key", "grpc-1")]
    first = agent.rpc("Vms/CreateVm", vm_of("idem"), metadata=key)
    assert agent.rpc("Vms/CreateVm", vm_of("idem"), metadata=key) == first
    e = refused(agent, "Vms/CreateVm", vm_of("other"), Code.INVALID_ARGUMENT, metadata=key)
    assert problem(e).field_errors[0].field.lower() == "idempotency-key", e.details()
    for name, value in (("idempotency-key", "x" * 129), ("idempotency-key", ""), ("if-match", "no"), ("if-match", "9" * 40),
                        ("if-match", "0")):
        e = refused(agent, "Vms/DeleteVm", m.DeleteVmRequest(name="idem"), Code.INVALID_ARGUMENT, metadata=[(name, value)])
        assert problem(e).field_errors[0].field == name, (name, value, e)
    e = refused(agent, "Vms/DeleteVm", m.DeleteVmRequest(name="idem"), Code.INVALID_ARGUMENT,
                metadata=[("if-match", str(first.revision))] * 2)
    with channels(agent, 1) as (other,):  # gRPC core ends the connection, too
        refused(agent, "Vms/GetVm", m.GetVmRequest(name="idem"), Code.RESOURCE_EXHAUSTED, metadata=[("x", "y" * 20000)],
                channel=other)
    agent.drop_vm("idem")


@contextlib.contextmanager
def channels(agent, n):
    """Connections of their own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{agent.grpc_port}",
                                                         [("grpc.use_local_subchannel_pool", 1)])) for _ in range(n)]


def test_streams(agent):
    """Each event comes to each that watches, also from where it was left; a wrong place is refused."""
    first = streams(agent, "Events/WatchEvents", m.WatchEventsRequest())
    start = next(first)
    agent.rpc("Vms/CreateVm", vm_of("seen"))
    event = next(e for e in first if e.target == "vms/seen")
    again = streams(agent, "Events/WatchEvents", m.WatchEventsRequest(after=event.number - 1))
    assert next(again) == event and event.number > start.number
    agent.rpc("Vms/DeleteVm", m.DeleteVmRequest(name="seen"))
    for stream in (first, again):
        assert next(e for e in stream if e.target == "vms/seen").number > event.number
        stream.cancel()
    ends(streams(agent, "Events/WatchEvents", m.WatchEventsRequest(after=2**60)), Code.OUT_OF_RANGE)
    ends(streams(agent, "Vms/FollowConsole", m.FollowConsoleRequest(name="nobody")), Code.NOT_FOUND)
    short = streams(agent, "Events/WatchEvents", m.WatchEventsRequest(after=event.number), metadata=[("if-match", "x")])
    ends(short, Code.INVALID_ARGUMENT)


def test_streams_have_limits(agent):
    """512 streams that nobody reads delay nobody; one more is refused, and there is room again when they have gone."""
    with channels(agent, 3) as many:
        held = [streams(agent, "Events/WatchEvents", m.WatchEventsRequest(), channel=many[i % 3]) for i in range(512)]
        for stream in held:
            assert stream.initial_metadata() is not None
        more = streams(agent, "Events/WatchEvents", m.WatchEventsRequest(), channel=many[0])
        e = ends(more, Code.RESOURCE_EXHAUSTED)
        assert "512 streams" in e.details(), e
        for _ in range(100):
            agent.rpc("NodeService/GetVersion", m.GetVersionRequest(), timeout=20)
        for stream in held:
            stream.cancel()

    def room():
        stream = streams(agent, "Events/WatchEvents", m.WatchEventsRequest())
        try:
            return bool(next(stream).number)
        except grpc.RpcError:
            return False
        finally:
            stream.cancel()
    agent.until(room, "room for a stream")


def test_slow_reader(agent):
    """What a client does not read stays where it is: the agent keeps a message of it, not all that it asks for."""
    agent.run_vm("flood")
    agent.until(lambda: agent.rest("GET", "/v1/vms/flood/console").body.endswith(b"> "), "the prompt")
    for _ in range(64):
        agent.rpc("Vms/WriteConsole", m.WriteConsoleRequest(name="flood", data=b"x" * 1000 + b"\n"))
    with channels(agent, 1) as (other,):
        agent.rpc("NodeService/GetVersion", m.GetVersionRequest(), channel=other)
        before = agent.rss_kib()
        held = [streams(agent, "Vms/FollowConsole", m.FollowConsoleRequest(name="flood"), channel=other) for _ in range(200)]
        for stream in held:
            assert next(stream).data
        assert agent.rss_kib() - before < 100 * 1024, (before, agent.rss_kib())
        for stream in held:
            stream.cancel()
    agent.drop_vm("flood")


# ---- the attached console ---------------------------------------------------------------------

class Attachment:
    """A bidirectional stream whose messages are sent when told."""

    def __init__(self, agent, *messages):
        self.queue = queue.Queue()
        call = agent.channel.stream_stream("/croft.v1.Vms/AttachConsole", m.AttachConsoleRequest.SerializeToString,
                                           m.ReadConsoleResponse.FromString)
        self.stream = call(iter(self.queue.get, None), timeout=60)
        for message in messages:
            self.send(**message)

    def send(self, **fields):
        self.queue.put(m.AttachConsoleRequest(**fields))

    def half_close(self):
        self.queue.put(None)

    def read_until(self, text):
        seen = b""
        while text not in seen:
            seen += next(self.stream).data
        return seen

    def close(self):
        self.half_close()
        self.stream.cancel()

    def ends(self, code):
        e = ends(self.stream, code)
        self.half_close()
        return e


def test_attach(agent):
    agent.run_vm("desk")
    writer = Attachment(agent, {"name": "desk", "write": True})
    writer.read_until(b"> ")
    for word in (b"first", b"second", b"third"):
        writer.send(data=word + b"\n")
    seen = writer.read_until(b"third")
    assert seen.find(b"first") < seen.find(b"second") < seen.find(b"third"), seen
    reader = Attachment(agent, {"name": "desk", "tail_bytes": 5})
    assert len(next(reader.stream).data) <= 5
    e = Attachment(agent, {"name": "desk", "write": True}).ends(Code.FAILED_PRECONDITION)
    assert "tcp" in e.details(), e
    refused(agent, "Vms/WriteConsole", m.WriteConsoleRequest(name="desk", data=b"x"), Code.FAILED_PRECONDITION)
    # What is typed in the first message is typed, too; one who has typed all still reads.
    writer.half_close()
    writer.stream.cancel()
    agent.until(lambda: can_write(agent, "desk"), "the end of the attachment")
    short = Attachment(agent, {"name": "desk", "write": True, "data": b"at once\n", "tail_bytes": 1})
    short.half_close()
    short.read_until(b"at once")
    reader.read_until(b"at once")
    # More than a guest takes at once: the next message is read when the last has been typed.
    big = b"y" * 4096
    refuse = ({"data": b"z" * 4097}, "/data"), ({"name": "desk"}, "/name"), ({"offset": 1}, "/offset"), ({"write": True}, "/write")
    short.close()
    agent.until(lambda: can_write(agent, "desk"), "the end of the attachment")
    many = Attachment(agent, {"name": "desk", "write": True})
    for _ in range(16):
        many.send(data=big)
    many.send(data=b"\nover\n")
    many.read_until(b"over")
    many.close()
    for message, field in refuse:
        agent.until(lambda: can_write(agent, "desk"), "the end of the attachment")
        wrong = Attachment(agent, {"name": "desk", "write": True}, message)
        assert problem(wrong.ends(Code.INVALID_ARGUMENT)).field_errors[0].field == field, field
    reader.send(data=b"may I?")
    assert problem(reader.ends(Code.INVALID_ARGUMENT)).field_errors[0].field == "/data"
    Attachment(agent, {"name": "nobody"}).ends(Code.NOT_FOUND)
    last = Attachment(agent, {"name": "desk"})
    agent.rpc("Vms/StopVm", m.StopVmRequest(name="desk", force=True))
    last.ends(Code.OK)
    agent.until(lambda: agent.rpc("Vms/GetVm", m.GetVmRequest(name="desk")).status.state == m.VmStatus.STOPPED, "the end")
    agent.drop_vm("desk")


def can_write(agent, name):
    try:
        return agent.rpc("Vms/WriteConsole", m.WriteConsoleRequest(name=name, data=b"")).accepted_bytes == 0
    except grpc.RpcError as e:
        assert e.code() == Code.FAILED_PRECONDITION, e
        return False


# ---- reflection -------------------------------------------------------------------------------

class Reflection:
    """A client that knows nothing of the API but the protocol of reflection."""

    def __init__(self, agent, version):
        self.agent, self.version = agent, version

    def ask(self, *requests):
        """The answers to requests in one stream, each a keyword and its value."""
        messages = [m.ServerReflectionRequest(host="here", **{k: v}) for k, v in requests]
        call = self.agent.channel.stream_stream(f"/grpc.reflection.{self.version}.ServerReflection/ServerReflectionInfo",
                                                m.ServerReflectionRequest.SerializeToString,
                                                m.ServerReflectionResponse.FromString)
        answers = list(call(iter(messages), timeout=60))
        assert [a.original_request for a in answers] == messages and all(a.valid_host == "here" for a in answers)
        return answers

    def files(self, kind, value):
        raw = self.ask((kind, value))[0].file_descriptor_response.file_descriptor_proto
        return [descriptor_pb2.FileDescriptorProto.FromString(f) for f in raw]


def protoc_files():
    """What protoc itself makes of api/proto."""
    with tempfile.NamedTemporaryFile() as out:
        root = f"{TOP}/api/proto"
        protos = [os.path.relpath(os.path.join(d, f), root) for d, _, files in os.walk(root) for f in files
                  if f.endswith(".proto") and "/state/" not in d]
        subprocess.run(["protoc", f"--proto_path={root}", "--include_imports", f"--descriptor_set_out={out.name}", *protos],
                       check=True)
        return {f.name: f for f in descriptor_pb2.FileDescriptorSet.FromString(out.read()).file}


def symbols(file):
    """Every full name that a file defines."""
    def enum(scope, e):
        yield f"{scope}.{e.name}"
        for value in e.value:
            yield f"{scope}.{value.name}"

    def message(scope, d):
        scope = f"{scope}.{d.name}"
        yield scope
        for field in d.field:
            yield f"{scope}.{field.name}"
        for inner in d.nested_type:
            yield from message(scope, inner)
        for e in d.enum_type:
            yield from enum(scope, e)
    for d in file.message_type:
        yield from message(file.package, d)
    for e in file.enum_type:
        yield from enum(file.package, e)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        for method in service.method:
            yield f"{file.package}.{service.name}.{method.name}"


def test_reflection(agent):
    want = protoc_files()
    for version in ("v1", "v1alpha"):
        tool = Reflection(agent, version)
        listed = [s.name for s in tool.ask(("list_services", ""))[0].list_services_response.service]
        assert sorted(listed) == sorted(f"{f.package}.{s.name}" for f in want.values() for s in f.service), listed
        for name, file in want.items():
            got = tool.files("file_by_filename", name)
            assert got[0] == file and {f.name for f in got} == closure(want, name), name
        names = [(s, name) for name, file in want.items() for s in symbols(file)]
        answers = tool.ask(*(("file_containing_symbol", s) for s, _ in names))
        for (symbol, name), answer in zip(names, answers):
            raw = answer.file_descriptor_response.file_descriptor_proto
            assert raw and descriptor_pb2.FileDescriptorProto.FromString(raw[0]).name == name, symbol
        for kind, value in (("file_by_filename", "no.proto"), ("file_containing_symbol", "croft.v1.Nobody"),
                            ("file_containing_symbol", "croft.v1"), ("file_containing_symbol", ""),
                            ("file_containing_symbol", "croft.v1.Vm.name.x"), ("file_containing_symbol", "croft.v1.Vm."),
                            ("file_containing_extension", {"containing_type": "croft.v1.Vm", "extension_number": 1}),
                            ("all_extension_numbers_of_type", "croft.v1.Vms"), ("all_extension_numbers_of_type", "x")):
            error = tool.ask((kind, value))[0].error_response
            assert error.error_code == Code.NOT_FOUND.value[0] and error.error_message, (kind, value)
        numbers = tool.ask(("all_extension_numbers_of_type", "croft.v1.Vm"))[0].all_extension_numbers_response
        assert numbers.base_type_name == "croft.v1.Vm" and not numbers.extension_number
        empty = m.ServerReflectionRequest(host="here")
        call = agent.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        answer = m.ServerReflectionResponse.FromString(next(call(iter([empty.SerializeToString()]), timeout=60)))
        assert answer.error_response.error_code == Code.INVALID_ARGUMENT.value[0]
        try:
            list(call(iter([b"\xff"]), timeout=60))
            raise AssertionError("it took what is no message")
        except grpc.RpcError as e:
            assert e.code() == Code.INVALID_ARGUMENT, e


def closure(files, name):
    out = {name}
    for other in files[name].dependency:
        out |= closure(files, other)
    return out


def test_call_by_reflection(agent):
    """A tool without proto files calls a method, with what reflection has told it."""
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(Reflection(agent, "v1").files("file_containing_symbol", "croft.v1.NodeService")):
        pool.Add(file)
    method = pool.FindServiceByName("croft.v1.NodeService").methods_by_name["GetNode"]
    make = message_factory.MessageFactory(pool).GetPrototype
    request, reply = make(method.input_type), make(method.output_type)
    call = agent.channel.unary_unary("/croft.v1.NodeService/GetNode", request.SerializeToString, reply.FromString)
    assert call(request(), timeout=60).name == socket.gethostname()


def test_streams_at_the_end(_):
    """An agent that goes down ends each stream, also one whose client reads nothing, and itself without a leak."""
    agent = Agent()
    try:
        agent.start()
        agent.pull()
        agent.run_vm("open")
        held = [streams(agent, "Events/WatchEvents", m.WatchEventsRequest()),
                streams(agent, "grpc.health.v1.Health/Watch", m.HealthCheckRequest()),
                Attachment(agent, {"name": "open", "write": True}).stream,
                agent.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
                    iter(queue.Queue().get, None), timeout=60)]
        for stream in held[:3]:
            next(stream)
        assert agent.stop(close_channel=False) == 0, agent.log_text()
        for stream in held:
            ends(stream, Code.UNAVAILABLE)
    finally:
        agent.close()


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
