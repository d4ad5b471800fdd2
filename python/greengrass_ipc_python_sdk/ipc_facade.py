"""Calls of services, as the machine-learning SDK makes them."""
import json

from greengrass_ipc_python_sdk.ipc_client import IPCClient, IPCException


class GreengrassRuntimeException(Exception):
    """The service was not reached."""


class GreengrassServiceMessage(object):
    """What is sent to a service, or comes back: Base64 of JSON, and bytes."""

    def __init__(self, context, payload):
        self.context = context
        self.payload = payload


class GreengrassServiceCallOutput(object):
    """An answer: a message, or the text of the service's error."""

    def __init__(self, response=None, error_response=None):
        self.response = response
        self.error_response = error_response


class GreengrassServiceClient(object):
    """Calls services by their address."""

    def __init__(self):
        self._ipc = IPCClient()

    def call(self, address, message):
        """Sends a message and waits for the answer.

        Raises GreengrassRuntimeException when the service is not there.
        """
        try:
            invocation_id = self._ipc.post_work(address, message.payload, message.context)
            result = self._ipc.get_work_result(address, invocation_id)
        except IPCException as error:
            raise GreengrassRuntimeException(str(error)) from error
        if result.func_err:
            return GreengrassServiceCallOutput(error_response=_told(result))
        return GreengrassServiceCallOutput(GreengrassServiceMessage(b'', result.payload))


def _told(result):
    """The text of an error, which comes as `{"errorMessage": "..."}`; never empty."""
    text = result.payload.decode('utf-8', 'replace')
    try:
        text = json.loads(text)['errorMessage']
    except (ValueError, KeyError, TypeError):
        pass
    return str(text) or result.func_err
