"""Enclosures on a device: the host's very bits, or where sums have no order of their own the exact value inside."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from helpers import encloses, fraction, normalised  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402
from strategies import DISCOUNTS, row_weights  # noqa: E402

from bomrl_theory.errors import InvalidTask  # noqa: E402
from bomrl_theory.numbers import ENCLOSURES, Balls, DeviceEnclosures, Enclosure, Numbers, Rationals, device_array  # noqa: E402
from bomrl_theory.numbers.device_array import DeviceArray, device_named  # noqa: E402
from bomrl_theory.numbers.enclosure import LONG  # noqa: E402

PLACES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SPECIAL = [0.0, 5e-324, 1e-310, 2.0**-1022, 2.0**-1020, 1e-160, 0.1, 1.0, 1 + 2.0**-52, 3.0, 709.0, 1e160, 1.7e308]
DOUBLES = st.one_of(st.sampled_from(SPECIAL + [-x for x in SPECIAL]), st.floats(-1.7e308, 1.7e308), st.floats(-10, 10))
RADII = st.one_of(st.sampled_from([0.0, 5e-324, 1e-310, 1e-16, 0.5, 1.0, np.inf]), st.floats(0, 2))
systems = st.sampled_from(PLACES).map(DeviceEnclosures)


def pair_of(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Mid-points and radii."""
    return st.tuples(hnp.arrays(np.float64, shape, elements=DOUBLES), hnp.arrays(np.float64, shape, elements=RADII))


def there(numbers: DeviceEnclosures, x: Enclosure) -> Enclosure:
    return Enclosure(DeviceArray.on(numbers.place, x.mid), DeviceArray.on(numbers.place, x.rad))


def here(x: Enclosure) -> Enclosure:
    assert isinstance(x.mid, DeviceArray), "it has left the device"
    return Enclosure(np.asarray(x.mid), np.asarray(x.rad))


def same(one: Any, other: Any) -> bool:
    """The same bits; all NaN are one."""
    return bool(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True))


OPERATIONS: dict[str, Any] = {
    "add": lambda n, x, y: x + y,
    "subtract": lambda n, x, y: 3 - x,
    "multiply": lambda n, x, y: n.multiply(x, y),
    "divide": lambda n, x, y: x / y,
    "divide by a third": lambda n, x, y: x / Fraction(1, 3),
    "log": lambda n, x, y: n.log(x),
    "exp": lambda n, x, y: n.exp(x),
    "sqrt": lambda n, x, y: n.sqrt(x),
    "maximum": lambda n, x, y: n.maximum(x, y),
    "largest": lambda n, x, y: n.largest(x, -1, keepdims=True),
    "where": lambda n, x, y: np.where(np.array([True, False, True]), x, n.constant(Fraction(1, 3))),
    "swapaxes": lambda n, x, y: np.swapaxes(x, 0, 1)[1:, None],
    "take": lambda n, x, y: np.take_along_axis(x, np.array([[2, 0], [1, 1]]), axis=-1),
    "broadcast": lambda n, x, y: np.broadcast_arrays(x[:, :1], y)[0] + y[1],
}


@settings(max_examples=60)
@given(systems, pair_of((2, 3)), pair_of((2, 3)))
def test_every_operation_gives_the_bits_of_the_host(numbers: DeviceEnclosures, x: Any, y: Any) -> None:
    """Subnormal numbers, overflow and unknown radii included; the host's are compared with exact numbers elsewhere."""
    x, y = Enclosure(*x), Enclosure(*y)
    with numbers.activated():
        for name, operation in OPERATIONS.items():
            expected = operation(ENCLOSURES, x, y)
            found = here(operation(numbers, there(numbers, x), there(numbers, y)))
            assert same(found.mid, expected.mid), name
            assert same(found.rad, expected.rad), name
        ours, theirs = (there(numbers, x), there(numbers, y)), (x, y)
        assert same(ours[0] >= ours[1], theirs[0] >= theirs[1])
        assert same(ours[0] < theirs[1], theirs[0] < theirs[1])  # the other one on the host


@given(systems, hnp.arrays(np.float64, (2, 4), elements=st.floats(-1e100, 1e100)), hnp.arrays(np.float64, (2, 4)))
def test_sums_and_dots_contain_the_exact_one(numbers: DeviceEnclosures, x: np.ndarray, y: np.ndarray) -> None:
    y = np.where(np.abs(y) < 1e100, y, 1.0)
    with numbers.activated():
        dots = here(numbers.dot(numbers.load(x), numbers.load(y)))
        sums, whole = here(numbers.load(x).sum(axis=-1)), here(numbers.load(x).sum())
    for place in range(2):
        exact = sum(Fraction(a) * Fraction(b) for a, b in zip(x[place], y[place], strict=True))
        assert encloses(dots[place], Fraction(exact))
        assert encloses(sums[place], sum(map(Fraction, x[place]), Fraction(0)))
    assert encloses(whole, sum(map(Fraction, x.ravel()), Fraction(0)))
    assert np.all(dots.rad <= 1e-14 * (np.abs(x) * np.abs(y)).sum(axis=-1) + 1e-200)


