"""The process that runs ONNX files in turn, without torch, and prints the median milliseconds of each as JSON.

Its threads sleep while they wait: spinning ones would take the processor from the session whose turn it is.
"""

import functools
import json
import sys

import numpy as np
import onnxruntime

from dfer.benchmarking.interleaving import medians_in_turn, milliseconds


def session(path: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main(arguments: list[str]) -> int:
    settings, *files = json.loads(arguments[0]), *arguments[1:]
    clips = np.random.default_rng(0).standard_normal(settings["shape"], dtype=np.float32)
    runs = {}
    for path in files:
        net = session(path, settings["threads"])
        runs[path] = functools.partial(net.run, None, {net.get_inputs()[0].name: clips})
    assert "torch" not in sys.modules
    times = medians_in_turn(runs, seconds=settings["seconds"], rounds=settings["rounds"], clock=milliseconds)
    print(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
