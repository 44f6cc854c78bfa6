# SPDX-License-Identifier: Apache-2.0
"""The contract's three texts say the same: the OpenAPI file, the protos, and the agent's table of routes."""

import re

from google.protobuf import descriptor as pb

from harness import CONTRACT, MESSAGES, TOP

VERBS = ("get", "put", "post", "patch", "delete")


def rows():
    """The table of agent/rest_route.c; its rows are data."""
    with open(f"{TOP}/agent/rest_route.c", encoding="utf-8") as f:
        text = f.read()
    macros = dict(re.findall(r"#define (\w+)\s+(\..*)", text))
    table = text[text.index("rest_routes[] = {"):text.index("rest_route_count =")]
    for name, value in macros.items():
        table = re.sub(rf"\b{name}\b", lambda _, v=value: v, table)
    out = []
    for row in re.findall(r"\{\s*(\.method.*?)\}(?=,)", table, re.S):
        fields = dict(re.findall(r'\.(\w+) = "([^"]*)"', row))
        fields["status"] = re.search(r"\.status = (\d+)", row)[1]
        fields["kind"] = (re.search(r"\.kind = (\w+)", row) or [None, "ROUTE_JSON"])[1]
        out.append(fields)
    assert len(out) == table.count(".method ="), "a row was not understood"
    return out


def operations():
    for path, item in CONTRACT.doc["paths"].items():
        for verb in VERBS:
            if verb in item:
                parameters = item.get("parameters", []) + item[verb].get("parameters", [])
                yield verb.upper(), path, item[verb], [CONTRACT.resolve(p) for p in parameters]


def test_routes_are_the_contract(_agent):
    table = {(r["method"], r["path"]) for r in rows()}
    contract = {(verb, path) for verb, path, _, _ in operations()}
    assert table == contract, f"only in the table: {table - contract}; only in the contract: {contract - table}"


def test_routes_name_the_rpcs_of_the_contract(_agent):
    for verb, path, operation, _ in operations():
        table = {r["rpc"] for r in rows() if (r["method"], r["path"]) == (verb, path)}
        assert table == set(operation["x-croft-rpc"]), (verb, path, table)


def test_every_rpc_has_a_route(_agent):
    rpcs = {f"{s.full_name}/{m.name}" for s in MESSAGES.services.values() for m in s.methods
            if s.full_name.startswith("croft.")}
    routes = {r["rpc"] for r in rows()}
    assert rpcs == routes, rpcs ^ routes


def test_protos_state_their_rest_form(_agent):
    """The comment of each RPC names its method and path."""
    table = {(r["rpc"], f'{r["method"]} {r["path"]}') for r in rows()}
    for name in ("vm", "image", "operation", "event", "node"):
        with open(f"{TOP}/api/proto/croft/v1/{name}.proto", encoding="utf-8") as f:
            text = f.read()
        service = re.search(r"service (\w+)", text)[1]
        for comment, rpc in re.findall(r"((?:  //[^\n]*\n)+)  rpc (\w+)", text):
            forms = re.findall(r"(GET|POST|DELETE) (/[\w/{}]*(?:[.:]\w+)?)", comment)
            assert forms, f"{rpc} states no REST form"
            for method, path in forms:
                assert (f"croft.v1.{service}/{rpc}", f"{method} {path}") in table, (rpc, method, path)


def test_query_parameters(_agent):
    for verb, path, _, parameters in operations():
        contract = {p["name"] for p in parameters if p["in"] == "query"}
        table = set()
        for r in rows():
            if (r["method"], r["path"]) == (verb, path):
                table |= {w.split("=")[0] for w in (r.get("query", "") + " " + r.get("own", "")).split()}
        assert table == contract, (verb, path, table, contract)


