"""Meta-training by plain ascent: hypergradients of this package against automatic differentiation in PyTorch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from measure import Prepare, Work
from side_by_side import Problem

from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.objective import objective
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.frozen_lake import frozen_lake

LAMBDA = 0.1
STEP = 1.0


def family() -> TaskFamily:
    return frozen_lake("high", tasks=20, gamma=Fraction(4, 5), rng=np.random.default_rng(2024))


def ascent(solved: Solved, iterations: int, method: str) -> np.ndarray:
    """theta after so many steps from the uniform policy, with Alg^(2)."""
    theta = np.zeros((solved.family.states, solved.family.actions))
    for _ in range(iterations):
        theta = theta + STEP * hypergradient(solved, theta, "kl-posterior", LAMBDA, method=method).gradient
    return theta


def ours(method: str) -> Prepare:
    def prepare(iterations: int) -> Work:
        tasks = family()

        def call() -> float:
            solved = Solved(tasks)
            return objective(solved, ascent(solved, iterations, method), "kl-posterior", LAMBDA)

        return Work(call, lambda F: {"F": f"F = {F:.10f}"})

    return prepare


def torch_everything(iterations: int) -> Work:
    """The same iteration as one would write it in PyTorch; its theta is compared with ours, untimed."""
    import torch

    torch.set_num_threads(1)
    tasks = family()
    expected = ascent(Solved(tasks), iterations, "exact")
    P, r, rho, w = (
        torch.tensor(x / x.sum(axis=-1, keepdims=True) if weights else x)
        for x, weights in ((tasks.P, True), (tasks.r, False), (tasks.rho, True), (tasks.weights, True))
    )
    gamma, identity = float(tasks.gamma), torch.eye(tasks.states, dtype=torch.float64)

    def value(pi: torch.Tensor) -> torch.Tensor:
        system = identity - gamma * torch.einsum("tsa,tsaz->tsz", pi, P)
        return torch.linalg.solve(system, (pi * r).sum(-1))

    def adapted_return(theta: torch.Tensor) -> torch.Tensor:
        log_phi = torch.log_softmax(theta, -1).expand(r.shape)
        Q = r + gamma * torch.einsum("tsaz,tz->tsa", P, value(log_phi.exp()))
        return w @ (rho * value(torch.softmax(log_phi + Q / LAMBDA, -1))).sum(-1)

    def call() -> tuple[float, np.ndarray]:
        theta = torch.zeros(r.shape[1:], dtype=torch.float64, requires_grad=True)
        for _ in range(iterations):
            (gradient,) = torch.autograd.grad(adapted_return(theta), theta)
            theta = (theta + STEP * gradient).detach().requires_grad_()
        return float(adapted_return(theta)), theta.detach().numpy()

    def told(found: tuple[float, np.ndarray]) -> dict[str, str | float]:
        F, theta = found
        return {"F": f"F = {F:.10f}", "theta from ours": float(np.abs(theta - expected).max())}

    return Work(call, told)


META_TRAINING = Problem(
    "meta",
    "{} meta-iterations: plain ascent, exact gradient, Alg^(2), 20 Frozen Lake tasks of high variance, gamma 4/5",
    "run",
    (150, 15),
    5,
    {
        "ours, closed form": ours("exact"),
        "ours, autodiff": ours("autodiff"),
        "PyTorch, autodiff through everything": torch_everything,
    },
    "In float64, from the uniform policy, with lambda 1/10 and a step of 1. Both reach the same logits.",
    "ours, closed form",
)
