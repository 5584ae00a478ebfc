-- For wrk: the requests of a file, in turns, a line each: method, path, authorization and body, with tabs between them.
-- In the end one line: requests, microseconds, p50 and p99 in microseconds, answers that were errors, broken connections.

local requests = {}
local last = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, authorization, body = line:match("^(.-)\t(.-)\t(.-)\t(.*)$")
    local headers = { Host = wrk.headers["Host"] }
    if authorization ~= "" then headers["Authorization"] = authorization end
    if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("load: %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
