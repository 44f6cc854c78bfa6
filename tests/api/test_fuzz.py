# SPDX-License-Identifier: Apache-2.0
"""The contract under 10,000 bad and odd requests, made from it: every route and every RPC, on an agent of its own.

SEED=number makes the same requests again; the seed of a run is printed."""

import collections
import json
import os
import random
import re
import time

import grpc
from google.protobuf import descriptor_pb2

from harness import Agent, CONTRACT, MESSAGES, check_answer, split_answer

REST_COUNT, RPC_COUNT = 6000, 4000
FAILURES = 10  # so many are shown
VERBS = ("GET", "PUT", "POST", "PATCH", "DELETE")
NAMES = ("web1", "web1", "web2", "tiny", "a", "x" * 63, "op-1", "op-2", "nobody")
# Nothing of these may come from the agent: whose fault it is must be told.
NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE}
BIG = (2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**40, -1, -2**63)
ODD_TEXT = ("", " ", "\0", "\x7f", "\u00e4", "\u202e", "\U0001f600", "a\nb", "../x", "%00", "x" * 64, "y" * 5000, "null", "0",
            "{}", "'; --", "a" + "\u0301" * 40, "\\ud800")


class Maker:
    """Values of schemas, right ones and nearly right ones."""

    def __init__(self, dice, manifest):
        self.dice, self.manifest = dice, manifest

    def text(self, name, schema):
        if "enum" in schema:
            return self.dice.choice(schema["enum"])
        pattern = schema.get("pattern", "")
        if name == "manifest_url":  # never another machine
            return self.manifest
        if pattern.endswith("s$"):
            return self.dice.choice(("0s", "0.01s", "1s", "30s", "600s"))
        if "a-f" in pattern:
            return "0" * 64
        if schema.get("format") == "date-time":
            return "2024-05-06T07:08:09Z"
        if name in ("name", "image"):
            return self.dice.choice(NAMES)
        return self.dice.choice(("", "a", "word", "x" * min(schema.get("maxLength", 20), 20)))

    def value(self, schema, name=""):
        """One that the schema allows."""
        schema = CONTRACT.resolve(schema)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            known = {k: v for k, v in schema.get("properties", {}).items()
                     if self.dice.random() < (.1 if v.get("readOnly") else .6)}
            out = {k: self.value(v, k) for k, v in known.items()}
            if "additionalProperties" in schema and schema["additionalProperties"] and self.dice.random() < .5:
                out[self.dice.choice(("a", "app", "a.b/c"))] = self.value(schema["additionalProperties"])
            return out
        if kind == "array":
            return [self.value(schema["items"], name) for _ in range(self.dice.randrange(3))]
        if kind == "string":
            return self.text(name, schema)
        if kind == "boolean":
            return self.dice.random() < .5
        least = schema.get("minimum", 0)
        return least + schema.get("multipleOf", 1) * self.dice.randrange(4)

    def edge(self, schema):
        """One that is just outside of a limit of the schema, or None."""
        schema = CONTRACT.resolve(schema)
        out = []
        if "minimum" in schema:
            out.append(schema["minimum"] - 1)
        if "maximum" in schema:
            out.append(schema["maximum"] + 1)
        if "multipleOf" in schema:
            out.append(schema.get("minimum", 0) + schema["multipleOf"] + 1)
        if "maxLength" in schema:
            out.append("x" * (schema["maxLength"] + 1))
        if "maxItems" in schema:
            out.append([self.value(schema["items"])] * (schema["maxItems"] + 1))
        if "maxProperties" in schema:
            out.append({f"k{i}": "v" for i in range(schema["maxProperties"] + 1)})
        return self.dice.choice(out) if out else None

    def odd(self):
        nested = 1
        for _ in range(self.dice.randrange(1, 60)):
            nested = [nested] if self.dice.random() < .5 else {"a": nested}
        return self.dice.choice((None, True, 1.5, [], {}, [None], {"a": None}, self.dice.choice(BIG), nested,
                                 self.dice.choice(ODD_TEXT)))

    def bend(self, value, schema):
        """The value with one place of it made wrong."""
        schema = CONTRACT.resolve(schema)
        known = schema.get("properties", {})
        if known and self.dice.random() < .85:
            key = self.dice.choice(list(known))
            out = dict(value)
            inner = out.get(key)
            out[key] = self.bend(inner if isinstance(inner, (dict, list)) else self.value(known[key], key), known[key])
            if key == "manifest_url" and isinstance(out[key], str):
                out[key] = self.manifest + out[key][:3]
            return out
        if isinstance(value, dict) and self.dice.random() < .5:
            return {**value, self.dice.choice(("colour", "Name", "", "a/b~c", "\u00e4", "x" * 200)): self.odd()}
        edge = self.edge(schema)
        return edge if edge is not None and self.dice.random() < .5 else self.odd()

    def body(self, schema):
        value = self.value(schema)
        if self.dice.random() < .7:
            value = self.bend(value, schema)
        text = json.dumps(value, ensure_ascii=self.dice.random() < .5)
        how = self.dice.random()
        if how < .05:
            text = text[:self.dice.randrange(len(text) + 1)]
        elif how < .1:
            text = text.replace("1", self.dice.choice(("1e999", "01", "0x1", "1.0", "NaN", "-")), 1)
        elif how < .15 and text.startswith("{") and len(text) > 2:
            text = text[:-1] + "," + text[1:]  # each key twice
        raw = bytearray(text.encode("utf-8", "surrogatepass"))
        if how > .9 and raw and self.manifest not in text:
            for _ in range(self.dice.randrange(1, 4)):
                raw[self.dice.randrange(len(raw))] = self.dice.randrange(256)
        return bytes(raw)


