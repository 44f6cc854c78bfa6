# SPDX-License-Identifier: Apache-2.0
"""The contract's texts say the same: the OpenAPI file, the protos, the agent's tables of routes and methods, its limits."""

import glob
import json
import os
import re
import subprocess
import tempfile

from google.protobuf import descriptor as pb
from google.protobuf import descriptor_pb2

from harness import CONTRACT, MESSAGES, TOP

VERBS = ("get", "put", "post", "patch", "delete")


def source(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def table_of(path, begin, end):
    """The text of a table of C, with the macros of its file put in."""
    text = source(path)
    table = text[text.index(begin):text.index(end)]
    for name, value in re.findall(r"#define (\w+)\s+(\..*)", text):
        table = re.sub(rf"\b{name}\b", lambda _, v=value: v, table)
    return table


def rows():
    """The table of agent/rest_route.c; its rows are data."""
    table = table_of("agent/rest_route.c", "rest_routes[] = {", "rest_route_count =")
    out = []
    for row in re.findall(r"\{\s*(\.method.*?)\}(?=,)", table, re.S):
        fields = dict(re.findall(r'\.(\w+) = "([^"]*)"', row))
        fields["status"] = re.search(r"\.status = (\d+)", row)[1]
        fields["kind"] = (re.search(r"\.kind = (\w+)", row) or [None, "ROUTE_JSON"])[1]
        fields["rpcs"] = set(re.findall(r'"(croft\.v1\.\w+/\w+)"', row))
        out.append(fields)
    assert len(out) == table.count(".method ="), "a row was not understood"
    return out


ROLES = {"READS": {"viewer", "operator", "admin", "console"}, "OPERATES": {"operator", "admin"}, "TYPES": {"console", "admin"},
         "ADMINISTERS": {"admin"}, "ANYBODY": set()}


def methods():
    """The table of agent/method.c: by the RPC's name its messages, roles and flags."""
    text = source("agent/method.c")
    for name, value in re.findall(r"#define (\w+)\s+\(?((?:ROLE_\w+|0)(?: \| ROLE_\w+)*)\)?$", text, re.M):
        assert ROLES.setdefault(name, set()) == {r.lower() for r in re.findall(r"ROLE_(\w+)", value)}, name
    out = {}
    for row in re.findall(r"\tMETHOD\((.*?)\),\n", text, re.S):
        name, request, reply, _, who, what = [w.strip() for w in row.split(",")][:6]
        if who not in ROLES:
            ROLES[who] = {r.lower() for r in re.findall(r"ROLE_(\w+)", who)}
        out["croft.v1." + name.strip('"')] = (request, reply, ROLES[who], set(re.findall(r"METHOD_(\w+)", what)))
    assert len(out) == text.count("\tMETHOD("), "a row was not understood"
    return out


def descriptors():
    """Each service of the protos with its comments, by protoc; (RPC's name, its descriptor, its comment)."""
    root = f"{TOP}/api/proto"
    names = [f"croft/v1/{name}" for name in sorted(os.listdir(f"{root}/croft/v1")) if name.endswith(".proto")]
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"--proto_path={root}", "--include_source_info", f"--descriptor_set_out={out.name}",
                        *names], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    for file in files.file:
        comments = {tuple(place.path): place for place in file.source_code_info.location}
        yield file, comments


def rpcs():
    out = {}
    for file, comments in descriptors():
        for s, service in enumerate(file.service):
            for n, method in enumerate(service.method):
                comment = comments[6, s, 2, n].leading_comments
                out[f"{file.package}.{service.name}/{method.name}"] = (method, comment)
    return out


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name.split(".")[-1]).lower()


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
        table = set().union(*(r["rpcs"] for r in rows() if (r["method"], r["path"]) == (verb, path)))
        assert table == set(operation["x-croft-rpc"]), (verb, path, table)


def test_every_rpc_has_a_route(_agent):
    routes = set().union(*(r["rpcs"] for r in rows()))
    assert set(rpcs()) == routes, set(rpcs()) ^ routes


def test_methods_are_the_rpcs(_agent):
    """The agent's table has each RPC with its messages, and knows which of them stream."""
    table = methods()
    assert set(table) == set(rpcs()), set(table) ^ set(rpcs())
    for name, (method, _) in rpcs().items():
        request, reply, _, flags = table[name]
        assert (request, reply) == (snake(method.input_type), snake(method.output_type)), name
        assert ("STREAM" in flags) == method.server_streaming, name
        assert ("INPUT" in flags) == method.client_streaming, name


