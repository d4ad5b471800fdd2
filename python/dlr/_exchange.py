"""A `sedge exchange` process: requests as lines of JSON, tensors in memory that both have open.

Each line asks for one run and gets one line back (docs/dlr.md). Tensors lie one after the other in a
file without a name that never reaches a disk; the process writes its own behind those it was given.
"""

import json
import mmap
import os
import subprocess
import tempfile
import threading

import numpy as np

ALIGN = 64


class Refused(Exception):
    """What the process answered in place of a result, in its words."""


def _shared_file():
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("sedge-tensors"), "r+b", buffering=0)
    # Python 3.7
    directory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return tempfile.TemporaryFile(dir=directory, buffering=0)


class Exchange:
    """One model, loaded by a process of its own that ends with this object."""

    def __init__(self, model):
        self._lock = threading.Lock()
        self._memory = _shared_file()
        self._map = None
        program = os.environ.get("SEDGE") or "sedge"
        descriptor = self._memory.fileno()
        command = [program, "exchange", "--memory-fd", str(descriptor), "--", model]
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=[descriptor],
            )
        except OSError as error:
            raise Refused(
                "cannot start {}: {}. Hint: name the program sedge with $SEDGE".format(
                    program, error.strerror
                )
            ) from error
        self.model = self._hear()

    def run(self, inputs):
        """Runs the model. `inputs` are pairs of a name and an array; so is what it gives."""
        with self._lock:
            asked, end = [], 0
            for name, array in inputs:
                at = -(-end // ALIGN) * ALIGN
                end = at + array.nbytes
                asked.append(
                    {"name": name, "dtype": array.dtype.name, "shape": array.shape, "at": at}
                )
            self._reach(end)
            for entry, (_, array) in zip(asked, inputs):
                if array.nbytes:
                    place = np.ndarray(array.shape, array.dtype, self._map, entry["at"])
                    place[...] = array
            self._say({"inputs": asked})
            answer = self._hear()
            self._reach(os.fstat(self._memory.fileno()).st_size)
            return [self._take(entry) for entry in answer["outputs"]]

    def _take(self, entry):
        array = np.ndarray(entry["shape"], entry["dtype"], self._map, entry["at"])
        # The next run writes over it.
        return entry["name"], array.copy()

    def _reach(self, size):
        """Has at least so many bytes of the memory mapped."""
        if self._map is not None and len(self._map) >= size:
            return
        size = max(size, mmap.PAGESIZE)
        if os.fstat(self._memory.fileno()).st_size < size:
            self._memory.truncate(size)
        self._map = mmap.mmap(self._memory.fileno(), size)

    def _say(self, message):
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Refused(self._last_words()) from error

    def _hear(self):
        line = self._process.stdout.readline()
        if not line:
            raise Refused(self._last_words())
        answer = json.loads(line.decode())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def _last_words(self):
        self._process.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        text = text[len("error: ") :] if text.startswith("error: ") else text
        return text or "the process of the model ended: {}".format(self._process.returncode)

    def close(self):
        """Ends the process."""
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None:
            process.stdout.close()
        self._errors.close()
        self._memory.close()
