"""Constants along the adaptation: what the entries for several steps must agree with, and the order between bounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from bomrl_theory.tasks.random_dense import random_dense
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.draws import random_policy
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.samples import sample_size, samples
from bomrl_theory.verify.verdict import judge

POSTERIORI = {
    "kl-prior": "contraction_kl_prior_posteriori",
    "kl-posterior": "contraction_kl_posterior_posteriori",
    "euclidean": "contraction_euclidean_posteriori",
}


def dense_case(algorithm: str, *, steps: int = 1, seed: int = 1) -> Case:
    rng = np.random.default_rng(seed)
    family = random_dense(states=4, actions=3, tasks=2, gamma="4/5", rng=rng)
    return Case.new(family, random_policy(rng, 4, 3), algorithm, Fraction(1, 3), steps=steps)


def bounds(theorem: str, case: Case) -> list[float]:
    return [verdict.bound for verdict in judge(theorem_named(theorem), case, precise=True)]


@pytest.mark.parametrize(("algorithm", "theorem"), POSTERIORI.items())
def test_one_of_several_steps_is_the_single_step(algorithm: str, theorem: str) -> None:
    """With K = 1 the K-step bound is the a posteriori bound, and with two steps it is another number."""
    one = dense_case(algorithm)
    assert bounds("contraction_steps", one) == pytest.approx(bounds(theorem, one), rel=1e-14)
    two = dense_case(algorithm, steps=2)
    assert bounds("contraction_steps", two) != pytest.approx(bounds("contraction_steps", one), rel=1e-3)


@pytest.mark.parametrize(("algorithm", "theorem"), POSTERIORI.items())
def test_the_order_that_the_proofs_claim(algorithm: str, theorem: str) -> None:
    """Each is strictly sharper on a dense task: a priori, a posteriori, one step of look-ahead, five, and the gap."""
    case = dense_case(algorithm)
    prior = bounds(theorem.removesuffix("_posteriori"), case)
    ladder = [prior, bounds(theorem, case), bounds("lookahead_1", case), bounds("lookahead_5", case)]
    ladder.append([verdict.left for verdict in judge(theorem_named("lookahead_1"), case, precise=True)])
    for weaker, sharper in pairwise(ladder):
        assert all(one > other for one, other in zip(weaker, sharper, strict=True))


def test_all_samples_are_there_once() -> None:
    """n draws from T tasks: every way to count them, and as many as the binomial coefficient says."""
    assert [sample_size(tasks) for tasks in (1, 2, 3, 5, 20)] == [64, 64, 43, 9, 2]
    counts = samples(4, 3)
    assert len(counts) == len({tuple(row) for row in counts.tolist()}) == 15
    assert set(counts.sum(axis=1).tolist()) == {4}
