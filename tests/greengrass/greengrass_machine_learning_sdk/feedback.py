import base64
import json
import os

from greengrass_ipc_python_sdk.ipc_facade import (GreengrassRuntimeException,
                                                  GreengrassServiceClient,
                                                  GreengrassServiceMessage)

from .checks import check_given, check_interface, check_name
from .inference import GreengrassDependencyException


class GreengrassFeedbackException(Exception):
    """The service answered with an error."""


class Client(object):
    def __init__(self):
        check_interface()
        self._address = 'arn:aws:lambda:{}:aws:function:MLFeedback'.format(os.environ['AWS_REGION'])
        self._core = GreengrassServiceClient()

    def publish(self, **kwargs):
        check_given('Feedback.Client.publish', kwargs, 'ConfigId', 'ModelInput', 'ModelPrediction')
        check_name('config_id', kwargs['ConfigId'])
        if not isinstance(kwargs['ModelPrediction'], (dict, list)):
            raise ValueError('field model_prediction must be a dict or a list')
        custom = {'ConfigId': kwargs['ConfigId'], 'ModelPrediction': kwargs['ModelPrediction'],
                  'Metadata': kwargs.get('Metadata', {})}
        context = base64.b64encode(json.dumps({'custom': custom}).encode('utf-8'))
        message = GreengrassServiceMessage(context, kwargs['ModelInput'])
        try:
            output = self._core.call(self._address, message)
        except GreengrassRuntimeException as error:
            raise GreengrassDependencyException(error)
        if output.error_response:
            raise GreengrassFeedbackException(output.error_response)
