import pytest

from references import CLASSIFIERS, DETECTORS
from sedge import serving


@pytest.fixture(scope="session")
def server():
    with serving([*CLASSIFIERS, *DETECTORS]) as server:
        yield server


@pytest.fixture(scope="session")
def runtime(server):
    return server.boto3()
