"""Linear-quadratic control in floats: against SciPy, against integration, against perturbed policies."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic import GaussianPolicy, LinearQuadraticFamily, random_family, random_meta_policy
from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.definite import is_definite, is_semidefinite, least_corner

norm: Any = stats.norm
multivariate_normal: Any = stats.multivariate_normal
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, **sizes: Any) -> tuple[LinearQuadraticFamily, GaussianPolicy, float]:
    """A random family, meta-policy and lambda."""
    rng = np.random.default_rng(seed)
    family = random_family(rng, **sizes)
    return family, random_meta_policy(family, rng), float(10 ** rng.uniform(-3, 3))


SCALAR: dict[str, Any] = {
    "A": [[[0.5]]],
    "B": [[[1.0]]],
    "W": [[[0.25]]],
    "R_x": [[[1.0]]],
    "R_u": [[[0.5]]],
    "gamma": "9/10",
    "mu0": [[1.0]],
    "S0": [[[0.5]]],
}
"""One task, one state, one action."""


@given(seeds)
def test_against_scipy(seed: int) -> None:
    """Riccati and Lyapunov solutions, task by task."""
    family, phi, _ = drawn(seed)
    model = family.model()
    best, value, root = cf.optimum(model), cf.evaluate(model, phi.K, phi.Sigma), float(family.gamma) ** 0.5
    assert np.all(best.residual < 1e-9)
    for task in range(family.tasks):
        A, B = root * family.A[task], root * family.B[task]
        R_x, R_u = family.R_x[task], family.R_u[task]
        P = solve_discrete_are(A, B, R_x, R_u) if root > 0 else R_x
        np.testing.assert_allclose(best.P[task], P, rtol=1e-6, atol=1e-8 * np.abs(P).max())
        P = solve_discrete_lyapunov((A - B @ phi.K).T, R_x + phi.K.T @ R_u @ phi.K)
        np.testing.assert_allclose(value.P[task], P, rtol=1e-6, atol=1e-8 * np.abs(P).max())


def test_values_of_one_dimension_by_integration() -> None:
    """V and Q satisfy the Bellman equations, whose expectations are integrated; KL and e_2 likewise."""
    family = LinearQuadraticFamily.new(**SCALAR)
    model, K, Sigma, lam, x = family.model(), np.array([[0.3]]), np.array([[0.4]]), 0.7, 1.3
    value, best = cf.evaluate(model, K, Sigma), cf.optimum(model)

    def V(y: float) -> float:
        return -(value.P[0, 0, 0] * y * y + value.c[0])

    def Q(u: float) -> float:
        following = quad(lambda w: norm.pdf(w, scale=0.5) * V(0.5 * x + u + w), -8, 8)[0]
        return -(x * x + 0.5 * u * u) + 0.9 * following

    for u in (-1.0, 0.2):
        quadratic = value.H_xx * x * x + 2 * value.H_ux * x * u + value.H_uu * u * u + value.c_Q
        assert -quadratic[0, 0, 0] == pytest.approx(Q(u), rel=1e-9)
    phi = norm(-0.3 * x, 0.4**0.5)
    assert quad(lambda u: phi.pdf(u) * Q(u), -9, 9)[0] == pytest.approx(V(x), rel=1e-8)
    assert value.J[0] == pytest.approx(quad(lambda y: norm.pdf(y, 1, 0.5**0.5) * V(y), -10, 10)[0], rel=1e-9)

    # pi+ is the normalised phi exp(Q/lambda), and e_2 is what its definition says.
    Z = quad(lambda u: phi.pdf(u) * np.exp((Q(u) - Q(0.0)) / lam), -9, 9)[0]
    K_plus, S_plus = cf.adapt(value, lam)
    plus = norm(-K_plus[0, 0, 0] * x, S_plus[0, 0, 0] ** 0.5)
    for u in (-1.0, 0.2):
        assert plus.pdf(u) == pytest.approx(phi.pdf(u) * np.exp((Q(u) - Q(0.0)) / lam) / Z, rel=1e-7)
    u_star = -best.K[0, 0, 0] * x
    q = norm(u_star, S_plus[0, 0, 0] ** 0.5)
    KL = quad(lambda u: q.pdf(u) * (q.logpdf(u) - phi.logpdf(u)), u_star - 4, u_star + 4)[0]
    error = Q(u_star) - quad(lambda u: q.pdf(u) * Q(u), u_star - 4, u_star + 4)[0] + lam * KL
    M, c = cf.comparator_error(value, best, lam)
    assert M[0, 0, 0] * x * x + c[0] == pytest.approx(error, rel=1e-7)


def test_an_unstable_policy_has_no_return() -> None:
    """NaN, on that task alone."""
    twice: dict[str, Any] = {key: x if key == "gamma" else np.repeat(x, 2, axis=0) for key, x in SCALAR.items()}
    family = LinearQuadraticFamily.new(**twice)
    K = np.array([[[0.3]], [[-1.0]]])
    value = cf.evaluate(family.model(), K, np.array([[0.4]]))
    assert family.radius(K)[1] > 1
    assert np.isfinite(value.J[0])
    assert np.isnan(value.J[1])


def test_return_agrees_with_rollouts() -> None:
    """The closed form within four standard errors of 40,000 simulated trajectories, and the sign of everything."""
    family, phi, _ = drawn(3, tasks=1, states=2, actions=2, gamma=Fraction(4, 5), varying="costs")
    rng, count, n = np.random.default_rng(0), 40_000, 2
    x = rng.multivariate_normal(family.mu0[0], family.S0[0], count)
    total, discount = np.zeros(count), 1.0
    for _ in range(150):
        u = -x @ phi.K.T + rng.multivariate_normal(np.zeros(2), phi.Sigma, count)
        cost = np.einsum("ci,ij,cj->c", x, family.R_x[0], x) + np.einsum("ci,ij,cj->c", u, family.R_u[0], u)
        total -= discount * cost
        x = x @ family.A[0].T + u @ family.B[0].T + rng.multivariate_normal(np.zeros(n), family.W[0], count)
        discount *= 0.8
    J = cf.evaluate(family.model(), phi.K, phi.Sigma).J[0]
    assert abs(total.mean() - J) < 4 * total.std() / count**0.5


def test_divergence_of_gaussians() -> None:
    family, phi, lam = drawn(5, states=2, actions=2, tasks=2)
    model = family.model()
    value = cf.evaluate(model, phi.K, phi.Sigma)
    K, Sigma = cf.adapt(value, lam)
    quadratic = cf.divergence(K, Sigma, phi.K, phi.Sigma)
    x = np.linspace(-1, 1, family.states)
    for task in range(family.tasks):
        p = multivariate_normal(-K[task] @ x, Sigma[task])
        q = multivariate_normal(-phi.K @ x, phi.Sigma)
        samples = p.rvs(100_000, random_state=1)
        logs = p.logpdf(samples) - q.logpdf(samples)
        exact = x @ quadratic.M[task] @ x + quadratic.c[task]
        assert abs(logs.mean() - exact) < 5 * logs.std() / 100_000**0.5


@given(seeds)
def test_the_universal_bound(seed: int) -> None:
    """0 <= gap <= gap of phi, and gap <= section 2's bound; the K-step bound likewise."""
    family, phi, lam = drawn(seed)
    model = family.model()
    a = cf.adaptation(model, phi.K, phi.Sigma, lam)
    small = 1e-8 * np.abs(a.best.J)
    assert np.all(cf.spectral_radius(model, a.plus.K) < 1)
    assert np.all(a.gap >= -small)
    assert np.all(a.gap <= a.gap_phi + small)
    assert np.all(a.gap <= a.bound + small)
    path, bound = cf.adaptation_steps(model, phi.K, phi.Sigma, lam, 1)
    np.testing.assert_allclose(bound, a.bound, rtol=1e-9)
    path, bound = cf.adaptation_steps(model, phi.K, phi.Sigma, lam, 3)
    assert np.all(path[-1].J + bound >= a.best.J - small)