def tend(agent):
    """Brings back what requests were right enough to delete or stop."""
    spec = {"vcpus": 1, "memory_bytes": 64 << 20, "image": "tiny", "disks": [{"name": "root", "image_disk": "root"}]}
    agent.rest("POST", "/v1/node:uncordon")
    image = {"name": "tiny", "spec": {"manifest_url": agent.images.url("manifest.json")}}
    agent.rest("POST", "/v1/images?wait=10s", image)
    for name in ("web1", "web2"):
        agent.rest("POST", "/v1/vms", {"name": name, "spec": spec})
    agent.rest("POST", "/v1/vms/web1:start?wait=10s")


# ---- REST -------------------------------------------------------------------------------------

def quoted(text):
    return "".join(chr(b) if chr(b).isalnum() else f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass"))


def query_of(make, parameters):
    dice, out = make.dice, []
    for p in parameters:
        if p["in"] == "query" and dice.random() < .3:
            schema = CONTRACT.resolve(p["schema"])
            if p["name"] in ("wait", "interval"):  # nobody here has the patience for a right one that is long
                out.append((p["name"], dice.choice(("0s", "0.01s", "-1s", "1", "soon", "1e3s"))))
            elif dice.random() < .6:
                value = make.value(schema, p["name"])
                out.append((p["name"], str(value).lower() if isinstance(value, bool) else str(value)))
            else:
                out.append((p["name"], str(dice.choice((make.edge(schema), make.odd())))[:300]))
    if dice.random() < .05:
        out.append((dice.choice(("colour", "", "a%", "wait", "filter")), "0s"))
    return "?" + "&".join(f"{quoted(k)}={quoted(v)}" for k, v in out) if out else ""


RIGHT_HEADERS = {"If-Match": ('"1"', "*", '"2"'), "If-None-Match": ('"1"', "*"), "Idempotency-Key": ("k1", "k2", "k3"),
                 "Last-Event-ID": ("1", "0"), "Accept": ("*/*", "application/json")}
WRONG_VALUES = ("1", '""', 'W/"1"', "x" * 129, '"99999999999999999999"', "\x7f", "\xe4", '"1", "2"', "-1")
ODD_HEADERS = (("Origin", "http://example.org"), ("X-Odd", "y" * 3000), ("Range", "bytes=0-1"), ("Cookie", "a=b"),
               ("Authorization", "Basic eDp5"), ("Host", "other"), ("TE", "trailers"), ("X-\xe4", "z"))


def headers_of(make, operation):
    dice, out = make.dice, []
    kinds = list(operation.get("requestBody", {}).get("content", {})) or ["application/json"]
    if dice.random() < .95:
        wrong = ("text/plain", "", "application/JSON; x", "/")
        out.append(("Content-Type", kinds[0] if dice.random() < .95 else dice.choice(wrong)))
    for name, right in RIGHT_HEADERS.items():
        if dice.random() < .12:
            out.append((name, dice.choice(right if dice.random() < .6 else WRONG_VALUES)))
    if dice.random() < .03:
        out.append(dice.choice(ODD_HEADERS))
    return out


def requests(make, count):
    """(method, path with query, headers, body)."""
    dice = make.dice
    operations = [(verb, path, item[verb], item.get("parameters", []) + item[verb].get("parameters", []))
                  for path, item in CONTRACT.doc["paths"].items() for verb in item if verb != "parameters"]
    for number in range(count):
        verb, path, operation, parameters = operations[number % len(operations)]
        if (verb == "delete" or "drain" in path) and dice.random() < .8:  # else there is soon nothing left
            verb, path, operation, parameters = operations[dice.randrange(len(operations))]
        name = next((word for word in ("vms", "images", "operations") if word in path), "")
        name = {"vms": "web1", "images": "tiny", "operations": "op-1"}.get(name)
        if dice.random() < .4:
            name = dice.choice(NAMES)
        if dice.random() < .05:
            name = quoted(dice.choice(ODD_TEXT))[:300] or "a"
        method = verb.upper() if dice.random() < .93 else dice.choice(VERBS + ("HEAD", "OPTIONS", "TRACE", "BREW"))
        target = path.replace("{name}", name or "") + query_of(make, [CONTRACT.resolve(p) for p in parameters])
        body = b""
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            raw = kind == "application/octet-stream"
            body = dice.randbytes(dice.randrange(5000)) if raw else make.body(media["schema"])
        if dice.random() < .02:
            body = make.body({"$ref": "#/components/schemas/Vm"})
        yield method, target, headers_of(make, operation), body


class Client:
    """A connection that is opened again when the agent has closed it."""

    def __init__(self, agent):
        self.agent, self.socket = agent, None

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def send(self, method, target, headers, body, cut=False):
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        if self.socket is None:
            self.socket = self.agent.connect()
        self.socket.sendall(data[:-len(body) // 2] if cut else data)

    def answer(self, method):
        raw = b""
        while b"\r\n\r\n" not in raw:
            chunk = self.socket.recv(65536)
            assert chunk, f"closed behind {raw!r}"
            raw += chunk
        answer = split_answer(raw)
        if "content-length" not in answer.headers:  # it streams, or is no HTTP any more: its head is enough
            self.close()
            return answer
        size = 0 if method == "HEAD" else int(answer.headers["content-length"])
        while len(answer.body) < size:
            chunk = self.socket.recv(65536)
            assert chunk, "closed in a body"
            answer.body += chunk
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer


def check_rest(method, target, body, answer):
    # What a spec asks of this host may not be there: then that field is named.
    lacks = answer.status == 503 and method != "HEAD" and (answer.field() or "").startswith("/spec/")
    assert answer.status < 500 or lacks, "the agent blames itself"
    if "content-length" in answer.headers:
        check_answer(method, target, answer)
    if answer.status == 400 and method != "HEAD":
        problem = answer.json
        # What is no object has no fields.
        named = problem.get("field_errors") or re.search(r"JSON|body|URL|patch", problem["detail"])
        assert (named or not body.startswith(b"{")) and problem["code"] == "INVALID_ARGUMENT", "a 400 that names no field"


def fuzz_rest(agent, make):
    client, failures, statuses = Client(agent), [], collections.Counter()
    for number, (method, target, headers, body) in enumerate(requests(make, REST_COUNT)):
        if number % 400 == 0:
            tend(agent)
        cut, answer = bool(body) and make.dice.random() < .01, None
        try:
            try:
                client.send(method, target, headers, body, cut)
            except OSError:  # it was closed since: once more
                client.close()
                client.send(method, target, headers, body, cut)
            if cut:
                client.close()
                continue
            answer = client.answer(method)
            statuses[answer.status] += 1
            check_rest(method, target, body, answer)
        except (AssertionError, OSError, ValueError, KeyError) as e:
            failures.append(f"REST request {number}: {method} {target} {headers} {body[:600]!r}: {e!r} {answer}")
            client.close()
            if len(failures) == FAILURES:
                break
    client.close()
    return failures, statuses


# ---- gRPC -------------------------------------------------------------------------------------

MASKS = ("*", "labels", "labels.a", "spec.vcpus", "spec", "", "x", "status", "labels.`", "spec.disks", "spec.log_level",
         "spec.networks", "spec.vsock", "spec.vsock.cid", "spec.vsock.", "spec.ports", "spec.shares", "spec.device_tree_overlay")
METADATA = (("if-match", "1"), ("if-match", "x"), ("idempotency-key", "k1"), ("idempotency-key", "y" * 200),
            ("x-odd-bin", b"\0\xff"), ("grpc-accept-encoding", "gzip"))


def message_of(make, descriptor, depth=0):
    """A message with some of its fields set, to right and to odd values."""
    dice, out = make.dice, getattr(MESSAGES, descriptor.name)()
    for field in descriptor.fields:
        if dice.random() < .45 or depth > 4:
            continue
        inner = field.message_type
        if inner and inner.full_name.startswith("google.protobuf."):
            if inner.name == "FieldMask":
                out.update_mask.paths.append(dice.choice(MASKS))
            elif field.label != field.LABEL_REPEATED:
                getattr(out, field.name).seconds = dice.choice((0, 1, -1, 2**40, -2**63))
                getattr(out, field.name).nanos = dice.choice((0, 1000000, -1, 2**31 - 1))
        elif inner and inner.GetOptions().map_entry:
            getattr(out, field.name)[dice.choice(("a", "", "b c", "x" * 64))] = dice.choice(("", "v", "x" * 64)) \
                if inner.fields_by_name["value"].type == field.TYPE_STRING else 1
        elif inner and field.label == field.LABEL_REPEATED:
            many = dice.choice((1, 1, 2, 9))
            getattr(out, field.name).extend(message_of(make, inner, depth + 1) for _ in range(many))
        elif inner:
            getattr(out, field.name).CopyFrom(message_of(make, inner, depth + 1))
        else:
            value = scalar_of(make, field)
            if field.label == field.LABEL_REPEATED:
                getattr(out, field.name).append(value)
            else:
                setattr(out, field.name, value)
    return out


def scalar_of(make, field):
    dice = make.dice
    if field.type == field.TYPE_STRING:
        if field.name == "manifest_url":
            return make.manifest
        if field.name in ("name", "image"):
            return dice.choice(NAMES)
        return dice.choice(("", "word", "web1=x", "live", "\u00e4\u202e", "x" * 300))
    if field.type == field.TYPE_BYTES:
        return dice.randbytes(dice.choice((0, 3, 4096, 4097)))
    if field.type == field.TYPE_BOOL:
        return dice.random() < .5
    if field.type == field.TYPE_ENUM:
        return dice.choice((0, 1, 2, 99, -1))
    if field.type == field.TYPE_DOUBLE:
        return dice.choice((0.0, -1.0, float("nan"), float("inf")))
    top = 2**32 if field.type == field.TYPE_UINT32 else 2**64
    return dice.choice((0, 1, 2, 8, 9, 64 << 20, (64 << 20) + 1, top - 1, 2**31)) % top


def wire_of(make, descriptor):
    """The bytes of a message, often changed, sometimes never one."""
    dice, how = make.dice, make.dice.random()
    if how < .1 or not descriptor.full_name.startswith("croft."):
        return dice.randbytes(dice.randrange(200))
    raw = bytearray(message_of(make, descriptor).SerializeToString())
    if how < .5 and raw and make.manifest.encode() not in raw:
        for _ in range(dice.randrange(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        if how < .2:
            del raw[dice.randrange(len(raw)):]
    return bytes(raw)


def fields_blamed(error):
    """Whether the refusal names a field: in its Problem, or in words when the message could not be read at all."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return b"croft.v1.Problem" in details and (b"/" in details.partition(b"INVALID_ARGUMENT")[2] or
                                               re.search(r"message|metadata|Key|mask", error.details()))


def start_call(agent, make, service, method):
    dice, path = make.dice, f"/{service.full_name}/{method.name}"
    metadata = [dice.choice(METADATA)] if dice.random() < .1 else []
    shape = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(shape)
    streams = shape.client_streaming or shape.server_streaming
    # Those that wait as long as they are asked to get a deadline, which is theirs to keep.
    patient = {"wait", "timeout"} & set(method.input_type.fields_by_name) or streams
    wire = wire_of(make, method.input_type)
    if shape.client_streaming:
        more = [wire] + [wire_of(make, method.input_type) for _ in range(dice.randrange(3))]
        call = agent.channel.stream_stream(path)(iter(more), timeout=.2, metadata=metadata)
    elif shape.server_streaming:
        call = agent.channel.unary_stream(path)(wire, timeout=.2, metadata=metadata)
    else:
        call = agent.channel.unary_unary(path).future(wire, timeout=.2 if patient else 60, metadata=metadata)
    return path, wire, metadata, call, streams, patient


def finish_call(path, wire, metadata, call, streams, patient):
    try:
        if streams:
            for _ in zip(range(3), call):
                pass
            call.cancel()
        else:
            call.result()
        return "OK"
    except grpc.RpcError as e:
        error = e
    code = error.code()
    about = f"{path} {bytes(wire)[:600]!r} {metadata}: {code} {error.details()}"
    lacks = code == grpc.StatusCode.UNAVAILABLE and error.details().startswith("/spec/")
    assert code not in NEVER or lacks, about
    assert patient or code not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED), about
    assert code != grpc.StatusCode.INVALID_ARGUMENT or fields_blamed(error), f"it names no field: {about}"
    return code.name


def fuzz_rpc(agent, make):
    """Calls in groups of 40 at once."""
    failures, codes = [], collections.Counter()
    everything = [(s, r) for s in MESSAGES.services.values() for r in s.methods]
    calls = []
    for number in range(RPC_COUNT):
        if number % 400 == 0:
            tend(agent)
        calls.append(start_call(agent, make, *everything[number % len(everything)]))
        if len(calls) == 40 or number == RPC_COUNT - 1:
            for call in calls:
                try:
                    codes[finish_call(*call)] += 1
                except AssertionError as e:
                    failures.append(f"call near {number}: {e}")
            calls = []
            if len(failures) >= FAILURES:
                break
    return failures, codes


def test_contract_fuzz(_agent):
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"    SEED={seed}", flush=True)
    agent = Agent().start()
    try:
        for part in (fuzz_rest, fuzz_rpc):
            begin = time.monotonic()
            dice = random.Random(f"{seed} {part.__name__}")
            failures, answers = part(agent, Maker(dice, agent.images.url("manifest.json")))
            told = ", ".join(f"{n} {answer}" for answer, n in answers.most_common())
            print(f"    {part.__name__}: {time.monotonic() - begin:.1f} s: {told}", flush=True)
            assert not failures, "\n".join(failures)
        assert agent.process.poll() is None, agent.log_text()[-3000:]
        assert agent.rest("GET", "/livez").status == 200
        assert agent.stop() == 0, agent.log_text()[-6000:]
    except (AssertionError, OSError) as e:
        died = agent.process.poll()
        log = f"; croftd ended with {died}: {agent.log_text()[-6000:]}" if died else ""
        raise AssertionError(f"SEED={seed}: {e}{log}") from e
    finally:
        agent.close()
