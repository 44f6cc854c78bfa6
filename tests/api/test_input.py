# SPDX-License-Identifier: Apache-2.0
"""Bad and odd requests: each is refused, and the answer names what is wrong."""

from harness import MIB

SPEC = '"vcpus":1,"memory_bytes":67108864,"image":"tiny"'

# The body of POST /v1/vms, and the field that the answer must blame.
BODIES = (
    ('{"name":"bad","spec":{%s},"colour":1}' % SPEC, "/colour"),
    ('{"name":"bad","spec":{%s,"cpus":1}}' % SPEC, "/spec/cpus"),
    ('{"name":"bad","spec":{%s,"disks":[{"name":"a","size_bytes":512},{"nam":"b"}]}}' % SPEC, "/spec/disks/1/nam"),
    ('{"name":"bad","Name":"x","spec":{%s}}' % SPEC, "/Name"),
    ('{"name":5,"spec":{%s}}' % SPEC, "/name"),
    ('{"name":null,"spec":{%s}}' % SPEC, "/name"),
    ('{"name":"bad","spec":[]}', "/spec"),
    ('{"name":"bad","spec":"x"}', "/spec"),
    ('{"name":"bad","spec":null}', "/spec"),
    ('{"name":"bad","labels":["a"],"spec":{%s}}' % SPEC, "/labels"),
    ('{"name":"bad","labels":{"a":1},"spec":{%s}}' % SPEC, "/labels/a"),
    ('{"name":"bad","labels":{"a/b":1},"spec":{%s}}' % SPEC, "/labels/a~1b"),
    ('{"name":"bad","labels":{"a":"b","a":"c"},"spec":{%s}}' % SPEC, "/labels/a"),
    ('{"name":"bad","name":"bad2","spec":{%s}}' % SPEC, "/name"),
    ('{"name":"bad","spec":{"vcpus":"1"}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":true}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":1.5}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":1.0}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":1e0}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":-1}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":4294967296}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"memory_bytes":-1}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{"memory_bytes":9223372036854775808}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{"memory_bytes":1e999}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{"disks":{}}}', "/spec/disks"),
    ('{"name":"bad","spec":{"disks":[null]}}', "/spec/disks/0"),
    ('{"name":"bad","spec":{"disks":[{"read_only":1}]}}', "/spec/disks/0/read_only"),
    ('{"name":"bad","create_time":"yesterday","spec":{%s}}' % SPEC, "/create_time"),
    ('{"name":"bad","create_time":5,"spec":{%s}}' % SPEC, "/create_time"),
    ('{"name":"bad","create_time":"2023-02-29T00:00:00Z","spec":{%s}}' % SPEC, "/create_time"),
    ('{"name":"bad","status":{"state":"FLYING"},"spec":{%s}}' % SPEC, "/status/state"),
    ('{"name":"bad","status":{"state":4},"spec":{%s}}' % SPEC, "/status/state"),
    ('{"name":"bad\\u0000","spec":{%s}}' % SPEC, "/name"),
    (b'{"name":"bad\xff","spec":{}}', "/name"),
    # What the service checks.
    ('{"spec":{%s}}' % SPEC, "/name"),
    ('{"name":"Bad","spec":{%s}}' % SPEC, "/name"),
    ('{"name":"-bad","spec":{%s}}' % SPEC, "/name"),
    ('{"name":"%s","spec":{%s}}' % ("x" * 64, SPEC), "/name"),
    ('{"name":"../bad","spec":{%s}}' % SPEC, "/name"),
    ('{"name":"bad","spec":{"vcpus":0,"memory_bytes":67108864,"image":"tiny"}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":100,"memory_bytes":67108864,"image":"tiny"}}', "/spec/vcpus"),
    ('{"name":"bad","spec":{"vcpus":1,"memory_bytes":1048576,"image":"tiny"}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{"vcpus":1,"memory_bytes":67108865,"image":"tiny"}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{"vcpus":1,"memory_bytes":9223372036852678656,"image":"tiny"}}', "/spec/memory_bytes"),
    ('{"name":"bad","spec":{%s,"cmdline":"%s"}}' % (SPEC, "x" * 3000), "/spec/cmdline"),
    ('{"name":"bad","spec":{%s,"disks":[{"name":"a"}]}}' % SPEC, "/spec/disks/0/size_bytes"),
    ('{"name":"bad","spec":{%s,"disks":[{"name":"a","size_bytes":100}]}}' % SPEC, "/spec/disks/0/size_bytes"),
    ('{"name":"bad","spec":{%s,"disks":[{"name":"A","size_bytes":512}]}}' % SPEC, "/spec/disks/0/name"),
    ('{"name":"bad","spec":{%s,"disks":[{"name":"a","size_bytes":512},{"name":"a","size_bytes":512}]}}' % SPEC,
     "/spec/disks/1/name"),
    ('{"name":"bad","spec":{%s,"disks":[%s]}}' %
     (SPEC, ",".join('{"name":"d%d","size_bytes":512}' % i for i in range(9))), "/spec/disks"),
)

