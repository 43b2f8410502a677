"""A WHILE loop in TFLite: two subgraphs with the same variables, and the operator that runs them."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema


class Loop:
    """A loop under construction: `carry` and `count` add variables, `close` writes the loop."""

    def __init__(self, file, main, name):
        self.main, self.name = main, name
        self.condition, self._condition_index = file.graph(f"{name}_condition")
        self.body, self._body_index = file.graph(f"{name}_body")
        self._initial = []  # the main tensor with which each variable starts
        self._next = {}  # body tensor of a variable -> body tensor of its next value

    def carry(self, name, initial):
        """Adds a variable that starts as the main tensor `initial` and keeps its value unless it is `set`.

        Returns:
            The body's tensor of the variable.
        """
        main = self.main
        self._initial.append(initial)
        like = main.shape(initial), main.dtype(initial), main.quantization(initial)
        self.condition.subgraph.inputs.append(self.condition.tensor(name, *like))
        variable = self.body.tensor(name, *like)
        self.body.subgraph.inputs.append(variable)
        self._next[variable] = variable
        return variable

    def set(self, variable, value):
        """Makes the body's tensor `value` the value of a variable in the next step."""
        self._next[variable] = value

    def count(self, name, start, step):
        """Adds an int32 variable of one axis that starts at `start`, a main tensor or a list, and grows by `step`."""
        if not isinstance(start, int):
            start = self.main.constant("start", np.array(start, np.int32))
        variable = self.carry(name, start)
        following = self.body.tensor("next", (len(step),), np.int32)
        increment = self.body.constant("step", np.array(step, np.int32))
        self.body.operator("ADD", [variable, increment], [following], schema.AddOptionsT())
        self.set(variable, following)
        return variable

    def close(self, comparison, limit=None, variable=None):
        """Writes the WHILE, which runs as long as a comparison of its first variable holds.

        Args:
            comparison: The operator.
            limit: The number to compare with, or None.
            variable: The variable to compare with, where `limit` is None.

        Returns:
            Body tensor of each variable -> main tensor with its value after the loop.
        """
        condition = self.condition
        more = condition.tensor("more", (1,), np.bool_)
        if variable is None:
            bound = condition.constant("limit", np.array([limit], np.int32))
        else:
            bound = condition.subgraph.inputs[self.body.subgraph.inputs.index(variable)]
        operands = [condition.subgraph.inputs[0], bound]
        condition.operator(comparison, operands, [more])
        condition.subgraph.outputs = [more]
        self.body.subgraph.outputs = list(self._next.values())
        results = {
            variable: self.main.tensor(
                "result",
                self.body.shape(variable),
                self.body.dtype(variable),
                self.body.quantization(variable),
            )
            for variable in self._next
        }
        options = schema.WhileOptionsT()
        options.condSubgraphIndex, options.bodySubgraphIndex = self._condition_index, self._body_index
        self.main.operator("WHILE", self._initial, results.values(), options)
        return results
