"""NOT the real machine-learning SDK: a stand-in for tests, written from its published contract.

The real package (version 1.1.0) cannot be had from the package index. This one calls the core-side
modules in the same way, takes the same arguments in the same order of checks, and raises the same
exceptions, so that functions written for the real one run unchanged.
"""
from .feedback import Client as _Feedback
from .inference import (Client as _Inference, GreengrassDependencyException,
                        GreengrassInferenceException, StreamingBody)

__all__ = ['client', 'GreengrassDependencyException', 'GreengrassInferenceException',
           'StreamingBody']


def client(client_type, **kwargs):
    clients = {'inference': _Inference, 'feedback': _Feedback}
    if client_type not in clients:
        raise Exception('Client type {} is not recognized.'.format(repr(client_type)))
    return clients[client_type](**kwargs)
