# SPDX-License-Identifier: Apache-2.0
"""Each example of the OpenAPI file on a live agent of its own: requests are sent, replies are compared with real ones."""

import json

from harness import Agent, CONTRACT

# The documented operations in an order in which their examples make sense: the life of the image "guest" and the VM "web1".
# (operationId, path, status that this order leads to)
STORY = (
    ("getLivez", "/livez?verbose=true", 200), ("getReadyz", "/readyz?verbose=true", 200), ("getMetrics", "/metrics", 200),
    ("getVersion", "/version", 200), ("getOpenapi", "/v1/openapi.yaml", 200),
    ("putNode", "/v1/node", 200), ("patchNode", "/v1/node", 200), ("getNode", "/v1/node", 200),
    ("pullImage", "/v1/images", 202), ("getOperation", "/v1/operations/{last}?wait=60s", 200),
    ("putImage", "/v1/images/guest", 200), ("patchImage", "/v1/images/guest", 200), ("getImage", "/v1/images/guest", 200),
    ("listImages", "/v1/images", 200),
    ("createVm", "/v1/vms?dry_run=true", 201), ("createVm", "/v1/vms", 201), ("listVms", "/v1/vms", 200),
    ("putVm", "/v1/vms/web1", 200), ("patchVm", "/v1/vms/web1", 200),
    ("startVm", "/v1/vms/web1:start", 202), ("getOperation", "/v1/operations/{last}?wait=60s", 200),
    ("getNode", "/v1/node", 200), ("getVm", "/v1/vms/web1", 200), ("readConsole", "/v1/vms/web1/console?wait=30s", 200),
    ("writeConsole", "/v1/vms/web1/console", 200), ("getVmStats", "/v1/vms/web1/stats", 200),
    ("resizeVm", "/v1/vms/web1:resize", 200), ("restartVm", "/v1/vms/web1:restart?wait=60s", 200),
    ("stopVm", "/v1/vms/web1:stop?wait=60s", 200),
    ("cordonNode", "/v1/node:cordon", 200), ("uncordonNode", "/v1/node:uncordon", 200),
    ("diffDesired", "/v1/desired:diff", 200), ("putDesired", "/v1/desired", 200), ("getDesired", "/v1/desired", 200),
    ("applyDesired", "/v1/desired:apply", 200), ("deleteDesired", "/v1/desired", 200),
    ("drainNode", "/v1/node:drain?wait=60s", 200),
    ("getConfig", "/v1/config", 200), ("putConfig", "/v1/config", 200), ("patchConfig", "/v1/config", 200),
    ("readEvents", "/v1/events", 200), ("listOperations", "/v1/operations", 200), ("listAuditRecords", "/v1/audit", 200),
    ("deleteVm", "/v1/vms/web1", 200), ("deleteImage", "/v1/images/guest", 200),
)
# Told elsewhere: a cancelled pull below, the WebSocket in test_socket.py.
APART = {"cancelOperation", "attachConsole"}

OPERATIONS = {operation["operationId"]: (verb.upper(), operation) for item in CONTRACT.doc["paths"].values()
              for verb, operation in item.items() if verb != "parameters"}


def body_of(agent, operation):
    """curl's arguments for the example of a body; the image comes from the test's own server."""
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        text = media["example"]
        if kind != "application/octet-stream":
            text = json.dumps(text).replace("http://10.0.2.2:8000/manifest.json", agent.images.url("manifest.json"))
        return ["-H", f"Content-Type: {kind}", "--data-binary", text]
    return []


def shapes(value, schema, where=""):
    """(place, type) of all that a JSON value has; members of lists and keys of maps count as one."""
    schema = CONTRACT.resolve(schema)
    kind = {int: "number", float: "number"}.get(type(value), type(value).__name__)
    yield where, kind
    if isinstance(value, dict):
        for key, member in value.items():
            known = schema.get("properties", {})
            inner = known.get(key) or schema["additionalProperties"]
            yield from shapes(member, inner, f"{where}/{key if key in known else '*'}")
    if isinstance(value, list):
        for member in value:
            yield from shapes(member, schema["items"], f"{where}/-")


def name_of(media):
    return media["schema"].get("$ref", "").rpartition("/")[2]


class Story:
    """A fresh agent that has lived through all examples, and the shapes of what it answered, by the schema's name."""

    def __init__(self):
        self.agent = Agent().start()
        self.seen, self.told = {}, set()
        self.last = None

    def tell(self, operation_id, path, status):
        verb, operation = OPERATIONS[operation_id]
        path = path.replace("{last}", self.last or "")
        answer = self.agent.curl(verb, path, *body_of(self.agent, operation))
        assert answer.status == status, (operation_id, path, answer)
        assert str(status) in operation["responses"], (operation_id, status)
        self.told.add(operation_id)
        self.learn(operation, answer)
        return answer

    def learn(self, operation, answer):
        media = CONTRACT.resolve(operation["responses"][str(answer.status)])["content"][answer.headers["content-type"]]
        if answer.headers["content-type"] != "application/json":
            return
        self.note(answer.json, media["schema"])
        if name_of(media) == "Operation":
            self.last = answer.json["name"]


    def cancel_a_pull(self):
        """One that never ends by itself, and that the document waits for."""
        spec = {"images": [{"name": "slow", "spec": {"manifest_url": self.agent.images.url("stall")}}]}
        assert self.agent.rest("PUT", "/v1/desired", {"spec": spec}).status == 200
        found = []
        while not found:
            objects = self.tell("getDesired", "/v1/desired", 200).json["status"]["objects"]
            found = [o["operation"] for o in objects if "operation" in o]
        self.tell("cancelOperation", f"/v1/operations/{found[0]}:cancel", 200)

    def note(self, value, schema):
        """Its shapes, and those of the objects in the lists at its top."""
        name = schema.get("$ref", "").rpartition("/")[2]
        self.seen.setdefault(name, set()).update(shapes(value, schema))
        for key, inner in CONTRACT.resolve(schema).get("properties", {}).items():
            for member in value.get(key, []) if inner.get("type") == "array" else ():
                if "$ref" in inner["items"]:
                    self.note(member, inner["items"])


def examples():
    """The JSON examples of all answers that are no errors: (operationId, schema, value)."""
    for operation_id, (_, operation) in OPERATIONS.items():
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                for kind, media in CONTRACT.resolve(response).get("content", {}).items():
                    if kind == "application/json":
                        yield operation_id, media["schema"], media["example"]
                    for line in media["example"].splitlines() if kind == "text/event-stream" else ():
                        if line.startswith("data: "):
                            yield operation_id, media["x-croft-item"], json.loads(line[6:])


def test_each_example_on_the_agent(_agent):
    story = Story()
    try:
        for operation_id, path, status in STORY:
            story.tell(operation_id, path, status)
        story.cancel_a_pull()
        assert story.told | APART == set(OPERATIONS), set(OPERATIONS) ^ (story.told | APART)
        for operation_id, schema, value in examples():
            name = name_of({"schema": schema})
            strange = set(shapes(value, schema)) - story.seen[name]
            assert not strange, f"{operation_id}: no real {name} has {strange}"
        assert story.agent.stop() == 0, story.agent.log_text()
    finally:
        story.agent.close()
