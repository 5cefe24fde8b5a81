"""Campaigns: millions of certified cases over theorems, families and parameters, on one machine or a cluster.

The core never imports this package's optional dependencies: joblib and pyarrow (extra ``campaign``), distributed
(extra ``dask``).
"""