@given(seeds)
def test_the_adapted_policy_maximises(seed: int) -> None:
    """Any other policy falls short of the inner objective by exactly its divergence, and pays section 6's bound."""
    family, phi, lam = drawn(seed)
    rng, model = np.random.default_rng(seed), family.model()
    value, best = cf.evaluate(model, phi.K, phi.Sigma), cf.optimum(model)
    K_plus, S_plus = cf.adapt(value, lam)
    K, Sigma = K_plus + 0.1 * rng.normal(size=K_plus.shape), S_plus * rng.uniform(0.5, 2)
    x = rng.normal(size=family.states)
    b = cf.shortfall(value, K, Sigma, lam)
    np.testing.assert_allclose(
        np.einsum("i,tij,j->t", x, b.M, x) + b.c,
        objective(value, K_plus, S_plus, lam, x) - objective(value, K, Sigma, lam, x),
        rtol=1e-5,
        atol=1e-7 * np.abs(objective(value, K, Sigma, lam, x)).max(),
    )
    stable = cf.spectral_radius(model, K) < 0.999
    gap = best.J - cf.evaluate(model, K, Sigma).J
    bound = cf.inexact_bound(model, value, best, K, Sigma, lam)
    assert np.all((gap <= bound + 1e-8 * np.abs(best.J)) | ~stable)


