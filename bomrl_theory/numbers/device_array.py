"""Arrays of doubles on a device of torch that stand in for NumPy's: the arithmetic of enclosures runs on them as it is.

NumPy hands its functions over to them (NEP 13 and NEP 18), so every formula and its proof exist once. What is not
listed here raises a TypeError; nothing falls back to another arithmetic. Each listed operation is one call of torch, a
kernel of its own, so no compiler can fuse two of them; and each is exact or rounds to nearest, on the CPU and on CUDA:
docs/rounding.md says why, and which of torch's own are not, and therefore not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from bomrl_theory.errors import InvalidTask, MissingExtra

if TYPE_CHECKING:  # an extra, imported where it is used
    from torch import Tensor

TRIED = 4096
"""Pairs of doubles whose results on a device are compared with the host's before it is used."""


class DeviceArray(NDArrayOperatorsMixin):
    """A tensor of doubles, whole numbers or truth values that behaves as a NumPy array.

    Arrays of the host that meet it are copied to its device; ``np.asarray`` copies it back.

    Attributes:
        tensor: the tensor.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    @classmethod
    def on(cls, device: Any, values: Any) -> DeviceArray:
        """A copy of an array of the host."""
        return cls(_tensor(values, device))

    # --- what an array has ---

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        return self.tensor.ndim

    @property
    def size(self) -> int:
        return self.tensor.numel()

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(str(self.tensor.dtype).removeprefix("torch."))

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Any) -> DeviceArray:
        return DeviceArray(self.tensor[self._index(index)])

    def __setitem__(self, index: Any, values: Any) -> None:
        self.tensor[self._index(index)] = self._moved(values)

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self.tensor.reshape(*shape))

    def swapaxes(self, one: int, other: int) -> DeviceArray:
        return DeviceArray(self.tensor.swapaxes(one, other))

    def astype(self, dtype: Any) -> DeviceArray:
        import torch

        return DeviceArray(self.tensor.to(getattr(torch, np.dtype(dtype).name)))

    def sum(self, axis: Any = None, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.tensor.sum(dim=_axes(axis), keepdim=keepdims))

    def max(self, axis: Any = None, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.tensor.amax(dim=_axes(axis), keepdim=keepdims))

    def min(self, axis: Any = None, keepdims: bool = False) -> DeviceArray:
        return DeviceArray(self.tensor.amin(dim=_axes(axis), keepdim=keepdims))

    def tolist(self) -> Any:
        return self.tensor.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.tensor.numpy(force=True)
        return values.astype(values.dtype if dtype is None else dtype, copy=bool(copy))

    def __float__(self) -> float:
        return float(self.tensor)

    def __bool__(self) -> bool:
        return bool(self.tensor)

    def __repr__(self) -> str:
        return f"DeviceArray({self.tensor!r})"

    # --- NumPy's functions ---

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, out: Any = None) -> Any:
        if method != "__call__" or not all(isinstance(x, _OPERANDS) for x in inputs):
            return NotImplemented
        tensors = [self._moved(x) for x in inputs]
        if function in _ARITHMETIC:
            operation: Any = _named(_ARITHMETIC[function])
            found = operation(*(x.double() for x in tensors))
        elif function in _LOGICAL:
            found = _named(_LOGICAL[function])(*tensors)
        elif function in _OWN:
            found = _OWN[function](*tensors)
        else:
            return NotImplemented
        if out is not None:
            out[0].tensor.copy_(found)
            return out[0]
        return tuple(map(DeviceArray, found)) if function is np.frexp else DeviceArray(found)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _FUNCTIONS or not all(issubclass(kind, (DeviceArray, np.ndarray)) for kind in types):
            return NotImplemented
        return DeviceArray(_FUNCTIONS[function](self._moved, *args, **kwargs))

    def _moved(self, values: Any) -> Tensor:
        return values.tensor if isinstance(values, DeviceArray) else _tensor(values, self.tensor.device)

    def _index(self, index: Any) -> Any:
        if isinstance(index, tuple):
            return tuple(map(self._index, index))
        return self._moved(index) if isinstance(index, (np.ndarray, DeviceArray)) else index


_OPERANDS = (DeviceArray, np.ndarray, np.generic, int, float)


def _tensor(values: Any, device: Any) -> Tensor:
    """A copy on the device. A single number becomes a tensor there too: torch divides by a number of the host by
    multiplying with its rounded reciprocal."""
    import torch

    values = np.asarray(values)
    kind = {"f": np.float64, "i": np.int64, "b": np.bool_}[values.dtype.kind]
    if values.size == 1:
        dtype = getattr(torch, np.dtype(kind).name)
        return torch.full(values.shape, values.item(), dtype=dtype, device=device)
    return torch.from_numpy(np.array(values, dtype=kind, order="C")).to(device)


def _axes(axis: Any) -> Any:
    return () if axis is None else axis


def _named(name: str) -> Callable[..., Any]:
    import torch

    return getattr(torch, name)


_ARITHMETIC = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "div",
    np.negative: "neg",
    np.absolute: "abs",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.nextafter: "nextafter",
    np.rint: "round",
    np.frexp: "frexp",
    np.greater_equal: "ge",
    np.greater: "gt",
    np.less_equal: "le",
    np.less: "lt",
    np.equal: "eq",
    np.not_equal: "ne",
}
"""By their names in torch; on doubles, whatever comes in."""
_LOGICAL = {np.bitwise_and: "bitwise_and", np.bitwise_or: "bitwise_or", np.invert: "bitwise_not"}


def _sqrt(x: Tensor) -> Tensor:
    """On the CPU NumPy's, because torch may take a vector library's there, which only promises an error below 1 ulp."""
    import torch

    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else x.sqrt()


def _ldexp(x: Tensor, exponent: Tensor) -> Tensor:
    """``x 2^exponent`` for exponents up to 2000 in size, rounded at most once: torch's own goes through a power."""
    first = exponent.div(2, rounding_mode="floor")
    return x * _power_of_two(first) * _power_of_two(exponent - first)


