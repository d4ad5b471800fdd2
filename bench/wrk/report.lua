-- One line that server.py reads: p50 p90 p99 (us), requests, duration (us), failures.
function done(summary, latency)
   local e = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d %d\n",
      latency:percentile(50), latency:percentile(90), latency:percentile(99),
      summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
