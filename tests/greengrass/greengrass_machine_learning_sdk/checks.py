"""Checks that both clients make."""
import re

from greengrass_common.env_vars import GGC_MAX_INTERFACE_VERSION
from greengrass_common.parse_version import parse_version

NAME = '^[a-zA-Z0-9][a-zA-Z0-9-]{1,62}$'


def check_interface():
    major, minor = (int(number) for number in parse_version(GGC_MAX_INTERFACE_VERSION))
    if major != 1 or minor < 2:
        raise ValueError('the core speaks version {} of the interface, not 1.2'.format(
            GGC_MAX_INTERFACE_VERSION))


def check_given(method, kwargs, *names):
    for name in names:
        if name not in kwargs:
            raise ValueError('{} argument of {} is a required argument but was not provided'.format(
                name, method))


def check_name(field, value):
    if not re.match(NAME, value):
        raise ValueError('field {} must match the regex {}'.format(field, NAME))
