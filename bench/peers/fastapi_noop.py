"""The server that most Python examples begin with, around a model that does nothing."""

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/invocations")
async def invocations(request: Request):
    return {"bytes": len(await request.body())}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
