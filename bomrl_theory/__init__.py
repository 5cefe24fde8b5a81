"""bomrl_theory: is this bound true, how tight is it, and did my change break it?"""