def objective(value: cf.Evaluation, K: Any, Sigma: Any, lam: float, x: Any) -> Any:
    """``<pi, Q^phi> - lambda KL(pi || phi)`` at x [T]."""
    u = -K @ x
    quadratic = (
        np.einsum("i,tij,j->t", x, value.H_xx, x)
        + 2 * np.einsum("ti,tij,j->t", u, value.H_ux, x)
        + np.einsum("ti,tij,tj->t", u, value.H_uu, u)
        + np.einsum("tij,tji->t", value.H_uu, Sigma)
        + value.c_Q
    )
    M, c = cf.divergence(K, Sigma, value.K, value.Sigma)
    return -quadratic - lam * (np.einsum("i,tij,j->t", x, M, x) + c)


@given(seeds)
def test_torch_gives_the_same_numbers(seed: int) -> None:
    torch = pytest.importorskip("torch")
    family, phi, lam = drawn(seed)

    def tensor(x: Any) -> Any:
        return torch.from_numpy(np.array(x))

    ours = cf.adaptation(family.model(), phi.K, phi.Sigma, lam)
    theirs = cf.adaptation(family.model(tensor), tensor(phi.K), tensor(phi.Sigma), lam)
    for mine, other in ((ours.plus.J, theirs.plus.J), (ours.bound, theirs.bound), (ours.best.P, theirs.best.P)):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-12, atol=1e-12 * np.abs(mine).max())


def test_gradient_through_the_whole_map() -> None:
    """Autograd of the average adapted return against central differences."""
    torch = pytest.importorskip("torch")
    family, phi, _ = drawn(11, states=2, actions=1, tasks=3, varying="dynamics", gamma=Fraction(9, 10))
    model = family.model(lambda x: torch.from_numpy(np.array(x)))
    K, Sigma = (torch.from_numpy(np.array(x)) for x in (phi.K, phi.Sigma))

    def adapted_return(K: Any, Sigma: Any) -> Any:
        plus = cf.evaluate(model, *cf.adapt(cf.evaluate(model, K, Sigma), 0.3))
        return (model.weights * plus.J).sum()

    assert torch.autograd.gradcheck(adapted_return, (K.requires_grad_(), Sigma.requires_grad_()), atol=1e-6)


def test_goals_are_what_they_say() -> None:
    """The same returns as with the state measured from the goal, where the drift is affine."""
    rng = np.random.default_rng(2)
    g = np.array([[0.5, -0.25], [1.0, 0.75]])
    A = np.array([[[0.5, 0.25], [0.0, 0.75]]] * 2)
    B = np.array([[[0.0], [1.0]]] * 2)
    eye = np.array([np.eye(2)] * 2)
    family = LinearQuadraticFamily.with_goals(A, B, 0.25 * eye, eye, [[[0.5]]] * 2, 0.75, np.zeros((2, 2)), eye, g)
    model = family.model()
    K, Sigma = rng.normal(size=(1, 3)) * 0.1, np.array([[0.3]])
    value = cf.evaluate(model, K, Sigma)
    x = np.array([0.3, -0.8])
    state, u = np.append(x, 1.0), -K @ np.append(x, 1.0)
    for task in range(2):
        step = -((x - g[task]) @ (x - g[task]) + 0.5 * (u @ u + 0.3))
        ahead = family.A[task] @ state + family.B[task] @ u
        noise = family.W[task] + family.B[task] @ Sigma @ family.B[task].T
        P, c = value.P[task], value.c[task]
        following = -(ahead @ P @ ahead + np.trace(P @ noise) + c)
        assert step + 0.75 * following == pytest.approx(-(state @ P @ state + c), rel=1e-12)
    assert family.states == 3


