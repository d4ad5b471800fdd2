-- SageMaker Runtime: a picture of one pixel.
dofile("bench/wrk/report.lua")
wrk.method = "POST"
wrk.body = io.open("testdata/images/tiny_1x1.png", "rb"):read("*a")
wrk.headers["Content-Type"] = "image/png"
