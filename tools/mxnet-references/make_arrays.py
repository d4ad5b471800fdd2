"""Writes testdata/mxnet_arrays: parameter files of every kind of array, with MXNet 1.9.1.

    venv/bin/python make_arrays.py ../../testdata/mxnet_arrays

Every array holds 0, 1, 2, ... as far as its type and its zeros allow.
"""

import sys

import mxnet as mx
import numpy as np


def main(target):
    count = np.arange(6).reshape(2, 3)
    arrays = {f"arg:{t}": mx.nd.array(count, dtype=t)
              for t in ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")}
    rows = np.zeros((4, 3), "float32")
    rows[[1, 3]] = [[1, 2, 3], [4, 5, 6]]
    arrays["arg:row_sparse"] = mx.nd.array(rows).tostype("row_sparse")
    arrays["aux:csr"] = mx.nd.array(rows).tostype("csr")
    mx.nd.waitall()
    mx.nd.save(f"{target}/kinds.params", arrays)
    with mx.util.np_shape(True):
        mx.nd.save(f"{target}/numpy_shapes.params", {"scalar": mx.nd.array(count)[1, 2].reshape(()),
                                                     "matrix": mx.nd.array(count)})


if __name__ == "__main__":
    main(*sys.argv[1:])
