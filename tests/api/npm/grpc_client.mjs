// SPDX-License-Identifier: Apache-2.0
// Calls croftd over gRPC with Node.js's own client: unary calls, errors, a deadline, server streams, an attached console.
// Usage: node grpc_client.mjs ADDRESS PROTOS VM [CA CERTIFICATE KEY]; prints a line a check.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NPM}/`);
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, protos, name, ca, certificate, key] = process.argv.slice(2);
const files = ["vm", "node", "event"].map((file) => `croft/v1/${file}.proto`);
const { croft } = grpc.loadPackageDefinition(
	loader.loadSync(files, { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true }),
);
const credentials = ca
	? grpc.credentials.createSsl(...[ca, key, certificate].map((path) => readFileSync(path)))
	: grpc.credentials.createInsecure();
const vms = new croft.v1.Vms(address, credentials);
const node = new croft.v1.NodeService(address, credentials);
const events = new croft.v1.Events(address, credentials);

function call(client, method, request, options = { deadline: Date.now() + 60000 }) {
	return new Promise((resolve, reject) => {
		client[method](request, options, (error, reply) => (error ? reject(error) : resolve(reply)));
	});
}

async function code(promise) {
	try {
		await promise;
	} catch (error) {
		return grpc.status[error.code];
	}
	return "OK";
}

// The messages of a server stream until `enough` says so; then it is cancelled.
function read(stream, enough) {
	return new Promise((resolve, reject) => {
		const messages = [];
		stream.on("data", (message) => {
			messages.push(message);
			if (enough(messages)) {
				stream.cancel();
				resolve(messages);
			}
		});
		stream.on("error", (error) => {
			if (error.code !== grpc.status.CANCELLED)
				reject(error);
		});
		stream.on("end", () => reject(new Error(`it ended after ${messages.length} messages`)));
	});
}

const text = (messages) => Buffer.concat(messages.map((message) => message.data)).toString();

const checks = {
	async "unary calls"() {
		assert.equal((await call(node, "GetVersion", {})).api_version, "v1");
		const vm = await call(vms, "GetVm", { name });
		assert.equal(vm.status.state, "RUNNING");
		assert.equal(vm.spec.memory_bytes, 64 << 20);
	},
	async errors() {
		assert.equal(await code(call(vms, "GetVm", { name: "nobody" })), "NOT_FOUND");
		assert.equal(await code(call(vms, "StopVm", { name, deadline: { seconds: 601 } })), "INVALID_ARGUMENT");
		const stale = new grpc.Metadata();
		stale.set("if-match", "999999");
		const refused = new Promise((resolve, reject) => {
			vms.DeleteVm({ name }, stale, (error, reply) => (error ? reject(error) : resolve(reply)));
		});
		assert.equal(await code(refused), "ABORTED");
	},
	async "a deadline"() {
		const end = (await call(vms, "ReadConsole", { name })).next_offset;
		const waiting = call(vms, "ReadConsole", { name, offset: end, wait: { seconds: 30 } }, { deadline: Date.now() + 300 });
		assert.equal(await code(waiting), "DEADLINE_EXCEEDED");
	},
	async "a stream of events"() {
		const some = await read(events.WatchEvents({ filter: `target=vms/${name}` }), (messages) => messages.length === 3);
		assert.equal(some[0].type, "vm.created");
		assert.ok(some[2].number > some[1].number);
	},
	async "a stream of stats"() {
		const interval = { seconds: 0, nanos: 100000000 };
		const some = await read(vms.WatchVmStats({ name, interval }), (messages) => messages.length === 3);
		assert.equal(some[2].memory_configured_bytes, 64 << 20);
	},
	async "an attached console"() {
		const writer = vms.AttachConsole();
		const typed = read(writer, (messages) => text(messages).includes("typed by node"));
		writer.write({ name, write: true });
		await new Promise((resolve) => writer.once("data", resolve));
		const second = vms.AttachConsole();
		const refused = read(second, () => false);
		second.write({ name, write: true });
		assert.equal(await code(refused), "FAILED_PRECONDITION");
		writer.write({ data: Buffer.from("typed by node\n") });
		await typed;
	},
};

for (const [what, check] of Object.entries(checks)) {
	await check();
	console.log(what);
}
process.exit(0);