@pytest.mark.parametrize("varying", ["dynamics", "input", "costs", "goals"])
def test_random_families_vary_in_what_they_say(varying: Any) -> None:
    family = random_family(np.random.default_rng(1), varying=varying, tasks=3, states=2, actions=2)
    differ = {key: not np.all(getattr(family, key) == getattr(family, key)[:1]) for key in ("A", "B", "R_x", "R_u")}
    expected = {"dynamics": {"A"}, "input": {"B"}, "costs": {"R_x", "R_u"}, "goals": {"R_x"}}[varying]
    assert {key for key, value in differ.items() if value} == expected


def test_seeds_repeat() -> None:
    (one, phi, _), (other, psi, _) = drawn(9), drawn(9)
    assert np.array_equal(one.A, other.A)
    assert np.array_equal(phi.K, psi.K)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": [[[float("nan")]]]}, r"A\[tau=0, x'=0, x=0\] is nan; replace it"),
        ({"A": [[0.5]]}, r"A has shape \[1, 1\]; expected \[tau, x', x\]"),
        ({"W": [[[1.0, 0.0], [0.0, 1.0]]]}, r"W has shape \[1, 2, 2\]; .* ask for \[1, 1, 1\]"),
        ({"R_u": [[[0.0]]]}, r"R_u\[tau=0\] = .* is not positive definite; charge every action"),
        ({"R_x": [[[-1.0]]]}, r"R_x\[tau=0\] = .* is not positive semidefinite"),
        ({"W": [[[-1e-300]]]}, r"W\[tau=0\] = .* is not positive semidefinite"),
        ({"gamma": 1}, r"gamma = 1 is outside \[0, 1\)"),
        ({"weights": [0.0]}, r"weights sums to 0"),
        ({"A": [[[1.5]]], "B": [[[0.0]]]}, r"task 0 has no stabilising optimum: .*smaller gamma"),
        ({"A": [[[1.5]]], "R_x": [[[0.0]]]}, r"task 0 has no stabilising optimum"),
    ],
)
def test_invalid_families(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        LinearQuadraticFamily.new(**{**SCALAR, **change})


def test_asymmetric_matrices_are_named() -> None:
    crooked = [[[1.0, 0.5], [0.25, 1.0]]]
    eye = [np.eye(2)]
    with pytest.raises(InvalidTask, match=re.escape("R_x[tau=0, i=0, j=1] = 0.5 but R_x[tau=0, i=1, j=0] = 0.25")):
        LinearQuadraticFamily.new(eye, eye, eye, crooked, eye, 0.5, [[0.0, 0.0]], eye)


@pytest.mark.parametrize(
    ("K", "Sigma", "message"),
    [
        ([[1.0]], [[0.0]], "not positive definite; give every action noise"),
        ([[1.0]], [[1.0, 0.0], [0.0, 1.0]], r"Sigma has shape \[2, 2\]"),
        ([[[1.0]], [[float("inf")]]], [[[1.0]]], r"K\[tau=1, u=0, x=0\] is inf"),
        ([[[1.0]], [[1.0]]], [[[1.0]], [[-1.0]]], r"Sigma\[tau=1\] = .* not positive definite"),
    ],
)
def test_invalid_policies(K: Any, Sigma: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        GaussianPolicy.new(K, Sigma)


def test_definiteness_is_exact() -> None:
    """One unit in the last place decides; floats alone could not."""
    third = np.array([[1.0, 3.0], [3.0, 9.0]])
    assert is_semidefinite(third)
    assert not is_definite(third)
    third[1, 1] = np.nextafter(9.0, 0)
    assert not is_semidefinite(third)
    third[1, 1] = np.nextafter(9.0, 10)
    assert is_definite(third)
    assert least_corner(np.array([[3.0]]), np.array([1.0])) == Fraction(1, 3)
    assert least_corner(np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([1.0, 0.0])) == Fraction(1, 3)
    assert least_corner(np.array([[0.0]]), np.array([1.0])) is None
