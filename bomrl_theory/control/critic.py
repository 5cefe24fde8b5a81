"""Action values of phi estimated from the one batch, linear in coefficients, with their dependence on phi.

A critic estimates ``Q^phi`` up to a function of the observation, which no adaptation sees. It is linear in
coefficients w that the batch decides, so that the hypergradient needs two things of it: the expected value under any
Gaussian, and ``q . dw/dphi`` for a cotangent q of the coefficients, written as a scalar whose gradient in phi's
parameters it is (a surrogate).
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.advantage import (
    advantages,
    baseline,
    discounted_sums,
    past_sums,
    standard_scale,
    standardised,
)
from bomrl_theory.control.collected import Collected
from bomrl_theory.control.gaussian import Gaussian

RIDGE_VALUES = 1e-12
"""Of the least-squares temporal differences, relative to the mean square of the features."""


@runtime_checkable
class ExpectedValues(Protocol):
    """Action values that are linear in coefficients w [T, ...], as a function of a policy."""

    @property
    def coefficients(self) -> Tensor: ...

    def expected(self, pi: Gaussian, w: Tensor) -> Float[Tensor, "T N"]:
        """``E_{a ~ pi(x)} Q(x, a)`` at every observation, up to a function of the observation."""
        ...


@runtime_checkable
class Critic(ExpectedValues, Protocol):
    """An estimate of ``Q^phi`` with its dependence on phi.

    Attributes:
        unit: [T], by which the values were divided; it counts as a part of lambda and not as a function of phi.
    """

    unit: Float[Tensor, " T"]

    def values_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        """A scalar for each task whose gradient in phi estimates ``q . dw/dphi`` through the values of phi."""
        ...

    def projection_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        """The same through where and what phi draws, that the coefficients are fitted on.

        Zero in expectation if the features can represent the values.
        """
        ...

    def visitation_surrogate(self, phi: Float[Tensor, "T P"], h: Float[Tensor, "T R H"]) -> Float[Tensor, " T"]:
        """A scalar for each task whose gradient in phi estimates that of ``E_{nu^phi} h`` at constant h.

        Args:
            h: a function of the observation, at every step.
        """
        ...


class _OnBatch:
    """A critic that knows what drew its batch."""

    def __init__(self, collected: Collected):
        self.collected = collected

    def _log_density(self, phi: Float[Tensor, "T P"]) -> Float[Tensor, "T R H"]:
        density = self.collected.of_parameters(phi).log_density(self.collected.actions)
        return self._by_step(density) * self.collected.batch.alive

    def _by_step(self, x: Float[Tensor, "T N"]) -> Float[Tensor, "T R H"]:
        return x.unflatten(1, self.collected.batch.alive.shape[1:])

    def _influence(self, q: Tensor) -> Float[Tensor, "T N"]:
        """``q . dw`` by the weight of each step in the fit."""
        raise NotImplementedError

    def projection_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        to_go = discounted_sums(self._by_step(self._influence(q)), 1.0)
        return ((to_go - baseline(self.collected.batch, to_go)) * self._log_density(phi)).sum((1, 2))


class QuadraticValues(_OnBatch):
    """``Q(x, a)`` quadratic in (1, x, a), by least-squares temporal differences (LSTD-Q; Lagoudakis & Parr 2003).

    The expectation over the next action is in closed form, so the fixed point is a differentiable function of phi. On
    linear-quadratic tasks it is consistent for the exact values, and its derivative for theirs.
    """

    def __init__(self, collected: Collected):
        super().__init__(collected)
        batch = collected.batch
        self._used = batch.alive.flatten(1).to(batch.rewards.dtype)
        self._goes_on = self._used * ~batch.failed.flatten(1)
        self._next = batch.observations[..., 1:, :].flatten(1, 2)
        size = 1 + self._next.shape[-1] + collected.actions.shape[-1]
        self._row, self._column = torch.triu_indices(size, size, device=self._next.device)
        self._features = self._products(_joined(collected.observations, collected.actions)) * self._used[..., None]
        after = self._next_features(collected.phi) * self._goes_on[..., None]
        features = self._features
        matrix = features.mT @ (features - collected.gamma * after)
        scale = features.square().sum(1).mean(-1)
        matrix.diagonal(dim1=-2, dim2=-1).add_(RIDGE_VALUES * scale[:, None])
        self._factors = torch.linalg.lu_factor(matrix)
        self.coefficients = self._solved(batch.rewards.flatten(1))
        self.unit = torch.ones_like(self.coefficients[:, 0])
        predicted = torch.einsum("tnd,td->tn", features - collected.gamma * after, self.coefficients)
        self._differences = (batch.rewards.flatten(1) - predicted) * self._used

    def _solved(self, rewards: Float[Tensor, "T N"]) -> Float[Tensor, "T D"]:
        """Coefficients of the values for other rewards."""
        right = torch.einsum("tnd,tn->td", self._features, rewards)
        return torch.linalg.lu_solve(*self._factors, right[..., None]).squeeze(-1)

    def _products(self, z: Float[Tensor, "T N z"]) -> Float[Tensor, "T N D"]:
        return z[..., self._row] * z[..., self._column]

    def _next_features(self, phi: Float[Tensor, "T P"]) -> Float[Tensor, "T N D"]:
        """Expected features at the next observation."""
        pi = self.collected.policy.gaussian(phi, self._next)
        size = pi.mean.shape[-1]
        spread = torch.nn.functional.pad(pi.covariance, (self._next.shape[-1] + 1, 0, self._next.shape[-1] + 1, 0))
        assert spread.shape[-1] == self._next.shape[-1] + 1 + size
        return self._products(_joined(self._next, pi.mean)) + spread[:, self._row, self._column][:, None]

    def expected_at(self, pi: Gaussian, observations: Float[Tensor, "T N O"], w: Tensor) -> Float[Tensor, "T N"]:
        """``E_{a ~ pi} Q`` at given observations, but for its value at the action 0."""
        matrix, size = symmetric(w), pi.mean.shape[-1]
        slope = 2 * (matrix[:, :1, -size:] + observations @ matrix[:, 1:-size, -size:])
        curvature = matrix[:, -size:, -size:]
        spread = (curvature * pi.covariance).sum((-2, -1))
        return ((slope + pi.mean @ curvature) * pi.mean).sum(-1) + spread[:, None]

    def expected(self, pi: Gaussian, w: Tensor) -> Float[Tensor, "T N"]:
        return self.expected_at(pi, self.collected.observations, w)

    def values_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        """The matrix of the fixed point feels phi through the next action only."""
        adjoint = torch.linalg.lu_solve(*self._factors, q[..., None], adjoint=True).squeeze(-1)
        weight = torch.einsum("tnd,td->tn", self._features, adjoint) * self._goes_on * self.collected.gamma
        value = self.expected_at(self.collected.policy.gaussian(phi, self._next), self._next, self.coefficients)
        return (weight * value).sum(-1)

    def _influence(self, q: Tensor) -> Float[Tensor, "T N"]:
        adjoint = torch.linalg.lu_solve(*self._factors, q[..., None], adjoint=True).squeeze(-1)
        return torch.einsum("tnd,td->tn", self._features, adjoint) * self._differences

    def visitation_surrogate(self, phi: Float[Tensor, "T P"], h: Float[Tensor, "T R H"]) -> Float[Tensor, " T"]:
        """The policy gradient for the reward h: ``E_nu E_{a ~ phi} Q_h``, with ``Q_h`` by the same least squares.

        Exact in expectation if ``Q_h`` is quadratic too, as on linear-quadratic tasks.
        """
        value = self.expected_at(
            self.collected.of_parameters(phi), self.collected.observations, self._solved(h.flatten(1))
        )
        return (self.collected.weights.flatten(1) * value).sum(-1)


class _FromAdvantages(_OnBatch):
    """What critics that rest on advantage estimates share: likelihood ratios of past and future actions.

    The estimate of a step feels phi through the actions after it, ``dQ_t = sum_{k>t} gamma^(k-t) dE_{a ~ phi} A_k``;
    the weight of a step feels phi through those before it. With advantages in place of rewards to go, each is the
    derivative of a DiCE estimator (Foerster et al. 2018) with baselines.
    """

    def __init__(self, collected: Collected):
        super().__init__(collected)
        batch = collected.batch
        estimate = advantages(batch, collected.gamma, collected.gae)
        self.unit = standard_scale(estimate, batch.alive)
        self._estimate = estimate.flatten(1) / self.unit[:, None]
        self._targets = standardised(estimate, batch.alive).flatten(1)

    def _past(self, cotangent: Float[Tensor, "T N"]) -> Float[Tensor, "T N"]:
        """How much the action of a step counts for the targets of the steps before it."""
        return past_sums(self._by_step(cotangent), self.collected.gamma).flatten(1)

    def visitation_surrogate(self, phi: Float[Tensor, "T P"], h: Float[Tensor, "T R H"]) -> Float[Tensor, " T"]:
        """A step's h counts for the actions before it, less what a linear baseline expects."""
        discount, alive = self.collected.discount, self.collected.batch.alive
        after = discounted_sums(h * alive, discount) - h * alive
        weight = self.collected.weights * (after - baseline(self.collected.batch, after))
        return (weight * self._log_density(phi)).sum((1, 2))


