// SPDX-License-Identifier: Apache-2.0
// Attaches to a console with the WebSocket client `ws`. Usage: node socket_client.mjs URL; prints a line a check.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NPM}/`);
const { WebSocket } = require("ws");
const url = process.argv[2];

const writer = new WebSocket(`${url}?write=true`);
let seen = "";
const echoed = new Promise((resolve) => {
	writer.on("message", (data, binary) => {
		assert.ok(binary);
		seen += data.toString();
		if (seen.includes("typed by ws"))
			resolve();
	});
});
await once(writer, "open");
console.log("attached");

const second = new WebSocket(`${url}?write=true`);
const [, refusal] = await once(second, "unexpected-response");
assert.equal(refusal.statusCode, 409);
console.log("one writer");

writer.send(Buffer.from("typed by ws\n"));
await echoed;
console.log("echoed");

writer.close(1000);
const [status] = await once(writer, "close");
assert.equal(status, 1000);
console.log("closed");
process.exit(0);