def test_changes_are_known_as_such(_agent):
    """What REST does by PUT, PATCH, POST or DELETE is audited, but for what changes nothing by its nature."""
    table = methods()
    changes = {rpc for verb, _, operation, _ in operations() if verb != "GET" for rpc in operation["x-croft-rpc"]}
    changes -= {"croft.v1.DesiredService/DiffDesired", "croft.v1.Vms/WriteConsole"}
    marked = {name for name, row in table.items() if "CHANGES" in row[3]} - {"croft.v1.Vms/WriteConsole"}
    assert marked == changes, marked ^ changes


def test_roles(_agent):
    table = methods()
    for verb, path, operation, _ in operations():
        for rpc in operation["x-croft-rpc"]:
            assert table[rpc][2] == set(operation["x-croft-roles"]), (verb, path, rpc, table[rpc][2])


def test_protos_state_their_rest_form(_agent):
    """The comment of each RPC names its methods and path, and nothing else does."""
    table = {(rpc, f'{r["method"]} {r["path"]}') for r in rows() for rpc in r["rpcs"]}
    stated = set()
    for name, (_, comment) in rpcs().items():
        text = comment[comment.index("REST:"):]
        found = re.findall(r"\b(GET|PUT|PATCH|POST|DELETE)\b(?: (/[\w/{}]*(?:[.:]\w+)?))?", text)
        assert found, f"{name} states no REST form"
        path = None
        for method, own in found:  # "PATCH /v1/x ..., or PUT with ..."
            path = own or path
            stated.add((name, f"{method} {path}"))
    assert stated == table, stated ^ table


def test_query_parameters(_agent):
    for verb, path, _, parameters in operations():
        contract = {p["name"] for p in parameters if p["in"] == "query"}
        table = set()
        for r in rows():
            if (r["method"], r["path"]) == (verb, path):
                table |= {w.split("=")[0] for w in (r.get("query", "") + " " + r.get("own", "")).split()}
        assert table == contract, (verb, path, table, contract)


def test_idempotency_keys(_agent):
    """All that changes something takes one, and nothing else."""
    table = methods()
    for verb, path, operation, parameters in operations():
        changes = any("CHANGES" in table[rpc][3] for rpc in operation["x-croft-rpc"])
        assert changes == any(p["name"] == "Idempotency-Key" for p in parameters), (verb, path)


def test_if_match(agent):
    """Where the contract has it, a stale revision is 412."""
    agent.make_vm("stale")
    agent.rest("PUT", "/v1/desired", {"spec": {}})
    seen = 0
    for verb, path, operation, parameters in operations():
        if not any(p["name"] == "If-Match" for p in parameters):
            continue
        target = path.replace("{name}", "tiny" if "images" in path else "stale")
        args = ["-H", 'If-Match: "999999"']
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            args += ["-H", f"Content-Type: {kind}", "-d", json.dumps(media["example"])]
        answer = agent.curl(verb, target, *args)
        assert answer.status == 412, (verb, path, answer)
        seen += 1
    assert seen > 15, seen
    agent.rest("DELETE", "/v1/desired")
    agent.drop_vm("stale")


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
            kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
            schema = operation["requestBody"]["content"][kind]["schema"]["$ref"].split("/")[-1]
            service, method = r["rpc"].split("/")
            request = MESSAGES.services[service].methods_by_name[method].input_type
            message = request if r["body"] == "*" else request.fields_by_name[r["body"]].message_type
            assert schema == message.name + ("Patch" if verb == "PATCH" else ""), (verb, path, schema)



SCHEMAS = CONTRACT.doc["components"]["schemas"]
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
    for name, schema in SCHEMAS.items():
        if name in others or name.endswith("Patch"):
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


def test_messages_are_in_the_contract(_agent):
    """Every message that a path carries has its schema, also inside of others; those of requests only where they are bodies."""
    carried, todo = set(), [rpc[0].output_type for rpc in rpcs().values()]
    while todo:
        name = todo.pop().split(".")[-1]
        if name in carried:
            continue
        carried.add(name)
        for field in getattr(MESSAGES, name).DESCRIPTOR.fields:
            inner = field.message_type
            if inner and inner.full_name.startswith("croft.") and not inner.GetOptions().map_entry:
                todo.append(inner.full_name)
    carried -= {"Text", "ReadConsoleResponse"}  # REST carries their one field as it is
    assert carried <= set(SCHEMAS), carried - set(SCHEMAS)


