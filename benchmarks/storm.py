"""The model checker Storm on one task: discounted total rewards through stormpy, where that is installed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from scipy.sparse import csr_array

AT_ONCE = 100_000
"""Rows that are handed over together: they go through Python's lists."""


class Storm:
    """A model that is ready to be solved from the start, as often as wanted."""

    def __init__(self, P: Any, r: np.ndarray, gamma: Fraction, tolerance: float) -> None:
        """From transition rows [S*A, S], dense or sparse, rewards [S, A], the discount and the wanted accuracy."""
        import stormpy  # pyright: ignore[reportMissingImports]
        from stormpy import datastructures, models  # pyright: ignore[reportMissingImports]

        states, actions = r.shape
        P = csr_array(P)
        builder = datastructures.SparseMatrixBuilder[float](
            rows=states * actions, columns=states, entries=P.nnz, has_custom_row_grouping=True, row_groups=states
        )
        for first in range(0, states * actions, AT_ONCE * actions):
            rows = P[first : first + AT_ONCE * actions].tocoo()
            last = first + rows.shape[0]
            row, column = rows.coords
            builder.add_next_values(
                (row + first).tolist(), column.tolist(), rows.data.tolist(), list(range(first, last, actions))
            )
        labels = models.StateLabeling(states)
        labels.add_label("init")
        labels.add_label_to_state("init", 0)
        reward = models.SparseRewardModel[float](optional_state_action_reward_vector=r.ravel().tolist())
        parts = {"transition_matrix": builder.build(), "state_labeling": labels, "reward_models": {"r": reward}}
        self.model = models.SparseMdp[float](models.SparseModelComponents[float](**parts))
        (self.wanted,) = stormpy.parse_properties(f'R{{"r"}}max=? [Cdiscount={gamma}]')
        self.environment = stormpy.Environment()
        solver = self.environment.solver().min_max()
        solver.precision, solver.relative_termination_criterion = stormpy.Rational(tolerance), False
        self.states = states

    def solve(self) -> Any:
        """Storm's own result."""
        import stormpy  # pyright: ignore[reportMissingImports]

        return stormpy.model_checking(self.model, self.wanted, environment=self.environment)

    def values(self, result: Any) -> np.ndarray:
        """V [S]."""
        return np.array([result.get_value(state) for state in range(self.states)])
