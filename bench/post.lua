-- One POST, its headers and body from a file, and a JSON line at the end: wrk's own text rounds too much.
-- usage: wrk -s post.lua URL -- request-file [milliseconds between requests]      (first line "name: value|name: value", the rest is the body)
function init(args)
  local file = assert(io.open(args[1], "rb"))
  local head = file:read("*l")
  wrk.body = file:read("*a")
  file:close()
  wrk.method = "POST"
  if args[2] then
    function delay() return tonumber(args[2]) end
  end
  for name, value in head:gmatch("([^:|]+): ([^|]*)|?") do
    wrk.headers[name] = value
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "failed": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status,
    latency:percentile(50), latency:percentile(99)))
end