@given(systems, row_weights((3, 4)))
def test_normalised_rows_contain_the_exact_ones(numbers: DeviceEnclosures, weights: np.ndarray) -> None:
    with numbers.activated():
        found = here(numbers.normalised(weights))
    for row, line in enumerate(weights):
        assert all(encloses(found[row, k], exact) for k, exact in enumerate(normalised(line)))
    assert found.rad.max() < 1e-14


@pytest.mark.parametrize("place", PLACES)
def test_long_sums_are_made_in_halves_and_contain_the_exact_one(place: str) -> None:
    numbers, x = DeviceEnclosures(place), np.random.default_rng(0).random(3 * LONG + 1)
    with numbers.activated():
        found, share = here(numbers.load(x).sum(axis=-1, keepdims=True)), here(numbers.normalised(x))
    assert encloses(found[0], sum(map(Fraction, x), Fraction(0)))
    assert encloses(share[5], Fraction(x[5]) / sum(map(Fraction, x), Fraction(0)))
    assert found.rad[0] < 1e-10


@settings(max_examples=8)
@given(systems, row_weights((2, 3, 3)), DISCOUNTS, hnp.arrays(np.float64, (2, 3), elements=st.floats(-1e9, 1e9)))
@pytest.mark.parametrize("transposed", [False, True])
def test_solutions_contain_the_exact_one(
    transposed: bool, numbers: DeviceEnclosures, weights: np.ndarray, gamma: Fraction, rhs: np.ndarray
) -> None:
    def solved(system: Numbers) -> Any:
        with system.activated():
            P = system.normalised(weights)
            return system.solve_discounted(P, system.constant(gamma), system.load(rhs), transposed=transposed)

    enclosed, exact = here(solved(numbers)), solved(Rationals(64))
    for place in np.ndindex(2, 3):
        assert encloses(enclosed[place], fraction(exact[place]))
    scale = np.abs(rhs).max() / (1 - float(gamma)) ** 2
    assert enclosed.rad.max() <= 1e-12 * scale + 1e-290


@pytest.mark.parametrize("place", PLACES)
def test_a_singular_system_says_nothing_and_leaves_the_others_alone(place: str) -> None:
    numbers = DeviceEnclosures(place)
    with numbers.activated():
        whole, half = there(numbers, Enclosure.exact([[1.0]])), Enclosure.exact([[0.5]])
        P = numbers.normalised(np.ones((1, 2, 2)))
        for gamma, known in ((whole, False), (half, True)):
            x = here(numbers.solve_discounted(P, gamma, numbers.load(np.ones((1, 2)))))
            assert np.isfinite(x.rad).all() == known


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["log", "exp"])
def test_transcendental_functions_contain_the_exact_one(place: str, name: str) -> None:
    numbers, balls = DeviceEnclosures(place), Balls(300)
    x = np.random.default_rng(0).uniform(-700, 700, 2000)
    x = np.concatenate([x, x / 700, 1 + x * 1e-12]) if name == "exp" else np.exp(x)
    with numbers.activated():
        found = here(getattr(numbers, name)(numbers.load(x)))
    with balls.activated():
        exact = getattr(balls, name)(balls.load(x))
    assert all(encloses(found[k], fraction(value)) for k, value in enumerate(exact))
    assert np.all(found.rad <= 1e-14 * (np.abs(found.mid) + 1))


@pytest.mark.parametrize("place", PLACES)
def test_no_number_of_the_host_reaches_torch(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch divides by such a number in two roundings on a GPU."""
    seen: list[Any] = []
    divide = torch.div
    monkeypatch.setattr(torch, "div", lambda x, y: seen.extend((x, y)) or divide(x, y))
    x = DeviceArray.on(device_named(place), np.arange(3.0))
    for quotient in (x / 3, 1 / x, x / np.float64(3), x / np.array(3.0), np.array([1.0, 2.0, 3.0]) / x):
        assert isinstance(quotient, DeviceArray)
    assert len(seen) == 10
    assert all(isinstance(y, torch.Tensor) and y.device.type == place for y in seen)


@pytest.mark.parametrize("place", PLACES)
def test_what_has_no_proof_is_refused(place: str) -> None:
    x = DeviceArray.on(device_named(place), np.ones((2, 2)))
    for attempt in (
        lambda: np.sin(x),
        lambda: np.exp(x),
        lambda: np.cumsum(x),
        lambda: np.add.reduce(x),
        lambda: x @ x,
        lambda: np.einsum("ij,jk->ik", x, x),
    ):
        with pytest.raises(TypeError):
            attempt()


def test_a_device_that_rounds_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device_array._other_than_here.cache_clear()
    monkeypatch.setitem(device_array._OWN, np.sqrt, lambda x: x.sqrt() * (1 + 2.0**-52))
    with pytest.raises(ArithmeticError, match="the device 'cpu' does not compute 'sqrt' as IEEE 754 says"):
        DeviceEnclosures("cpu")
    monkeypatch.undo()
    device_array._other_than_here.cache_clear()
    assert DeviceEnclosures("cpu").name == "float64 enclosure on cpu"


def test_too_little_memory_is_one_line() -> None:
    numbers = DeviceEnclosures("cpu")
    with (
        pytest.raises(InvalidTask, match=r"not enough memory \(CUDA out of memory\); judge fewer tasks"),
        numbers.activated(),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")
