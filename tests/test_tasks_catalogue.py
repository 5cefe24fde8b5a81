"""Families by name: parameters mean what they say, and mistakes are answered with help."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import FAMILIES, drawn

from bomrl_theory.errors import BomrlError, InvalidTask, UnknownName
from bomrl_theory.tasks.catalogue import CATALOGUE, describe
from bomrl_theory.tasks.files import save_family


@pytest.mark.parametrize("spec", FAMILIES)
def test_every_family_can_be_drawn(spec: str) -> None:
    """The defaults of each family work, and reports call it by what the user wrote."""
    assert drawn(spec).name == spec


@pytest.mark.parametrize(
    ("spec", "gamma"),
    [("garnet:gamma=0.9", Fraction(9, 10)), ("chain:gamma=2/3", Fraction(2, 3)), ("bandit:gamma=0", Fraction(0))],
)
def test_discount_in_a_spec_is_exact(spec: str, gamma: Fraction) -> None:
    """A decimal means that decimal, not the double nearest to it."""
    assert drawn(spec).gamma == gamma


def test_parameters_reach_the_family() -> None:
    """Sizes, probabilities and lists of values."""
    assert drawn("frozen-lake-high:size=3,tasks=2").P.shape == (2, 9, 4, 9)
    slippery = drawn("frozen-lake-low:slip=1/10,frozen=1.0,tasks=1")
    assert set(np.unique(slippery.P[0, 5])) == {0.0, 0.05, 0.9}
    assert drawn("gymnasium:FrozenLake-v1:is_slippery=true|false,gamma=1/2").tasks == 2


def test_file_as_a_family(tmp_path: Path) -> None:
    """A path is a family, too."""
    path = tmp_path / "lake.npz"
    family = drawn("frozen-lake-low:tasks=2")
    save_family(family, path)
    again = drawn(str(path))
    assert np.array_equal(again.r, family.r)
    assert again.labels == family.labels


def test_unknown_family() -> None:
    """A typing error is answered with close names."""
    with pytest.raises(UnknownName, match=r"unknown family 'garnt'; did you mean garnet"):
        drawn("garnt")


def test_unknown_parameter() -> None:
    """A wrong parameter is answered with the right one; the generator is not a parameter."""
    with pytest.raises(UnknownName, match=r"unknown parameter of garnet 'branchin'; did you mean branching"):
        drawn("garnet:branchin=2")
    for reserved in ("rng=1", "variance=high"):
        with pytest.raises(UnknownName, match=r"unknown parameter of frozen-lake-low"):
            drawn(f"frozen-lake-low:{reserved}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("garnet:states", "'garnet:states': 'states' is not key=value"),
        ("garnet:1=2", "'1=2' is not key=value"),
        ("garnet:states=many", "states"),
        ("garnet:states=2.5", r"states = 2\.5"),
        ("garnet:gamma=1", r"gamma = 1 is outside \[0, 1\)"),
        ("garnet:gamma=0.9|0.8", "gamma"),
        ("frozen-lake-low:slip=2", "slip = 2.* is not a probability"),
        ("gymnasium:", "'gymnasium:' names no environment; write for example gymnasium:FrozenLake-v1"),
        ("gymnasium:FrozenLake-v1:gamma=0.9|0.8", "gamma"),
    ],
)
def test_bad_parameters(spec: str, message: str) -> None:
    """Whatever is wrong is said in the terms of the spec."""
    with pytest.raises(InvalidTask, match=message):
        drawn(spec)


@pytest.mark.parametrize("spec", ["", ":", "garnet" * 100, "garnet:states=2," + "x" * 300, "no/such/file.json", "a\0b"])
def test_nonsense_is_an_error_of_the_input(spec: str) -> None:
    """No spec ends in anything but a message."""
    with pytest.raises(BomrlError):
        drawn(spec)


def test_descriptions_cover_the_catalogue() -> None:
    """``bomrl list`` shows every family with a summary."""
    shown = describe()
    assert set(CATALOGUE) < set(shown)
    assert all(shown.values())
