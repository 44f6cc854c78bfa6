# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote: curl, Node.js's gRPC and WebSocket clients, Python's WebSocket client."""

import asyncio
import json
import subprocess

import websockets

import tools
from harness import TOP
from test_access import secure

CHECKS = ["unary calls", "errors", "a deadline", "a stream of events", "a stream of stats", "an attached console"]


def running(agent, name):
    agent.run_vm(name)
    agent.until(lambda: agent.rest("GET", f"/v1/vms/{name}/console").body.endswith(b"> "), "the prompt")


def grpc_js(agent, address, *credentials):
    running(agent, "js")
    status, text = tools.node("grpc_client.mjs", address, f"{TOP}/api/proto", "js", *credentials)
    assert status == 0 and text.splitlines() == CHECKS, text
    agent.drop_vm("js")


def test_grpc_js(agent):
    """Debian's python3-grpcio is the client of test_grpc.py."""
    tools.npm()
    grpc_js(agent, f"127.0.0.1:{agent.grpc_port}")


def test_grpc_js_over_mutual_tls(_agent):
    tools.npm()
    with secure(**{"tcp-roles": "admin"}) as agent:
        agent.pull()
        admin = agent.ids["admin"]
        grpc_js(agent, f"127.0.0.1:{agent.grpc_tls_port}", agent.ca.pem, admin.certificate, admin.key)


def test_websocket_of_node(agent):
    tools.npm()
    running(agent, "ws")
    url = f"ws://127.0.0.1:{agent.rest_port}/v1/vms/ws/console:attach"
    status, text = tools.node("socket_client.mjs", url)
    assert status == 0, text
    assert text.split() == ["attached", "one", "writer", "echoed", "closed"], text
    agent.drop_vm("ws")


def test_websocket_of_python(agent):
    running(agent, "pysock")
    url = f"ws://127.0.0.1:{agent.rest_port}/v1/vms/pysock/console:attach"

    async def talk():
        async with websockets.connect(f"{url}?write=true") as writer, websockets.connect(url) as reader:
            await writer.send(b"typed by python\n")
            for socket in (writer, reader):
                seen = b""
                while b"typed by python" not in seen:
                    seen += await asyncio.wait_for(socket.recv(), 20)
    asyncio.run(talk())
    agent.drop_vm("pysock")


def test_curl_speaks_all_of_it(agent):
    """curl's own options, without the harness: a unix socket, HTTP/1.0, a body from a pipe, HEAD, several requests at once."""
    def curl(*args, **other):
        done = subprocess.run(["curl", "-sS", "-m", "60", *args], capture_output=True, check=True, **other)
        return done.stdout
    assert json.loads(curl("--unix-socket", agent.socket, "http://croft/version"))["api_version"] == "v1"
    assert json.loads(curl("--http1.0", agent.url("/v1/node")))["name"]
    body = json.dumps({"name": "piped", "spec": {"vcpus": 1, "memory_bytes": 67108864, "image": "tiny"}})
    made = curl("-H", "Content-Type: application/json", "-d", "@-", agent.url("/v1/vms"), input=body.encode())
    assert json.loads(made)["name"] == "piped"
    head = curl("-I", agent.url("/v1/vms/piped")).decode()
    assert head.startswith("HTTP/1.1 200") and "etag:" in head.lower(), head
    urls = [arg for _ in range(50) for arg in (agent.url("/v1/vms/piped"), "-o", "/dev/null")]
    codes = curl("--parallel", "-w", "%{http_code}\n", *urls).decode().split()
    assert codes == ["200"] * 50, codes
    assert curl("-X", "DELETE", "-w", "%{http_code}", agent.url("/v1/vms/piped")).endswith(b"200")
