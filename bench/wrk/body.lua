-- A request whose body lies in a file: BODY, TYPE, and the length of a protocol's head in HEAD.
dofile("bench/wrk/report.lua")
wrk.method = "POST"
wrk.body = io.open(os.getenv("BODY"), "rb"):read("*a")
wrk.headers["Content-Type"] = os.getenv("TYPE")
wrk.headers["Inference-Header-Content-Length"] = os.getenv("HEAD")
