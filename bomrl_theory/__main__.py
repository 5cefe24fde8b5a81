"""``python -m bomrl_theory`` is ``bomrl``."""

from bomrl_theory.cli import main

if __name__ == "__main__":
    main()
