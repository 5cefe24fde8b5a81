"""The number system of enclosures on a device of torch, such as a GPU: the arithmetic of the host, elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import enclosure
from bomrl_theory.numbers.device_array import DeviceArray, device_named
from bomrl_theory.numbers.enclosure import Enclosure
from bomrl_theory.numbers.enclosures import Enclosures


class DeviceEnclosures(Enclosures):
    """Enclosures whose arrays live on a device; constants stay where they are and meet them there.

    Args:
        device: its name in torch: "cuda", "cuda:1", or "cpu", where nothing is gained.

    Raises:
        MissingExtra, InvalidTask, ArithmeticError: as :func:`device_named`.
    """

    def __init__(self, device: str):
        self.place = device_named(device)
        self.device = device
        self.name = f"float64 enclosure on {device}"

    @property
    def described(self) -> str:
        """What the last digits of a mid-point can depend on."""
        import torch

        hardware = torch.cuda.get_device_name(self.place) if self.place.type == "cuda" else self.device
        return f"torch {torch.__version__} on {hardware}"

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Inside it may be computed.

        Raises:
            InvalidTask: the device has not enough memory.
        """
        import torch

        try:
            with super().activated():
                yield
        except torch.OutOfMemoryError as error:
            reason = str(error).partition(". ")[0]
            raise InvalidTask(
                f"the device '{self.device}' has not enough memory ({reason}); judge fewer tasks at once, "
                "or leave out --device"
            ) from None

    def load(self, values: Any) -> Enclosure:
        return Enclosure.exact(DeviceArray.on(self.place, values))

    def normalised(self, weights: Any) -> Enclosure:
        return enclosure.normalised(DeviceArray.on(self.place, weights))
