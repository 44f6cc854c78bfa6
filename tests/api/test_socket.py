# SPDX-License-Identifier: Apache-2.0
"""The console as a WebSocket: attached by python3-websockets, and by frames made by hand where a client would not send them."""

import asyncio
import base64
import os
import signal
import socket
import struct
import subprocess

import websockets

from harness import split_answer, check_answer

BANNER = b"echoed"  # near the end of what the test guest says first


def url(agent, name, query=""):
    return f"ws://127.0.0.1:{agent.rest_port}/v1/vms/{name}/console:attach{query}"


def attach(agent, name, query="", **more):
    return websockets.connect(url(agent, name, query), close_timeout=30, **more)


async def read_until(ws, text):
    data = b""
    while text not in data:
        message = await asyncio.wait_for(ws.recv(), 60)
        assert isinstance(message, bytes), message
        data += message
    return data


async def closed(ws):
    """Reads to the end; the close code and the reason."""
    try:
        while True:
            await asyncio.wait_for(ws.recv(), 60)
    except websockets.ConnectionClosed:
        return ws.close_code, ws.close_reason


def refused(agent, name, query="", **more):
    """The answer before the upgrade: its status and the headers."""
    async def go():
        try:
            async with attach(agent, name, query, **more):
                return None
        except websockets.InvalidStatusCode as error:
            return error.status_code
    return asyncio.run(go())