def test_patches_have_what_can_change(_agent):
    """A patch has the fields of its object that are not output only and not fixed, in the same bounds, or null."""
    for name, patch in SCHEMAS.items():
        if not name.endswith("Patch") or name == "LabelsPatch":
            continue
        whole = SCHEMAS[name[:-5]]["properties"]
        fields = {k for k, v in whole.items() if not v.get("readOnly") and v.get("x-croft-change") != "never"}
        if name == "ImagePatch":
            fields.remove("spec")  # all of it is fixed
        assert set(patch["properties"]) == fields, name
        for key, inner in patch["properties"].items():
            if "$ref" in inner:
                assert inner["$ref"].endswith("Patch"), (name, key)
                continue
            full = CONTRACT.resolve(whole[key])
            assert inner["type"] == [full["type"], "null"], (name, key)
            for word in ("minimum", "maximum", "multipleOf", "maxLength", "maxItems", "pattern"):
                assert inner.get(word) == full.get(word), (name, key, word)


def test_change_classes(_agent):
    """[live], [restart] and [never] of the protos are the x-croft-change of the schemas."""
    stated = {}
    for file, comments in descriptors():
        for m, message in enumerate(file.message_type):
            for n, field in enumerate(message.field):
                place = comments[4, m, 2, n]
                word = re.search(r"\[(live|restart|never)\]", place.leading_comments + place.trailing_comments)
                if word:
                    stated[message.name, field.name] = word[1]
    assert len(stated) > 8, stated
    for name in ("VmSpec", "DiskSpec", "NetworkSpec", "ShareSpec"):
        classes = {(name, key): value["x-croft-change"] for key, value in SCHEMAS[name]["properties"].items()
                   if "x-croft-change" in value}
        assert classes == {k: v for k, v in stated.items() if k[0] == name}, classes
    for name, schema in SCHEMAS.items():
        for key, value in schema.get("properties", {}).items():
            assert value.get("x-croft-change", "live") in ("live", "restart", "never"), (name, key)


def test_change_classes_of_the_agent(_agent):
    """Its table of the fields of a VM is the contract's."""
    table = re.findall(r'\{ (\w+), "(\w+)", VM_(\w+) \}', source("agent/vm_update.c"))
    schemas = {kind: SCHEMAS[name]["properties"] for kind, name in (
        ("SPEC", "VmSpec"), ("DISK", "DiskSpec"), ("NET", "NetworkSpec"), ("SHARE", "ShareSpec"))}
    assert {(kind, key): word.lower() for kind, key, word in table} == {
        (kind, key): value["x-croft-change"] for kind, fields in schemas.items() for key, value in fields.items()
        if "x-croft-change" in value}


def test_filters(_agent):
    """The fields that the contract says one may filter by are those of the agent's lists."""
    said = re.sub(r"\s+", " ", CONTRACT.doc["components"]["parameters"]["filter"]["description"])
    for what, path in (("VMs", "method_vm.c"), ("images", "method_image.c"), ("operations", "method_operation.c"),
                       ("events", "event.c"), ("the audit", "method_audit.c")):
        fields = re.findall(r'"(\w+)"', re.search(r"fields\[\] = \{([^}]*)NULL \}", source(f"agent/{path}"))[1])
        words = re.search(rf"of {what}: ([^;.]*(?:labels\.KEY)?)", said)[1].replace("labels.KEY", "labels").split(", ")
        assert words == fields, (what, words, fields)


def limit(name):
    """A number that a header of C defines."""
    for path in glob.glob(f"{TOP}/agent/*.h") + glob.glob(f"{TOP}/vmm/*.h"):
        found = re.search(rf"#define {name}\s+(.*?)\s*(?:/\*.*)?$", source(path).replace("\\\n", " "), re.M)
        if found:
            return eval(re.sub(r"(?<=\d)[uUlL]+", "", found[1]), {})  # pylint: disable=eval-used
    raise AssertionError(f"no header defines {name}")