class QuadraticAdvantage(_FromAdvantages):
    """Advantages, standardised, quadratic in the action with coefficients that vary linearly with the observation.

    In phi's own noise ``z``, ``A = sum_ij G_ij z_i f_j(x) + sum_{i<=j} M_ij (z_i z_j - [i = j])``, ``f`` the
    standardised observation and 1; fitted by ridge regression with the visitation's weights. Under any Gaussian its
    expectation is in closed form. For the advantages of later steps it takes its own word, which spares the noise of
    scores but is biased as far as it does not represent them.
    """

    prior_steps = 10
    """Squared coefficients weigh as much as so many steps would: the features are nearly orthonormal under phi."""
    curved = True
    """Whether there are the quadratic features ``z_i z_j``."""

    def __init__(self, collected: Collected):
        super().__init__(collected)
        batch, alive = collected.batch, collected.batch.alive.flatten(1)[..., None]
        x = collected.observations
        count = alive.sum(1, keepdim=True).clamp(min=1)
        mean = (x * alive).sum(1, keepdim=True) / count
        scale = (((x - mean).square() * alive).sum(1, keepdim=True) / count).sqrt()
        standard = (x - mean) / scale.clamp(min=1e-6)
        self._context = torch.cat([standard.clamp(-10, 10), torch.ones_like(x[..., :1])], dim=-1)
        noise = collected.gaussian.whitened(collected.actions)
        size = noise.shape[-1]
        self._row, self._column = torch.triu_indices(size, size, device=x.device)
        pairs = noise[..., self._row] * noise[..., self._column] - (self._row == self._column).to(x.dtype)
        linear = (noise[..., :, None] * self._context[..., None, :]).flatten(2)
        self._design = (torch.cat([linear, pairs], dim=-1) if self.curved else linear) * alive
        self._weighted = self._design * collected.weights.flatten(1)[..., None]
        gram = self._weighted.double().mT @ self._design.double()
        diagonal = gram.diagonal(dim1=-2, dim2=-1)
        ridge = self.prior_steps / batch.alive.sum((1, 2)).clamp(min=1)
        smallest = torch.finfo(gram.dtype).tiny  # without data: no coefficients
        diagonal.add_(ridge[:, None] * diagonal.mean(-1, keepdim=True) + smallest)
        self._factor = torch.linalg.cholesky(gram).to(x.dtype)
        self.coefficients = self._solved(torch.einsum("tnd,tn->td", self._weighted, self._targets))
        fitted = torch.einsum("tnd,td->tn", self._design, self.coefficients)
        self._residuals = (self._targets - fitted) * batch.alive.flatten(1)

    def _solved(self, right: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        return torch.cholesky_solve(right[..., None], self._factor).squeeze(-1)

    def expected(self, pi: Gaussian, w: Tensor) -> Float[Tensor, "T N"]:
        phi, size = self.collected.gaussian, pi.mean.shape[-1]
        noise = phi.whitened(pi.mean)
        if not self.curved:
            return (self._context @ w.unflatten(1, (size, -1)).mT * noise).sum(-1)
        linear = w[:, : -len(self._row)].unflatten(1, (size, -1))
        quadratic = symmetric(w[:, -len(self._row) :])
        spread = torch.linalg.solve_triangular(phi.factor, pi.factor, upper=False)
        constant = (quadratic * (spread @ spread.mT)).sum((-2, -1)) - quadratic.diagonal(dim1=-2, dim2=-1).sum(-1)
        slope = self._context @ linear.mT + noise @ quadratic
        return (slope * noise).sum(-1) + constant[:, None]

    def _cotangent(self, q: Tensor) -> Float[Tensor, "T N"]:
        """Of the targets."""
        return torch.einsum("tnd,td->tn", self._weighted, self._solved(q))

    def values_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        later = self.expected(self.collected.of_parameters(phi), self.coefficients)
        return (self._past(self._cotangent(q)) * later).sum(-1)

    def _influence(self, q: Tensor) -> Float[Tensor, "T N"]:
        return self._cotangent(q) * self._residuals


class LinearAdvantage(QuadraticAdvantage):
    """Without quadratic features: the scores of the mean, times the standardised observation and 1.

    They are compatible features (Sutton et al. 2000) of a policy whose mean is any linear function of the observation.
    In the mean of the action the inner problem of Alg^(1) and Alg^(2) is then strictly concave at every lambda, where
    a curvature fitted to few samples may not be.
    """

    curved = False


class ImportanceWeighted(_FromAdvantages):
    """The standardised advantages of the batch themselves, weighted by the likelihood ratio of pi and phi.

    What later actions do is estimated by scores times advantages, without bias and with all their noise.
    Without a proximal term the inner problem of Alg^(1) and Alg^(2) has no maximum on a network.
    """

    def __init__(self, collected: Collected):
        super().__init__(collected)
        self.coefficients = self._targets
        self._drawn = collected.gaussian.log_density(collected.actions)

    def expected(self, pi: Gaussian, w: Tensor) -> Float[Tensor, "T N"]:
        return (pi.log_density(self.collected.actions) - self._drawn).exp() * w

    def values_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        return (self._past(q) * self._estimate * self._log_density(phi).flatten(1)).sum(-1)

    def projection_surrogate(self, phi: Float[Tensor, "T P"], q: Tensor) -> Float[Tensor, " T"]:
        """There is no projection: the coefficients are the steps' own."""
        return 0 * phi.sum(-1)


def symmetric(w: Float[Tensor, "T D"]) -> Float[Tensor, "T z z"]:
    """The symmetric W with ``z' W z = sum_{i<=j} w_ij z_i z_j``; w in the order of ``torch.triu_indices``."""
    size = (math.isqrt(8 * w.shape[-1] + 1) - 1) // 2
    row, column = torch.triu_indices(size, size, device=w.device)
    task = torch.arange(len(w), device=w.device)[:, None]
    upper = w.new_zeros(len(w), size, size).index_put((task, row, column), w)
    return (upper + upper.mT) / 2


def _joined(observations: Float[Tensor, "T N O"], actions: Float[Tensor, "T N A"]) -> Float[Tensor, "T N z"]:
    """``z = (1, x, a)``."""
    return torch.cat([torch.ones_like(observations[..., :1]), observations, actions], dim=-1)


CRITICS = {
    "quadratic-values": QuadraticValues,
    "quadratic-advantage": QuadraticAdvantage,
    "linear-advantage": LinearAdvantage,
    "importance": ImportanceWeighted,
}
