import base64
import io
import json
import os

from greengrass_ipc_python_sdk.ipc_facade import (GreengrassRuntimeException,
                                                  GreengrassServiceClient,
                                                  GreengrassServiceMessage)

from .checks import check_given, check_interface, check_name


class GreengrassInferenceException(Exception):
    """The service answered with an error."""


class GreengrassDependencyException(Exception):
    """The service was not reached."""


class StreamingBody(object):
    def __init__(self, payload):
        self._stream = io.BytesIO(payload)

    def read(self, amt=None):
        return self._stream.read(amt)

    def close(self):
        self._stream.close()


class Client(object):
    def __init__(self):
        check_interface()
        self._core = GreengrassServiceClient()

    def invoke_inference_service(self, **kwargs):
        region = os.environ['AWS_REGION']
        check_given('Inference.Client.invoke_inference_service', kwargs,
                    'ServiceName', 'Body', 'AlgoType')
        check_name('algo_type', kwargs['AlgoType'])
        check_name('service_name', kwargs['ServiceName'])
        names = {'ContentType': 'Content-Type', 'Accept': 'Accept'}
        custom = {names[name]: kwargs[name] for name in names if name in kwargs}
        context = base64.b64encode(json.dumps({'custom': custom}).encode('utf-8'))
        address = 'arn:aws:lambda:{}:aws:function:GG-ML-INF-{}-{}'.format(
            region, kwargs['AlgoType'], kwargs['ServiceName'])
        try:
            output = self._core.call(address, GreengrassServiceMessage(context, kwargs['Body']))
        except GreengrassRuntimeException as error:
            raise GreengrassDependencyException(error)
        if output.error_response:
            raise GreengrassInferenceException(output.error_response)
        answer = json.loads(output.response.payload)
        answer['Body'] = StreamingBody(answer['Body'].encode('utf-8'))
        return answer
