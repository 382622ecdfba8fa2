"""Prints how many milliseconds an inference of an ONNX file takes; needs onnxruntime and numpy.

For a board: `nas measure NETWORK --target "command:program=python3 time_onnx.py"` runs it here,
and `measure_ssh.sh` runs it there.
"""

import os
import sys
from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime

WARM_UPS, RUNS = 5, 50


def main(path: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("NAS_THREADS", "1"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batch = int(os.environ.get("NAS_BATCH", "1"))
    rng, feed = np.random.default_rng(0), {}
    for source in session.get_inputs():
        shape = [size if isinstance(size, int) else batch for size in source.shape]
        feed[source.name] = rng.random(shape, dtype=np.float32)
    times = []
    for _ in range(WARM_UPS + RUNS):
        start = perf_counter()
        session.run(None, feed)
        times.append(1e3 * (perf_counter() - start))
    print(median(times[WARM_UPS:]))


main(sys.argv[1])
