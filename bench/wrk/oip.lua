-- Open Inference Protocol: three floats in the binary tensor extension, answered the same way.
dofile("bench/wrk/report.lua")
local head = '{"inputs":[{"name":"input","shape":[1,3,1,1],"datatype":"FP32",'
   .. '"parameters":{"binary_data_size":12}}],"parameters":{"binary_data_output":true}}'
wrk.method = "POST"
wrk.body = head .. string.rep("\0", 12)
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Inference-Header-Content-Length"] = tostring(#head)
