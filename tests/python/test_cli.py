"""The command line against files that mean harm."""

import os
import subprocess

import pytest

from sedge import IMAGES, MODELS, ROOT, SEDGE

MALFORMED = sorted((IMAGES / "malformed").iterdir())


def infer(model, picture):
    """Runs `sedge infer`; gives its exit code, standard error and most resident bytes."""
    command = [SEDGE, "infer", str(MODELS / model), str(picture)]
    child = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    errors = child.stderr.read().decode()
    child.stderr.close()
    # The resources of this one child, which the subprocess module does not give.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, errors, usage.ru_maxrss * 1024


def test_there_are_malformed_files():
    assert len(MALFORMED) >= 17


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.name)
def test_a_malformed_picture_is_a_clear_error_in_little_memory(path):
    code, errors, resident = infer("mobilenet-v1-0-25-224", path)
    assert code == 1, errors
    assert errors.startswith("error: ") and str(path) in errors and "panic" not in errors, errors
    assert len(errors.splitlines()) <= 4, errors
    assert resident < 300 << 20
