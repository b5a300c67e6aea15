"""Turn clips into series of vectors, one for each frame, which `train.py --series` trains on in minutes.

The vectors come from a network that train.py trained, or from a timm model. Flags of train.py after -- name the clips,
and with --timm their frames and size:

    extract_features.py --run runs/dfew --out dfew.npz -- --dfew DFEW
    extract_features.py --timm vit_base_patch16_clip_224 --out dfew.npz \\
        -- --dfew DFEW --size 224
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dfer.arguments import Paragraphs
from dfer.errors import BadInput


def extract(args: argparse.Namespace, clips: Sequence[str]) -> None:
    # Only after the command line is read: importing torch takes a second.
    from dfer.evaluation.evaluated_clips import trained_file_of
    from dfer.evaluation.features import extract_features, of_run, of_timm
    from dfer.training.command_line import parse
    from dfer.training.load_data import load_data

    if args.out.exists():
        raise BadInput(f"--out {args.out}: already exists; delete it or choose another")
    settings = parse(clips, prog="train.py", description=None)
    if settings.clips.source == "series":
        raise BadInput("--series holds vectors already; name clips of pictures")
    if args.run is not None:
        extractor, facts = of_run(trained_file_of(args.run))
        per_segment = None if settings.clips.source == "labels" else facts.frames_per_segment
        settings = replace(
            settings,
            clips=replace(settings.clips, frames=facts.frames, frames_per_segment=per_segment, size=facts.size),
        )
    else:
        extractor = of_timm(args.timm, args.weights)
    data = load_data(settings)
    for remark in data.remarks:
        print(f"note: {remark}")
    workers = settings.training.workers
    series, channels = extract_features(data, extractor, args.out, batch_size=args.batch_size, workers=workers)
    print(f"{series} series of {settings.clips.frames} frames with {channels} channels: {args.out.resolve()}")


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    own = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="extract_features.py", usage="extract_features.py [options] [-- options of train.py]", description=__doc__,
        formatter_class=Paragraphs,
    )  # fmt: skip
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--run", type=Path, help="a run of train.py with an agdtnet, or its weights.safetensors")
    model.add_argument("--timm", metavar="NAME", help="a model of timm; needs pip install timm")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="with --timm: weights, else timm downloads them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="the file of series to write")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once (8)")
    args = parser.parse_args(given[:own])
    if args.weights is not None and args.timm is None:
        parser.error("--weights belongs to --timm")
    if args.batch_size < 1:
        parser.error(f"--batch-size: expected a whole number from 1, got {args.batch_size}")
    try:
        extract(args, given[own + 1 :])
    except BadInput as error:
        # The message of a data loader's worker is the last line of a traceback.
        print(f"extract_features.py: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
