"""How scenarios are declared.

A scenario is a function of the call and of its own arguments, which are those that have a type annotated. It returns a
Reply; or None, after it has written to the connection what it wanted to, and then the connection is closed. Families of
scenarios may be functions of something else, with an adapter that makes one of the call out of them. The docstring is
the scenario's line in the README.
"""

import inspect
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Entry:
    name: str
    function: Callable  # as it was declared
    run: Callable  # as it is called, with the call and the arguments
    sends: bool  # a StartVerification is carried out though its answer is lost: the ambiguous case
    action: str  # the only operation that it concerns, or None; the others are answered normally

    @property
    def parameters(self):
        declared = inspect.signature(self.function).parameters.values()
        return [parameter for parameter in declared if parameter.annotation is not parameter.empty]

    @property
    def syntax(self):
        return ":".join([f"sim:{self.name}", *(f"<{parameter.name}>" for parameter in self.parameters)])

    @property
    def description(self):
        return " ".join(inspect.getdoc(self.function).split())

    def parse(self, texts):
        """Arguments as their annotations want them; raises ValueError."""
        if len(texts) != len(self.parameters):
            raise ValueError(f"usage: {self.syntax}")
        return [parameter.annotation(text) for parameter, text in zip(self.parameters, texts)]


class Table(dict):
    def add(self, name, sends=False, action=None, adapt=lambda function: function):
        def declare(function):
            self[name] = Entry(name, function, adapt(function), sends, action)
            return function
        return declare
