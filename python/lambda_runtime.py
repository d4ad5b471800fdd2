"""Runs one Python function: `lambda_runtime.py --handler=MODULE.FUNCTION --timeout=SECONDS`.

The core starts this in a process of its own, with the function's environment and its code as the
working directory, and ends it when it wants to. Python 3.7 and later, nothing but its library.
"""
import base64
import importlib
import json
import logging
import os
import sys
import time
import traceback

from greengrass_common.env_vars import ENCODING_TYPE, MY_FUNCTION_ARN
from greengrass_common.function_arn_fields import FunctionArnFields
from greengrass_ipc_python_sdk.ipc_client import IPCClient, IPCException, WorkItem

logger = logging.getLogger(__name__)


class CoreLogHandler(logging.Handler):
    """Hands records to the core, which has a descriptor for each level."""

    def __init__(self):
        super(CoreLogHandler, self).__init__()
        self.setFormatter(logging.Formatter('%(filename)s:%(lineno)d,%(message)s'))
        self._descriptors = [
            (level, int(os.environ['_GG_LOG_FD_' + name]))
            for level, name in [(logging.CRITICAL, 'FATAL'), (logging.ERROR, 'ERROR'),
                                (logging.WARNING, 'WARN'), (logging.INFO, 'INFO'),
                                (logging.DEBUG, 'DEBUG'), (logging.NOTSET, 'TRACE')]
        ]

    def emit(self, record):
        try:
            left = (self.format(record) + '\n').encode('utf-8', 'replace')
            descriptor = next(fd for level, fd in self._descriptors if record.levelno >= level)
            while left:
                left = left[os.write(descriptor, left):]
        except Exception:
            self.handleError(record)


class ClientContext(object):
    """What the caller said beside the payload; of a message, `custom['subject']` is its topic."""

    def __init__(self, fields):
        self.client = fields.get('client')
        self.custom = fields.get('custom') or {}
        self.env = fields.get('env') or {}


class Context(object):
    """What a handler gets as its second argument."""

    def __init__(self, arn, invocation_id, client_context, deadline):
        fields = FunctionArnFields(arn)
        self.invoked_function_arn = arn
        self.function_name = fields.name
        self.function_version = fields.qualifier
        self.aws_request_id = invocation_id
        self.client_context = client_context
        self.identity = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def load(name):
    """The function that `module.function` names."""
    module, _, function = name.rpartition('.')
    if not module:
        raise ValueError("the handler '{}' is not of the form MODULE.FUNCTION".format(name))
    return getattr(importlib.import_module(module.replace('/', '.')), function)


def client_context(encoded):
    """The context of a call, which is Base64 of a JSON object or nothing."""
    fields = json.loads(base64.b64decode(encoded).decode('utf-8')) if encoded else {}
    return ClientContext(fields if isinstance(fields, dict) else {})


def error_of(error):
    """An exception as callers are told of it."""
    return {
        'errorMessage': str(error),
        'errorType': type(error).__name__,
        'stackTrace': [line.rstrip('\n') for line in traceback.format_tb(error.__traceback__)[1:]],
    }


def answer(handler, item, timeout, binary):
    """What the handler makes of a call: bytes."""
    event = item.payload
    if not binary:
        event = json.loads(event.decode('utf-8')) if event else {}
    deadline = time.monotonic() + timeout
    context = Context(MY_FUNCTION_ARN, item.invocation_id, client_context(item.client_context),
                      deadline)
    result = handler(event, context)
    if not binary:
        return json.dumps(result).encode('utf-8')
    if result is None:
        return b''
    return result.encode('utf-8') if isinstance(result, str) else bytes(memoryview(result))


def work(client, handler, timeout, binary):
    """Answers one call after the other, until the core ends this process."""
    while True:
        item = client.get_work(MY_FUNCTION_ARN)
        try:
            payload, failure = answer(handler, item, timeout, binary), None
        except Exception as error:
            logger.exception('The handler failed: %s', error)
            failure = error_of(error)
        try:
            if failure is None:
                result = WorkItem(item.invocation_id, payload, None)
                client.post_work_result(MY_FUNCTION_ARN, result)
            else:
                client.post_handler_err(MY_FUNCTION_ARN, item.invocation_id, failure)
        except IPCException as error:
            # Too large, or nobody waits any more. The next call has nothing to do with it.
            logger.error('The answer to %s was refused: %s', item.invocation_id, error)


def main():
    # argparse would take a tenth of the memory that a function has by default.
    arguments = dict(argument.split('=', 1) for argument in sys.argv[1:])
    name, timeout = arguments['--handler'], float(arguments['--timeout'])
    # Its code is named by an ARN on many devices, and PYTHONPATH has no way to write a colon.
    sys.path.insert(1, os.getcwd())
    # The function's own arguments: none.
    del sys.argv[1:]
    root = logging.getLogger()
    root.addHandler(CoreLogHandler())
    level = os.environ.get('LOG_LEVEL', 'INFO')
    root.setLevel({'WARN': 'WARNING', 'FATAL': 'CRITICAL'}.get(level, level))
    client = IPCClient()
    try:
        handler = load(name)
    except BaseException as error:
        logger.critical('Failed to import handler function "%s" due to exception: %s',
                        name, error)
        traceback.print_exc()
        client.put_initialization_result(MY_FUNCTION_ARN, error)
        # Not sys.exit, which would wait for threads that the module has started.
        os._exit(1)
    client.put_initialization_result(MY_FUNCTION_ARN, None)
    try:
        work(client, handler, timeout, ENCODING_TYPE == 'binary')
    except IPCException as error:
        logger.critical('The core is gone: %s', error)
        os._exit(1)


if __name__ == '__main__':
    main()
