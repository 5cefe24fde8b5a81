"""Tasks: finite discounted MDPs with exact data, and families of them."""
