-- wrk: POST the prepared callbacks, each once. BODIES = file of "query<TAB>body" lines.
local lines, at = {}, 0
function init(args)
  for line in io.lines(os.getenv("BODIES")) do lines[#lines + 1] = line end
end
function request()
  at = at + 1
  if at > #lines then wrk.thread:stop(); at = 1 end
  local query, body = lines[at]:match("^([^\t]+)\t(.*)$")
  return wrk.format("POST", "/wecom/app?" .. query, { ["Content-Type"] = "text/xml" }, body)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('JSON {"answered": %d, "seconds": %.3f, "p50_ms": %.2f, "p99_ms": %.2f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