def test_limits(_agent):
    """The numbers of the schemas are those that the agent holds requests to."""
    vm, disks = SCHEMAS["VmSpec"]["properties"], SCHEMAS["DiskSpec"]["properties"]
    parameters = CONTRACT.doc["components"]["parameters"]
    for schema, word, name in (
            (SCHEMAS["Name"], "maxLength", "NAME_MAX_LENGTH"),
            (parameters["name"]["schema"], "maxLength", "NAME_MAX_LENGTH"),
            (SCHEMAS["Labels"], "maxProperties", "LABELS_MAX"),
            (SCHEMAS["Labels"]["propertyNames"], "maxLength", "LABEL_MAX_LENGTH"),
            (SCHEMAS["Labels"]["additionalProperties"], "maxLength", "LABEL_MAX_LENGTH"),
            (SCHEMAS["LabelsPatch"], "maxProperties", "LABELS_MAX"),
            (SCHEMAS["ImageSpec"]["properties"]["manifest_url"], "maxLength", "URL_MAX_LENGTH"),
            (vm["cmdline"], "maxLength", "CMDLINE_MAX_LENGTH"),
            (vm["cmdline_append"], "maxLength", "CMDLINE_MAX_LENGTH"),
            (vm["vcpus"], "maximum", "VMM_VCPUS_MAX"),
            (vm["memory_bytes"], "minimum", "VMM_MEMORY_MIN"),
            (vm["memory_bytes"], "multipleOf", "VMM_MEMORY_ALIGN"),
            (vm["memory_target_bytes"], "multipleOf", "VMM_MEMORY_ALIGN"),
            (vm["disks"], "maxItems", "VMM_DISKS_MAX"),
            (vm["networks"], "maxItems", "VMM_NETS_MAX"),
            (vm["ports"], "maxItems", "VMM_PORTS_MAX"),
            (vm["shares"], "maxItems", "VMM_SHARES_MAX"),
            (vm["bounce_bytes"], "multipleOf", "VMM_MEMORY_ALIGN"),
            (disks["queues"], "maximum", "VMM_DISK_QUEUES_MAX"),
            (disks["block_device"], "maxLength", "ALLOW_PATH_MAX"),
            (SCHEMAS["ShareSpec"]["properties"]["name"], "maxLength", "VMM_FS_TAG_MAX"),
            (SCHEMAS["ShareSpec"]["properties"]["path"], "maxLength", "ALLOW_PATH_MAX"),
            (SCHEMAS["RateLimit"]["properties"]["bytes_per_second"], "maximum", "VMM_LIMIT_MAX"),
            (SCHEMAS["RateLimit"]["properties"]["operations_per_second"], "maximum", "VMM_LIMIT_MAX"),
            (SCHEMAS["RestartPolicy"]["properties"]["limit"], "maximum", "RESTART_LIMIT_MAX"),
            (parameters["page_size"]["schema"], "maximum", "PAGE_SIZE_MAX"),
            (parameters["filter"]["schema"], "maxLength", "FILTER_TEXT_MAX"),
            (parameters["idempotency_key"]["schema"], "maxLength", "IDEMPOTENCY_KEY_MAX")):
        assert schema[word] == limit(name), (name, schema)
    assert disks["image_disk"]["maxLength"] == vm["image"]["maxLength"] == limit("NAME_MAX_LENGTH")
    text = CONTRACT.doc["info"]["description"]
    for name in ("REST_BODY_MAX", "REST_CONNECTIONS_MAX", "REST_STREAMS_MAX", "REST_URI_MAX", "REST_HEADERS_MAX",
                 "REST_IDLE_SECONDS"):
        assert f"{limit(name):,}" in text, f"{name} is not told"


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
        if kind == "text/event-stream":
            CONTRACT.check_items(media["example"], media)
        seen += 1
    assert seen > 60, seen


def test_each_reply_of_an_error_is_a_problem(_agent):
    """Every status from 400 on, but for the health checks' 503, is a Problem of that status."""
    for verb, path, operation, _ in operations():
        assert {"400", "403", "default"} <= set(operation["responses"]), (verb, path)
        for status, response in operation["responses"].items():
            if not status.startswith(("4", "5")) or response["$ref"].endswith("/Unhealthy"):
                continue
            media = CONTRACT.resolve(response)["content"]["application/problem+json"]
            assert media["example"]["status"] == int(status), (verb, path, status)


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