def handshake(agent, name, query="", headers=(), method="GET"):
    """A connection whose request for an upgrade is sent, by hand."""
    s = agent.connect()
    lines = {"Host": "x", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
    lines.update(headers)
    head = "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
    s.sendall(f"{method} /v1/vms/{name}/console:attach{query} HTTP/1.1\r\n{head}\r\n".encode())
    return s


def upgraded(s):
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = s.recv(1)
        assert chunk, head
        head += chunk
    assert b" 101 " in head[:20], head
    return s


def frame(opcode, data=b"", fin=True, mask=True):
    """RFC 6455, section 5.2."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(data))
    if mask:
        key = os.urandom(4)
        data = key + bytes(b ^ key[i % 4] for i, b in enumerate(data))
    return head + data


def take(s, n):
    data = b""
    while len(data) < n:
        chunk = s.recv(n - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def read_frame(s):
    """Opcode and data; None at the end."""
    head = take(s, 2)
    if not head:
        return None
    n = head[1]
    if n == 126:
        n = struct.unpack(">H", take(s, 2))[0]
    elif n == 127:
        n = struct.unpack(">Q", take(s, 8))[0]
    return head[0] & 15, take(s, n) if n else b""


def close_code(s):
    """Of the close frame that comes; anything before it is passed over."""
    while True:
        got = read_frame(s)
        assert got, "closed without a close frame"
        if got[0] == 8:
            return struct.unpack(">H", got[1][:2])[0] if got[1] else 1005


def test_read_and_type(agent):
    agent.run_vm("attach")

    async def go():
        async with attach(agent, "attach", "?write=true") as ws:
            await read_until(ws, BANNER)
            await ws.send(b"binary-1\n")
            await read_until(ws, b"binary-1")
            await ws.send("text-2\n")
            await read_until(ws, b"text-2")
            await ws.send([b"in ", b"frag", b"ments-3\n"])
            await read_until(ws, b"fragments-3")
            await (await ws.ping(b"hello"))
            assert ws.subprotocol is None
    asyncio.run(go())
    assert b"fragments-3" in agent.rest("GET", "/v1/vms/attach/console").body
    agent.drop_vm("attach")


def test_one_writer_many_readers(agent):
    agent.run_vm("pen")

    async def go():
        async with attach(agent, "pen", "?write=true") as writer:
            await read_until(writer, BANNER)
            readers = [await attach(agent, "pen", query) for query in ("", "?write=false", "?tail_bytes=5")]
            try:
                async with attach(agent, "pen", "?write"):
                    assert False, "a second writer was let in"
            except websockets.InvalidStatusCode as error:
                assert error.status_code == 409, error
            answer = agent.curl("POST", "/v1/vms/pen/console", "--data-binary", "x")
            assert answer.status == 409 and "attached" in answer.json["detail"], answer
            await writer.send(b"for all\n")
            for reader in readers:
                await read_until(reader, b"for all")
            # One who only reads and types all the same has misunderstood.
            await readers[0].send(b"me too")
            assert (await closed(readers[0]))[0] == 1008
            for reader in readers[1:]:
                await reader.close()
        # The pen is free when the writer has gone.
        async with attach(agent, "pen", "?write=true") as writer:
            await writer.send(b"second\n")
            await read_until(writer, b"second")
    asyncio.run(go())
    agent.until(lambda: agent.curl("POST", "/v1/vms/pen/console", "--data-binary", "x").status == 200, "the pen")
    agent.drop_vm("pen")


def test_writer_that_vanishes_lets_go(agent):
    agent.run_vm("gone")
    base = agent.fds()
    s = upgraded(handshake(agent, "gone", "?write=true"))
    assert agent.curl("POST", "/v1/vms/gone/console", "--data-binary", "x").status == 409
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    agent.until(lambda: agent.curl("POST", "/v1/vms/gone/console", "--data-binary", "x").status == 200, "the pen")
    agent.until(lambda: agent.fds() <= base, "the end of the connection")
    agent.drop_vm("gone")


def test_end_of_the_vm(agent):
    agent.run_vm("ends")

    async def go():
        async with attach(agent, "ends") as ws:
            await read_until(ws, BANNER)
            assert agent.rest("POST", "/v1/vms/ends:stop?wait=60s", {"force": True}).status == 200
            assert (await closed(ws)) == (1000, "the VM has ended")
        # One that has ended can be read, to its end.
        async with attach(agent, "ends") as ws:
            assert BANNER in await read_until(ws, BANNER)
            assert (await closed(ws))[0] == 1000
    asyncio.run(go())
    assert refused(agent, "ends", "?write=true") == 409
    agent.drop_vm("ends")


def test_whole_console_comes(agent):
    """Much more than a socket's buffer, to clients that read late."""
    agent.run_vm("much")
    path = f"{agent.tmp.name}/much"
    with open(path, "wb") as f:
        f.write(b"0123456789abcde\n" * 128)
    late = [upgraded(handshake(agent, "much")) for _ in range(5)]
    while len(agent.rest("GET", "/v1/vms/much/console").body) < 400000:
        agent.curl("POST", "/v1/vms/much/console", "--data-binary", f"@{path}")
    assert agent.rest("POST", "/v1/vms/much:stop?wait=60s", {"force": True}).status == 200
    whole = agent.rest("GET", "/v1/vms/much/console").body
    for s in late:
        data, got = b"", read_frame(s)
        while got and got[0] != 8:
            data += got[1] if got[0] == 2 else b""
            got = read_frame(s)
        assert data == whole and got and got[1][:2] == struct.pack(">H", 1000), (len(data), len(whole), got)
        s.close()
    agent.drop_vm("much")


def test_fast_typist_is_held_back(agent):
    """The agent keeps a bounded part of what is typed, and loses none of it."""
    agent.run_vm("fast")
    line = b"y" * 1023 + b"\n"
    before = agent.rss_kib()

    async def go():
        async with attach(agent, "fast", "?write=true", max_size=None) as ws:
            await read_until(ws, b"> ")

            async def type_all():
                for _ in range(600):
                    await ws.send(line)

            async def hear_all():
                heard = 0
                while heard < 600 * 1023:
                    heard += (await asyncio.wait_for(ws.recv(), 60)).count(b"y")
                return heard

            _, heard = await asyncio.gather(type_all(), hear_all())
            assert heard == 600 * 1023, heard
    asyncio.run(go())
    assert agent.rss_kib() - before < 32 * 1024, "what was typed is kept"
    agent.drop_vm("fast")


def test_messages_that_are_refused(agent):
    agent.run_vm("bad")
    wrong = (1002, 1005)  # 1005: a close frame without a code
    cases = ((frame(2, b"x" * 65537), (1009,)), (frame(1, b"\xff\xfe"), (1007,)), (frame(2, b"x", mask=False), wrong),
             (frame(3, b"x"), wrong), (frame(0, b"x"), wrong), (frame(9, b"x" * 126), wrong),
             (bytes([0x82 | 0x40]) + frame(2, b"x")[1:], wrong), (frame(8, struct.pack(">H", 4000)), (4000,)))
    for data, codes in cases:
        s = upgraded(handshake(agent, "bad", "?write=true"))
        s.sendall(data)
        code = close_code(s)
        assert code in codes, (data[:8], code, codes)
        s.sendall(frame(8, struct.pack(">H", 1000)))
        while read_frame(s):
            pass
        s.close()
        # The next one takes the pen, so it must have been given back.
        agent.until(lambda: agent.curl("POST", "/v1/vms/bad/console", "--data-binary", "z").status == 200, "the pen")
    # The largest that is taken, in one go with the request.
    s = agent.connect()
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(("GET /v1/vms/bad/console:attach?write=true HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
               f"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode() +
              frame(2, b"early bird\n"))
    upgraded(s)
    data = b""
    while b"early bird" not in data:
        got = read_frame(s)
        assert got, data[-100:]
        data += got[1]
    s.close()
    agent.drop_vm("bad")


def test_refusals_before_the_upgrade(agent):
    agent.make_vm("plain")
    target = "/v1/vms/plain/console:attach"
    answer = agent.rest("GET", target)
    assert answer.status == 426 and answer.headers["upgrade"] == "websocket", answer
    for headers, status in (({"Upgrade": None}, 426), ({"Upgrade": "h2c"}, 426), ({"Connection": "close"}, 426),
                            ({"Sec-WebSocket-Version": "8"}, 426), ({"Sec-WebSocket-Version": None}, 426),
                            ({"Sec-WebSocket-Key": None}, 400), ({"Sec-WebSocket-Key": "AAAA"}, 400),
                            ({"Sec-WebSocket-Key": "!" * 24}, 400), ({"Origin": "http://example.org"}, 403)):
        s = handshake(agent, "plain", headers={**headers, "X-End": "y"})
        s.settimeout(60)
        raw = b""
        while b"\r\n\r\n" not in raw or len(split_answer(raw).body) < int(split_answer(raw).headers["content-length"]):
            chunk = s.recv(65536)
            assert chunk, raw
            raw += chunk
        answer = split_answer(raw)
        assert answer.status == status, (headers, answer)
        check_answer("GET", target, answer)
        if status == 426:
            assert answer.headers["sec-websocket-version"] == "13", answer
        s.close()
    assert refused(agent, "nobody") == 404
    assert refused(agent, "plain", "?write=maybe") == 400
    assert refused(agent, "plain", "?colour=red") == 400
    assert refused(agent, "plain", "?offset=1&tail_bytes=1") == 400
    assert refused(agent, "plain", "?write=true") == 409, "a VM that does not run was attached to for writing"
    assert agent.rest("POST", target).status == 405
    agent.drop_vm("plain")


def test_clients_that_do_not_read(agent):
    """They delay neither each other nor a client that reads, and are forgotten when they go."""
    agent.run_vm("stalls")
    base = agent.fds()
    deaf = []
    for _ in range(40):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", agent.rest_port))
        key = base64.b64encode(os.urandom(16)).decode()
        s.sendall(("GET /v1/vms/stalls/console:attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        # Pings whose answers it does not read, either.
        s.sendall(frame(9, b"p" * 100) * 50)
        deaf.append(s)
    agent.until(lambda: agent.fds() > base + len(deaf) - 3, "all connections")

    async def go():
        async with attach(agent, "stalls", "?write=true", max_size=None) as ws:
            for i in range(200):
                await ws.send(b"z" * 2000 + b"%d\n" % i)
                await read_until(ws, b"z%d" % i)
    asyncio.run(go())
    for s in deaf:
        s.close()
    agent.until(lambda: agent.fds() <= base, "the end of the connections")
    agent.drop_vm("stalls")


def test_agent_goes_down(agent):
    """On an agent of its own: everybody attached is told."""
    process = None
    path = f"{agent.tmp.name}/down"
    options = {"state-dir": path, "listen-unix": f"{path}.sock", "listen-tcp": "127.0.0.1:0"}
    command = [c for c in agent.command(**options) if "listen-tcp" not in c and "listen-grpc" not in c]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert any("is ready" in line for line in iter(process.stderr.readline, ""))

        def curl(method, target, body="{}"):
            done = subprocess.run(["curl", "-sS", "-m", "60", "--unix-socket", f"{path}.sock", "-X", method, "-H",
                                   "Content-Type: application/json", "-d", body, f"http://x{target}"],
                                  capture_output=True, check=True, text=True)
            return done.stdout
        manifest = agent.images.url("manifest.json")
        curl("POST", "/v1/images?wait=60s", '{"name":"tiny","spec":{"manifest_url":"%s"}}' % manifest)
        curl("POST", "/v1/vms", '{"name":"a","spec":{"vcpus":1,"memory_bytes":67108864,"image":"tiny",'
                                '"cmdline_append":"croft.test=idle"}}')
        assert "SUCCEEDED" in curl("POST", "/v1/vms/a:start?wait=60s")

        async def go():
            async with websockets.unix_connect(f"{path}.sock", "ws://x/v1/vms/a/console:attach") as ws:
                await read_until(ws, BANNER)
                process.send_signal(signal.SIGTERM)
                assert (await closed(ws))[0] in (1000, 1001), "neither the VM's nor the agent's end"
        asyncio.run(go())
        process.stderr.read()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
