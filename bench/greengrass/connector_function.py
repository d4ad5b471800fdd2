"""A function of a group, which asks its connector by the SDK and by HTTP, in turns."""

import http.client
import json
import os
import statistics
import time

import greengrass_machine_learning_sdk as ml

with open(os.environ["PICTURE"], "rb") as file:
    content = file.read()
client = ml.client("inference")
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]))


def by_sdk():
    response = client.invoke_inference_service(
        AlgoType="image-classification", ServiceName="classifier", ContentType="image/jpeg",
        Body=content)
    return response["Body"].read()


def by_http():
    connection.request("POST", "/endpoints/classifier/invocations", content,
                       {"Content-Type": "image/jpeg"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(body)
    return body


def p50_us(call, count):
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(times)


def measure():
    ways = {"sdk": by_sdk, "http": by_http}
    if by_sdk() != by_http():
        raise RuntimeError("the two ways answer differently")
    count, found = int(os.environ["COUNT"]), {name: [] for name in ways}
    for turn in range(int(os.environ["ROUNDS"]) + 1):
        for name, way in ways.items():
            time.sleep(0.2)
            middle = p50_us(way, count)
            if turn:  # the first one warms
                found[name].append(middle)
    with open(os.environ["RESULT"] + ".new", "w") as file:
        json.dump(found, file)
    os.rename(os.environ["RESULT"] + ".new", os.environ["RESULT"])


measure()


def function_handler(event, context):
    return
