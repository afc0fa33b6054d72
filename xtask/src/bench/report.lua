
-- The last line of the output: what was measured, as JSON. wrk counts an answer of 400 or more as a status error.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