def _power_of_two(exponent: Tensor) -> Tensor:
    """From -1022 to 1023, by its bits."""
    import torch

    return ((exponent + 1023) << 52).view(torch.float64)


_OWN: dict[Any, Callable[..., Any]] = {np.sqrt: _sqrt, np.ldexp: _ldexp}


Move = Callable[[Any], Any]
"""Brings an operand to the device."""


def _where(move: Move, condition: Any, yes: Any, no: Any) -> Tensor:
    return _named("where")(move(condition), move(yes), move(no))


def _clip(move: Move, x: Any, low: float, high: float) -> Tensor:
    return move(x).clamp(low, high)


def _dot(move: Move, subscripts: str, x: Any, y: Any) -> Tensor:
    """Products, then their sum: torch's own einsum is a matrix product, which may be of another arithmetic."""
    if subscripts != "...i,...i->...":
        raise TypeError(f"einsum {subscripts} has no proof on a device")
    return (move(x) * move(y)).sum(-1)


def _solve(move: Move, matrix: Any, right: Any) -> Tensor:
    """A proposal: a singular matrix of a batch leaves the others alone, and gives infinities or NaN."""
    import torch

    return torch.linalg.solve_ex(move(matrix), move(right))[0]


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where,
    np.clip: _clip,
    np.einsum: _dot,
    np.linalg.solve: _solve,
    np.nan_to_num: lambda move, x: move(x).nan_to_num(),
    np.zeros_like: lambda move, x: _named("zeros_like")(move(x)),
    np.ones_like: lambda move, x: _named("ones_like")(move(x)),
    np.full_like: lambda move, x, value: _named("full_like")(move(x), value),
    np.all: lambda move, x, axis=None: move(x).all() if axis is None else move(x).all(dim=axis),
    np.any: lambda move, x, axis=None: move(x).any() if axis is None else move(x).any(dim=axis),
    np.broadcast_to: lambda move, x, shape: move(x).broadcast_to(shape),
    np.take_along_axis: lambda move, x, index, axis: _named("take_along_dim")(move(x), move(index), dim=axis),
    np.swapaxes: lambda move, x, one, other: move(x).swapaxes(one, other),
    np.moveaxis: lambda move, x, source, destination: move(x).moveaxis(source, destination),
    np.expand_dims: lambda move, x, axis: move(x).unsqueeze(axis),
    np.concatenate: lambda move, parts, axis=0: _named("cat")([move(x) for x in parts], dim=axis),
}


def device_named(device: str) -> Any:
    """A device of torch that is here, and whose doubles are IEEE's.

    Raises:
        MissingExtra: torch is not installed.
        InvalidTask: there is no such device here, or none with a rounding-error analysis.
        ArithmeticError: its arithmetic is not that of the analysis, such as one that flushes subnormal numbers to zero.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch") from None
    try:
        place = torch.device(device)
        gradual = bool(torch.full((), 2.0**-1022, dtype=torch.float64, device=place) * 0.5 > 0)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidTask(f"there is no device '{device}' for doubles here ({reason}); try cpu or cuda") from None
    if place.type not in ("cpu", "cuda") or torch.version.hip is not None:
        raise InvalidTask(f"the device '{device}' has no rounding-error analysis here; take cpu or an NVIDIA GPU, cuda")
    if not gradual:
        raise ArithmeticError(f"the device '{device}' flushes subnormal numbers to zero, so error bounds do not hold")
    if wrong := _other_than_here(place):
        raise ArithmeticError(f"the device '{device}' does not compute '{wrong}' as IEEE 754 says; take another one")
    return place


@cache
def _other_than_here(place: Any) -> str:
    """The first operation that does not give the host's very bits on doubles of every size; empty if all do.

    No proof, which docs/rounding.md has; but a build of torch that rounds otherwise would not get past it.
    """
    rng = np.random.default_rng(0)
    of_every_size = rng.integers(0, 2**64, size=(2, TRIED), dtype=np.uint64).view(np.float64)
    x, y = np.concatenate([np.where(np.isfinite(of_every_size), of_every_size, 0), rng.normal(size=(2, TRIED))], axis=1)
    exponents = rng.integers(-1200, 1200, x.shape)
    tried: list[tuple[Any, tuple[np.ndarray, ...]]] = [(np.ldexp, (y, exponents))]
    tried += [(f, (x, y)) for f in (np.add, np.subtract, np.multiply, np.true_divide, np.nextafter)]
    tried += [(f, (np.abs(x),)) for f in (np.sqrt, np.rint, np.frexp)]
    with np.errstate(all="ignore"):
        for function, operands in tried:
            here, there = function(*operands), function(*(DeviceArray.on(place, x) for x in operands))
            if not np.array_equal(np.asarray(here), np.asarray(there), equal_nan=True):
                return function.__name__
    return ""
