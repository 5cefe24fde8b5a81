"""The number systems that every quantity is computed in.

One source, four number systems: a formula written on arrays runs unchanged on

- :data:`FLOATS`: float64, fast, carrying no guarantee;
- :data:`ENCLOSURES`: float64 mid-points with rigorous radii, nearly as fast (tier 0), or :class:`DeviceEnclosures`,
  the same on a GPU;
- :class:`Balls`: Arb balls of any precision (tier 2);
- :class:`Rationals`: exact rationals, where a logarithm or an exponential whose value is not rational
  promotes just that entry to a ball. Ties, which enclosures never resolve, are decided here (tier 3).

Arrays keep their shapes in all; only the elements change. Compute inside ``with numbers.activated():``.
"""

from bomrl_theory.numbers.device_array import device_named as device_named
from bomrl_theory.numbers.device_enclosures import DeviceEnclosures as DeviceEnclosures
from bomrl_theory.numbers.enclosure import Enclosure as Enclosure
from bomrl_theory.numbers.enclosures import ENCLOSURES as ENCLOSURES
from bomrl_theory.numbers.enclosures import Enclosures as Enclosures
from bomrl_theory.numbers.enclosures import discounted_error as discounted_error
from bomrl_theory.numbers.flint import Balls as Balls
from bomrl_theory.numbers.flint import Rationals as Rationals
from bomrl_theory.numbers.flint import exact_ball as exact_ball
from bomrl_theory.numbers.flint import exact_parts as exact_parts
from bomrl_theory.numbers.flint import rational as rational
from bomrl_theory.numbers.floats import FLOATS as FLOATS
from bomrl_theory.numbers.floats import Floats as Floats
from bomrl_theory.numbers.ladder import certified_systems as certified_systems
from bomrl_theory.numbers.ladder import computing_on as computing_on
from bomrl_theory.numbers.ladder import device_in_use as device_in_use
from bomrl_theory.numbers.ladder import first_enclosures as first_enclosures
from bomrl_theory.numbers.ladder import of_kind as of_kind
from bomrl_theory.numbers.system import Array as Array
from bomrl_theory.numbers.system import Numbers as Numbers
from bomrl_theory.numbers.system import Numeric as Numeric
from bomrl_theory.numbers.system import SingularSystem as SingularSystem
from bomrl_theory.numbers.system import certainly_nonnegative as certainly_nonnegative
from bomrl_theory.numbers.system import on_host as on_host
from bomrl_theory.numbers.system import to_float as to_float
from bomrl_theory.numbers.system import to_floats as to_floats
