"""Export a trained network's stream to ONNX: one frame and the state in, scores and the new state out.

Writes stream.onnx and stream.json (class names, size and normalisation of a frame, number of frames, names and shapes
of the state) into the run's folder, after a check against PyTorch in ONNX Runtime. camera.py and
`recognise.py --onnx` run them; the first needs no PyTorch. Needs pip install onnx onnxscript onnxruntime.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dfer.arguments import Paragraphs
from dfer.errors import BadInput


def export(args: argparse.Namespace) -> None:
    # Only after the command line is read: importing torch takes a second.
    from agdt_layers import AGDTNet, GlobalConvolutionalAttention
    from dfer.training.run_folder import WEIGHTS
    from dfer.training.trained_file import load_trained
    from dfer.video.onnx_export import DESCRIPTION, MODEL, export_stream

    file = args.run / WEIGHTS if args.run.is_dir() else args.run
    net, facts = load_trained(file)
    if not isinstance(net, AGDTNet):
        raise BadInput(f"{args.run}: expected an agdtnet, got a {facts.net.get('model')}, which cannot be streamed")
    if any(isinstance(m, GlobalConvolutionalAttention) and m.context_window is None for m in net.modules()):
        print(
            "note: this network was not trained with --causal, so its stream only approximates its answer to a clip: "
            "its attention cannot look at later frames"
        )
    folder = args.out or file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be made ({error.strerror}); choose another") from None
    difference = export_stream(net, facts, folder)
    print(f"{MODEL} and {DESCRIPTION}: {folder.resolve()}")
    print(f"checked in ONNX Runtime: scores within {difference:.0e} of PyTorch's")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="export_stream.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run of train.py, or its weights.safetensors")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the two files (default: the run's)")
    args = parser.parse_args(argv)
    try:
        export(args)
    except BadInput as error:
        print(f"export_stream.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
