"""The parts of a function's ARN."""
import re

ARN = re.compile(
    r'arn:aws(-[a-z]+)*:lambda:(?P<region>([a-z]{2}(-[a-z]+)+-\d)?)'
    r':(?P<account_id>[0-9a-zA-Z]*):function:(?P<name>[a-zA-Z0-9-_]+)'
    r'(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?\Z'
)


class FunctionArnFields(object):
    """`arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]` taken apart.

    Raises ValueError when a text is no such ARN. `qualifier` is None without one.
    """

    def __init__(self, function_arn_string):
        match = ARN.match(function_arn_string)
        if match is None:
            raise ValueError(
                "'{}' is not the ARN of a function "
                '(arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER])'.format(
                    function_arn_string))
        self.region = match.group('region')
        self.account_id = match.group('account_id')
        self.name = match.group('name')
        self.qualifier = match.group('qualifier')
        ending = ':' + self.qualifier if self.qualifier else ''
        self.unqualified_arn = function_arn_string[:len(function_arn_string) - len(ending)]

    @staticmethod
    def build_function_arn(unqualified_arn, qualifier):
        """The ARN with a version or alias, where there is one."""
        return '{}:{}'.format(unqualified_arn, qualifier) if qualifier else unqualified_arn

    @staticmethod
    def build_arn_string(region, account_id, name, qualifier):
        """An ARN of its parts; older SDKs call this."""
        unqualified_arn = 'arn:aws:lambda:{}:{}:function:{}'.format(region, account_id, name)
        return FunctionArnFields.build_function_arn(unqualified_arn, qualifier)

    def to_arn_string(self):
        """The ARN as it was."""
        return self.build_function_arn(self.unqualified_arn, self.qualifier)