# Bodies that are no JSON object; nobody can say which field is wrong in all of them.
NO_OBJECT = ("", "5", "null", "[]", '"name"', "{", '{"name"', '{"name":"x"', '{"name":"x",}', "{'name':'x'}", "nonsense",
             '{"name":"x"} trailing', '{"name":tru}', "\x00", "[" * 100, '{"a":' * 100, "[" + "1," * 70000 + "1]")


def test_bodies(agent):
    for body, field in BODIES:
        answer = agent.rest("POST", "/v1/vms", body)
        assert answer.status == 400 and answer.json["code"] == "INVALID_ARGUMENT", (body, answer)
        assert answer.field() == field, (body, answer)
    assert agent.rest("GET", "/v1/vms/bad").status == 404


def test_bodies_that_are_no_object(agent):
    for body in NO_OBJECT:
        answer = agent.rest("POST", "/v1/vms", body)
        assert answer.status == 400 and answer.json["code"] == "INVALID_ARGUMENT", (body[:50], answer)


def test_image_bodies(agent):
    url = agent.images.url("manifest.json")
    for body, field in ((f'{{"name":"bad","spec":{{"manifest_url":"{url}","size":1}}}}', "/spec/size"),
                        ('{"name":"bad","spec":{}}', "/spec/manifest_url"),
                        ('{"name":"bad"}', None),
                        ('{"name":"bad","spec":{"manifest_url":"file:///etc/passwd"}}', "/spec/manifest_url"),
                        ('{"name":"bad","spec":{"manifest_url":"http:/127.0.0.1:1/x"}}', "/spec/manifest_url"),
                        ('{"name":"bad","spec":{"manifest_url":"HTTP://127.0.0.1:1/x"}}', "/spec/manifest_url"),
                        ('{"name":"bad","spec":{"manifest_url":"http://x/%s"}}' % ("y" * 2000), "/spec/manifest_url"),
                        (f'{{"name":"bad","spec":{{"manifest_url":"{url}","manifest_sha256":"zz"}}}}',
                         "/spec/manifest_sha256"),
                        (f'{{"name":"B","spec":{{"manifest_url":"{url}"}}}}', "/name")):
        answer = agent.rest("POST", "/v1/images?wait=10s", body)
        assert answer.status == 400, (body, answer)
        assert field is None or answer.field() == field, (body, answer)


def test_unknown_objects(agent):
    for method, target in (("GET", "/v1/vms/nobody"), ("DELETE", "/v1/vms/nobody"), ("POST", "/v1/vms/nobody:start"),
                           ("GET", "/v1/vms/nobody/stats"), ("GET", "/v1/vms/nobody/console"),
                           ("GET", "/v1/vms/nobody/console?follow"), ("GET", "/v1/images/nobody"),
                           ("DELETE", "/v1/images/nobody"), ("GET", "/v1/operations/nobody"),
                           ("GET", "/v1/operations/nobody?wait=5s"), ("POST", "/v1/operations/nobody:cancel"),
                           ("GET", "/v1/vms/BAD_NAME"), ("GET", "/v1/vms/" + "x" * 200)):
        answer = agent.rest(method, target)
        assert answer.status == 404 and answer.json["code"] == "NOT_FOUND", (target, answer)


def test_unknown_paths(agent):
    for target in ("/", "/v1", "/v1/", "/v2/vms", "/v1/vms/", "/v1/vms/a/b", "/v1/vms/a:fly", "/v1/vms/:start",
                   "/v1/vms/a:start:start", "/v1//vms", "/V1/vms", "/livez/", "/v1/vms/a/stats/", "/v1/vms/a%2Fb",
                   "/v1/vms/a%3Astart", "/v1/vms/" + "x" * 300, "/%2e%2e/etc/passwd"):
        answer = agent.rest("GET", target)
        assert answer.status == (405 if "%3A" in target else 404), (target, answer)


def test_query(agent):
    agent.make_vm("query")
    for target, field in (("/v1/vms?colour=red", "/colour"), ("/v1/vms?page_size=x", "/page_size"),
                          ("/v1/vms?page_size=-1", "/page_size"), ("/v1/vms?page_size=1001", "/page_size"),
                          ("/v1/vms?page_size=4294967296", "/page_size"), ("/v1/vms?page_size=", "/page_size"),
                          ("/v1/vms?page_size=1.0", "/page_size"), ("/v1/vms?page_size=%201", "/page_size"),
                          ("/v1/vms?page_size=0x1", "/page_size"), ("/v1/vms?name=x", "/name"),
                          ("/v1/vms/query?wait=1s", "/wait"), ("/readyz?verbose=yes", "/verbose"),
                          ("/readyz?kind=live", "/kind"), ("/v1/operations/op-1?wait=soon", "/wait"),
                          ("/v1/operations/op-1?wait=300.1s", "/wait"), ("/v1/operations/op-1?wait=-1s", "/wait"),
                          ("/v1/vms/query/console?offset=-1", "/offset"),
                          ("/v1/vms/query/console?follow=maybe", "/follow"),
                          ("/v1/vms/query/console?max_bytes=262145", "/max_bytes"),
                          ("/v1/vms/query/console?wait=1", "/wait"), ("/v1/vms?page_token=%ff", "/page_token")):
        answer = agent.rest("GET", target)
        assert answer.status == 400 and answer.field() == field, (target, answer)
    for wait in ("1h", "301s", "300.1s", "-1s", "abc", "", "1", "99999999999999999s", "1.s", ".5s"):
        answer = agent.rest("POST", f"/v1/vms/query:start?wait={wait}")
        assert answer.status == 400 and answer.field() == "/wait", (wait, answer)
    assert agent.rest("GET", "/v1/vms/query").json["status"] == {"state": "DEFINED"}, "a refused start changed something"
    agent.drop_vm("query")


