-- SPDX-License-Identifier: Apache-2.0
-- For wrk: POST /v1/vms with a name of its own each time. Arguments: what the names begin with.

local threads = 0

function setup(thread)
	thread:set("id", threads)
	threads = threads + 1
end

function init(args)
	first = string.format("%s-%d-", args[1], id)
	number = 0
	wrk.method = "POST"
	wrk.headers["Content-Type"] = "application/json"
end

function request()
	number = number + 1
	local body = string.format(
		'{"name":"%s%d","labels":{"app":"web"},"spec":{"vcpus":1,"memory_bytes":67108864,"image":"tiny"}}', first, number)
	return wrk.format(nil, "/v1/vms", nil, body)
end
