"""The independent check of certificates: a second, slow path from a case's data to a verdict.

Nothing here imports the rest of the package, errors apart (a test enforces it): data are read as exact
rationals, every quantity is computed from its mathematical definition by plain loops over Python lists,
and only logarithms, exponentials and roots leave the rationals, for Arb balls. What both paths share is
python-flint and the claim's expression tree.
"""

from bomrl_theory.verify.check.file import CheckResult as CheckResult
from bomrl_theory.verify.check.file import Finding as Finding
from bomrl_theory.verify.check.file import check_file as check_file
