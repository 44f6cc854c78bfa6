// SPDX-License-Identifier: Apache-2.0
// Lints an OpenAPI file with the strict rules of Redocly; prints a line a problem. Usage: node openapi_lint.mjs FILE
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NPM}/`);
const { createConfig, lint } = require("@redocly/openapi-core");

const config = await createConfig({ extends: ["recommended-strict"] });
const problems = await lint({ ref: process.argv[2], config });
for (const { ruleId, message, location } of problems)
	console.log(`${ruleId}: ${message} ${location.map((where) => where.pointer).join(" ")}`);
process.exitCode = problems.length > 0 ? 1 : 0;