def test_bodies_and_statuses(_agent):
    for verb, path, operation, _ in operations():
        for r in rows():
            if (r["method"], r["path"]) != (verb, path):
                continue
            assert r["status"] in operation["responses"], (verb, path)
            assert ("requestBody" in operation) == ("body" in r), (verb, path)
            if r["kind"] == "ROUTE_TEXT":
                assert list(operation["responses"][str(r["status"])]["content"]) == [r["type"]], (verb, path)
            if "body" not in r or r["kind"] == "ROUTE_WRITE":
                continue
            schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
            service, method = r["rpc"].split("/")
            request = MESSAGES.services[service].methods_by_name[method].input_type
            message = request if r["body"] == "*" else request.fields_by_name[r["body"]].message_type
            assert schema == message.name, (verb, path, schema)


SCALARS = {pb.FieldDescriptor.TYPE_STRING: "string", pb.FieldDescriptor.TYPE_BOOL: "boolean",
           pb.FieldDescriptor.TYPE_DOUBLE: "number", pb.FieldDescriptor.TYPE_UINT32: "integer",
           pb.FieldDescriptor.TYPE_UINT64: "integer", pb.FieldDescriptor.TYPE_ENUM: "string",
           pb.FieldDescriptor.TYPE_BYTES: "string"}


def check_type(schema, field, where):
    name = schema.get("$ref", "").split("/")[-1]
    schema = CONTRACT.resolve(schema)
    if field.message_type is None:
        assert schema["type"] == SCALARS[field.type], where
        if field.enum_type and field.name != "code":
            assert schema["enum"] == [v.name for v in field.enum_type.values], where
        if field.type in (pb.FieldDescriptor.TYPE_UINT32, pb.FieldDescriptor.TYPE_UINT64):
            assert schema.get("minimum", -1) >= 0, f"{where}: an unsigned field has a minimum"
    elif field.message_type.full_name == "google.protobuf.Timestamp":
        assert name == "Time", where
    elif field.message_type.full_name == "google.protobuf.Duration":
        assert name == "Duration", where
    else:
        assert name == field.message_type.name, where


def test_schemas_mirror_the_messages(_agent):
    others = {"Name", "Duration", "Time", "Labels"}
    for name, schema in CONTRACT.doc["components"]["schemas"].items():
        if name in others:
            continue
        message = getattr(MESSAGES, name).DESCRIPTOR
        assert schema["additionalProperties"] is False, name
        assert set(schema["properties"]) == set(message.fields_by_name), name
        for field in message.fields:
            inner, where = schema["properties"][field.name], f"{name}.{field.name}"
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                values = CONTRACT.resolve(inner)["additionalProperties"]
                check_type(values, field.message_type.fields_by_name["value"], where)
            elif field.label == field.LABEL_REPEATED:
                assert CONTRACT.resolve(inner)["type"] == "array", where
                check_type(CONTRACT.resolve(inner)["items"], field, where)
            else:
                check_type(inner, field, where)


def contents(node):
    """Each media type object of the file with its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "content":
                yield from value.items()
            else:
                yield from contents(value)
    elif isinstance(node, list):
        for value in node:
            yield from contents(value)


def test_examples_fit_their_schemas(_agent):
    seen = 0
    for kind, media in contents(CONTRACT.doc):
        assert "example" in media, f"{kind} {media} has no example"
        CONTRACT.check(media["example"], media["schema"], kind)
        seen += 1
    assert seen > 20, seen


def test_references_lead_somewhere(_agent):
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                CONTRACT.resolve(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(CONTRACT.doc)


def test_examples_run_on_the_agent(agent):
    """The bodies of the file, sent as they stand (the image server's address apart)."""
    for verb, path, operation, _ in operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if not body:
            continue
        answer = agent.rest(verb, path.replace("{name}", "nobody"), body["example"])
        assert answer.status in (201, 202, 404), (verb, path, answer)
    assert agent.rest("DELETE", "/v1/vms/web1").status == 200


def test_methods_of_each_path(agent):
    """A method that the contract has is no 405, and each other one is, with Allow."""
    for path, item in CONTRACT.doc["paths"].items():
        have = {v.upper() for v in VERBS if v in item}
        for verb in ("GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            if verb in have:
                continue
            answer = agent.rest(verb, path.replace("{name}", "nobody"))
            assert answer.status == 405, (verb, path, answer)
            allow = set(answer.headers["allow"].split(", "))
            assert allow == have | ({"HEAD"} if "GET" in have else set()), (path, allow)
