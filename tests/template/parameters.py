"""What a template's resources come to with given parameters, by CloudFormation's rules for the functions that we use."""

import itertools


class Stack:
    """A template with parameters: `Stack(template, Auth="tokens")`, the others at their defaults."""

    def __init__(self, template, **parameters):
        self.template = template
        defaults = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        self.parameters = defaults | parameters

    def resources(self):
        """Those whose condition holds, their conditional values decided."""
        there = {
            name: resource
            for name, resource in self.template["Resources"].items()
            if "Condition" not in resource or self.holds({"Condition": resource["Condition"]})
        }
        return {name: self.decided(resource) for name, resource in there.items()}

    def holds(self, condition):
        [(function, argument)] = condition.items()
        match function:
            case "Condition":
                return self.holds(self.template["Conditions"][argument])
            case "Fn::Equals":
                return self.decided(argument[0]) == self.decided(argument[1])
            case "Fn::Not":
                return not self.holds(argument[0])
        raise AssertionError(f"{function} is no condition that this knows")

    def decided(self, value):
        match value:
            case {"Fn::If": [condition, then, otherwise]}:
                return self.decided(then if self.holds({"Condition": condition}) else otherwise)
            case {"Ref": name} if name in self.parameters:
                return self.parameters[name]
            case dict():
                decided = {name: self.decided(part) for name, part in value.items()}
                return {name: part for name, part in decided.items() if part != {"Ref": "AWS::NoValue"}}
            case list():
                return [part for part in map(self.decided, value) if part != {"Ref": "AWS::NoValue"}]
        return value


def every_stack(template, **values):
    """A stack for each combination of these values with all that the other parameters allow."""
    choices = {
        name: parameter.get("AllowedValues", [parameter.get("Default")])
        for name, parameter in template["Parameters"].items()
    } | values
    for chosen in itertools.product(*choices.values()):
        yield Stack(template, **dict(zip(choices, chosen)))