def test_name_in_path_and_body(agent):
    agent.make_vm("named")
    answer = agent.rest("POST", "/v1/vms/named:start", {"name": "other"})
    assert answer.status == 400 and answer.field() == "/name", answer
    assert agent.rest("POST", "/v1/vms/named:start?wait=60s", {"name": "named"}).status == 200
    for body in ({"deadline": "601s"}, {"deadline": "-1s"}, {"deadline": 5}, {"force": True, "deadline": "5s"}):
        answer = agent.rest("POST", "/v1/vms/named:stop", body)
        assert answer.status == 400 and answer.field() == "/deadline", answer
    assert agent.rest("POST", "/v1/vms/named:stop", {"forced": True}).field() == "/forced"
    agent.drop_vm("named")


def test_bodies_where_none_belong(agent):
    answer = agent.curl("DELETE", "/v1/vms/nobody", "-H", "Content-Type: application/json", "-d", "{}")
    assert answer.status == 400, answer
    assert agent.curl("GET", "/v1/vms", "-d", "x=y").status == 400


def test_content_type(agent):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"):
        answer = agent.curl("POST", "/v1/vms", "-H", f"Content-Type: {kind}", "-d", "{}")
        assert answer.status == 415, (kind, answer)
    assert agent.curl("POST", "/v1/vms", "-H", "Content-Type:", "-d", "{}").status == 415
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        answer = agent.curl("POST", "/v1/vms", "-H", f"Content-Type: {kind}", "-d", "{}")
        assert answer.status == 400, (kind, answer)


def test_large_bodies(agent):
    path = f"{agent.tmp.name}/large"
    for size in (MIB + 1, 3 * MIB, 40 * MIB):
        with open(path, "wb") as f:
            f.truncate(size)
        for extra in ((), ("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")):
            if size > 16 * MIB and "Transfer-Encoding: chunked" in extra:
                continue
            answer = agent.curl("POST", "/v1/vms", "-H", "Content-Type: application/json", *extra, "--data-binary",
                                f"@{path}")
            assert answer.status == 413 and not answer.json.get("retryable"), (size, extra, answer)
    with open(path, "wb") as f:
        f.write(b'{"name":"BAD"' + b" " * (MIB - 14) + b"}")
    answer = agent.curl("POST", "/v1/vms", "-H", "Content-Type: application/json", "--data-binary", f"@{path}")
    assert answer.status == 400 and answer.field() == "/name", answer
    agent.run_vm("large")
    with open(path, "wb") as f:
        f.write(b"x" * 4097)
    answer = agent.curl("POST", "/v1/vms/large/console", "--data-binary", f"@{path}")
    assert answer.status == 400 and answer.field() == "/data", answer
    agent.drop_vm("large")


def test_endless_chunked_body(agent):
    """It is read for a while and then cut off; the agent does not keep it."""
    before = agent.rss_kib()
    with agent.connect() as s:
        s.sendall(b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
        sent = 0
        try:
            while sent < 200:
                s.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 200, "nobody stopped it"
    assert agent.rss_kib() - before < 64 * 1024, "the body was kept"
    assert agent.rest("GET", "/livez").status == 200


def test_large_headers(agent):
    out = agent.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 100000 + b"\r\n\r\n")
    assert b" 431 " in out[:40] or b" 413 " in out[:40] or not out, out[:200]
    out = agent.raw(b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 414 " in out[:40] or not out, out[:200]


def test_web_pages_are_refused(agent):
    answer = agent.rest("POST", "/v1/vms/nobody:start", headers=["Origin: http://example.org"])
    assert answer.status == 403 and answer.json["code"] == "PERMISSION_DENIED", answer


def test_nul_in_url(agent):
    assert agent.rest("GET", "/v1/vms/query%00x").status == 400
    assert agent.rest("GET", "/livez?verbose=%00").status == 400


def test_not_http(agent):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 100,
                 b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
                 b"POST /v1/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        out = agent.raw(data, shut=True, timeout=3)
        assert not out.startswith(b"HTTP/1.1 5") or b" 505 " in out[:20], (data, out)
    assert agent.rest("GET", "/livez").status == 200
