# SPDX-License-Identifier: Apache-2.0
"""The same verbs over gRPC, with Debian's python3-grpcio as the client."""

import importlib
import os
import subprocess
import sys

import board as b

try:
    import grpc
except ImportError:
    grpc = None


def available():
    return grpc is not None


def messages():
    """Python classes of api/proto, generated into out/gen-py."""
    out = f"{b.TOP}/out/gen-py"
    os.makedirs(out, exist_ok=True)
    protos = [os.path.relpath(os.path.join(d, f), f"{b.TOP}/api/proto")
              for d, _, files in os.walk(f"{b.TOP}/api/proto") for f in files if f.endswith(".proto")]
    # A package called grpc would hide the library of that name, so health's generated module is loaded by path.
    subprocess.run(["protoc", f"--proto_path={b.TOP}/api/proto", f"--python_out={out}", *protos], check=True)
    sys.path.insert(0, out)
    vm = importlib.import_module("croft.v1.vm_pb2")
    path = f"{out}/grpc/health/v1/health_pb2.py"
    spec = importlib.util.spec_from_file_location("health_pb2", path)
    health = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(health)
    return vm, health


def check(g):
    vm_pb, health_pb = messages()
    with grpc.insecure_channel(f"127.0.0.1:{g.board.grpc_port}") as channel:
        def call(method, request, reply, timeout=120):
            return channel.unary_unary(method, request_serializer=type(request).SerializeToString,
                                       response_deserializer=reply.FromString)(request, timeout=timeout)

        def refused(code, method, request, reply):
            try:
                call(method, request, reply)
            except grpc.RpcError as e:
                assert e.code() == code and e.details(), (e.code(), e.details())
                return
            raise AssertionError(f"{method} was not refused")

        health = call("/grpc.health.v1.Health/Check", health_pb.HealthCheckRequest(), health_pb.HealthCheckResponse)
        assert health.status == health_pb.HealthCheckResponse.SERVING, health

        spec = vm_pb.VmSpec(vcpus=1, memory_bytes=128 << 20, image="guest", cmdline_append="croft.test=idle")
        create = vm_pb.CreateVmRequest(vm=vm_pb.Vm(name="wire", spec=spec))
        vm = call("/croft.v1.Vms/CreateVm", create, vm_pb.Vm)
        assert vm.status.state == vm_pb.VmStatus.DEFINED and vm.uid, vm
        refused(grpc.StatusCode.ALREADY_EXISTS, "/croft.v1.Vms/CreateVm", create, vm_pb.Vm)
        create.vm.spec.vcpus = 100
        create.vm.name = "wire2"
        refused(grpc.StatusCode.INVALID_ARGUMENT, "/croft.v1.Vms/CreateVm", create, vm_pb.Vm)
        refused(grpc.StatusCode.UNIMPLEMENTED, "/croft.v1.Vms/Nonsense", create, vm_pb.Vm)

        operations = importlib.import_module("croft.v1.operation_pb2")

        def finish(operation):
            request = operations.WaitOperationRequest(name=operation.name)
            request.timeout.seconds = 60
            done = call("/croft.v1.Operations/WaitOperation", request, operations.Operation)
            assert done.state == operations.Operation.SUCCEEDED, done

        finish(call("/croft.v1.Vms/StartVm", vm_pb.StartVmRequest(name="wire"), operations.Operation))
        g.wait_console("wire", b"croft-guest: ready")
        stats = call("/croft.v1.Vms/GetVmStats", vm_pb.GetVmStatsRequest(name="wire"), vm_pb.VmStats)
        assert stats.vcpus[0].run_seconds > 0 and stats.memory_configured_bytes == 128 << 20, stats
        console = call("/croft.v1.Vms/ReadConsole", vm_pb.ReadConsoleRequest(name="wire"), vm_pb.ReadConsoleResponse)
        assert b"croft-guest: ready" in console.data, console
        finish(call("/croft.v1.Vms/StopVm", vm_pb.StopVmRequest(name="wire", force=True), operations.Operation))
        call("/croft.v1.Vms/DeleteVm", vm_pb.DeleteVmRequest(name="wire"), vm_pb.Vm)
        refused(grpc.StatusCode.NOT_FOUND, "/croft.v1.Vms/GetVm", vm_pb.GetVmRequest(name="wire"), vm_pb.Vm)
