import signal

import pytest

from references import CLASSIFIERS, DETECTORS
from sedge import serving

# Whatever started the tests may have had it ignored, as nohup does; programs that inherit that do
# not read their configuration again.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def server():
    with serving([*CLASSIFIERS, *DETECTORS]) as server:
        yield server


@pytest.fixture(scope="session")
def runtime(server):
    return server.boto3()
