"""The local protocol of the core: calls of other functions, and one's own work."""
import collections
import json

from greengrass_common.env_vars import AUTH_TOKEN, GG_DAEMON_PORT
from greengrass_ipc_python_sdk import connection

ROUTER = 'arn:aws:lambda:::function:GGRouter'

WorkItem = collections.namedtuple('WorkItem', ['invocation_id', 'payload', 'client_context'])
GetWorkResultOutput = collections.namedtuple('GetWorkResultOutput', ['payload', 'func_err'])


class IPCException(Exception):
    """The core was not reached, or refused."""


def _bytes(payload):
    """What is sent for a payload: text as UTF-8, files read to their end."""
    if payload is None:
        return b''
    if hasattr(payload, 'read'):
        payload = payload.read()
    if isinstance(payload, str):
        return payload.encode('utf-8')
    return bytes(memoryview(payload))


def _text(value):
    return value.decode('latin-1') if isinstance(value, bytes) else value


class IPCClient(object):
    """Speaks to the core. Clients share nothing, and may be used from any thread."""

    _port = GG_DAEMON_PORT

    @staticmethod
    def set_gg_daemon_port(port):
        """The port of clients made from now on."""
        IPCClient._port = port

    def __init__(self, endpoint='localhost', port=None):
        # The core listens on IPv4, whatever else `localhost` means here. What packages of old say
        # about the port never counted.
        self.endpoint = '127.0.0.1' if endpoint == 'localhost' else endpoint
        self.port = int(IPCClient._port)
        self.auth_token = AUTH_TOKEN or ''

    def post_work(self, function_arn, payload, client_context, invocation_type='RequestResponse'):
        """Calls a function; the id by which its answer is fetched.

        `client_context` is Base64 (bytes or text) of JSON, or empty.
        """
        headers = {'X-Amz-Invocation-Type': invocation_type}
        if client_context:
            headers['X-Amz-Client-Context'] = _text(client_context)
        answer_headers, _ = self._ask('POST', function_arn, '', headers, payload)
        return answer_headers.get('x-amz-invocationid')

    def get_work_result(self, function_arn, invocation_id):
        """Waits for an answer. `func_err` is '' when all went well."""
        if function_arn == ROUTER:
            return GetWorkResultOutput(payload=b'', func_err='')
        headers, body = self._ask('GET', function_arn, '', {'X-Amz-InvocationId': invocation_id})
        return GetWorkResultOutput(payload=body, func_err=headers.get('x-amz-function-error', ''))

    def get_work(self, function_arn):
        """Waits for the next call of this function."""
        headers, body = self._ask('GET', function_arn, '/work', {})
        return WorkItem(headers.get('x-amz-invocationid'), body,
                        headers.get('x-amz-client-context', ''))

    def post_work_result(self, function_arn, work_item):
        """Answers a call."""
        headers = {'X-Amz-InvocationId': work_item.invocation_id}
        self._ask('POST', function_arn, '/work', headers, work_item.payload)

    def post_handler_err(self, function_arn, invocation_id, handler_err):
        """Answers a call with an error, which has a text or is a dict with `errorMessage`."""
        error = handler_err if isinstance(handler_err, dict) else {'errorMessage': str(handler_err)}
        headers = {'X-Amz-InvocationId': invocation_id, 'X-Amz-Function-Error': 'Handled'}
        self._ask('POST', function_arn, '/work', headers, json.dumps(error))

    def put_initialization_result(self, function_arn, func_error):
        """Says that this function is ready, or why it never will be (a text or an exception)."""
        if isinstance(func_error, BaseException):
            func_error = '{}("{}")'.format(type(func_error).__name__, func_error)
        result = {'Success': not func_error, 'Response': str(func_error or '')}
        self._ask('PUT', function_arn, '/initialized', {}, json.dumps(result))

    def _ask(self, method, function_arn, path, headers, payload=b''):
        headers['Authorization'] = self.auth_token
        path = '/2016-11-01/functions/{}{}'.format(function_arn, path)
        try:
            status, answer_headers, body = connection.ask(
                self.endpoint, self.port, method, path, headers, _bytes(payload))
        except (OSError, ValueError) as error:
            raise IPCException('cannot ask the core at {}:{}: {}'.format(
                self.endpoint, self.port, error)) from error
        if status >= 400:
            raise IPCException('HTTP Error {}: {}'.format(
                status, body.decode('utf-8', 'replace')))
        return answer_headers, body
