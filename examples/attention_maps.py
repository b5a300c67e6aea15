"""Draw the attention maps of a trained network, and test whether they explain its predictions.

Two runs, one trained with --attention aga-without-gate and one with the gate, give the paper's Figure 8: frames of test
clips with the gain of AGA in both models. One run gives its gain with the gate, and with the gate fixed at 1/2 and the
same weights, which differs from training without it. --curves adds deletion and insertion curves of one run's maps,
compared with random maps and a centre prior.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.data.augmentation import to_unit
from dfer.errors import BadInput
from dfer.evaluation.answers import normalised
from dfer.evaluation.attention_pictures import draw_explanation, draw_maps
from dfer.evaluation.drawn_nets import TrainedNet, answers, clips_of, load_nets, rows_of
from dfer.evaluation.evaluated_clips import CLIP_FLAGS, EvaluatedClips, add_flags_of_other_clips, trained_file_of
from dfer.evaluation.explanation import explain, in_words, markdown
from dfer.evaluation.gains import gains
from dfer.training.command_line import OneLineParser
from dfer.training.settings import at_least
from dfer.training.trained_file import TrainedFacts


def read_video(video: Path, facts: TrainedFacts) -> Tensor:
    """Centre crops of evenly spaced frames: (1, T, 3, size, size) from 0 to 1."""
    try:
        with av.open(str(video)) as container:
            pictures = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise BadInput(f"{video}: cannot be read as a video ({error})") from None
    if not pictures:
        raise BadInput(f"{video}: expected a video, got a file without frames")
    chosen = []
    for index in np.linspace(0, len(pictures) - 1, facts.frames).round().astype(int):
        picture = pictures[index]
        left, top = (picture.width - min(picture.size)) // 2, (picture.height - min(picture.size)) // 2
        square = picture.crop((left, top, left + min(picture.size), top + min(picture.size)))
        chosen.append(torch.from_numpy(np.array(square.resize((facts.size, facts.size)))).permute(2, 0, 1))
    return to_unit(torch.stack(chosen))[None]


def spread_over_classes(truths: Sequence[int], most: int) -> list[int]:
    """Indices of clips that alternate between classes; each class starts at a different clip, to vary the people."""
    places: dict[int, list[int]] = {}
    for index, truth in enumerate(truths):
        places.setdefault(truth, []).append(index)
    turns = [found[rank % len(found) :] + found[: rank % len(found)] for rank, found in enumerate(places.values())]
    longest = max(map(len, turns))
    return [found[turn] for turn in range(longest) for found in turns if turn < len(found)][:most]


def load(clips: EvaluatedClips, chosen: Sequence[int]) -> Tensor:
    return to_unit(torch.stack([clips.source.frames(index, None) for index in chosen]))


def look(args: Any, nets: Sequence[TrainedNet]) -> None:
    facts, folder = nets[0].facts, "attention"
    if args.video is not None:
        shown, truths = read_video(args.video, facts), [args.video.name]
        folder += f"-{args.video.stem}"
    else:
        clips = clips_of(nets, args)
        # Maps of other clips must not overwrite those of the run's own.
        folder += "" if clips.own else f"-{clips.short_name}"
        chosen = spread_over_classes(clips.truths, args.clips)
        shown, truths = load(clips, chosen), [facts.classes[clips.truths[index]] for index in chosen]
    unit = normalised(shown, facts)
    rows = {name: gains(net, unit) for name, net in rows_of(nets).items()}
    captions = [f"{truth}, recognised as {answer}" for truth, answer in zip(truths, answers(nets, unit), strict=True)]
    report = None
    if args.curves:
        tested = normalised(load(clips, spread_over_classes(clips.truths, args.curves)), facts)
        report, _ = explain(nets[0].net, tested, fill=args.fill, seed=args.seed, batch_size=args.batch_size)
    out = args.out or nets[-1].file.parent / folder
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written to ({error.strerror}); choose another") from None
    draw_maps(out / "attention_maps.png", shown, rows, captions)
    if report is not None:
        text = markdown(report) + "\n" + "  \n".join(in_words(report)) + "\n"
        with whole_file(out / "explanation.json") as path:
            path.write_text(json.dumps(report, indent=1) + "\n")
        with whole_file(out / "explanation.md") as path:
            path.write_text(text, encoding="utf-8")
        draw_explanation(out / "explanation.png", report)
        print(text)
    print(out.resolve())


def parse(argv: Sequence[str] | None) -> Any:
    parser = OneLineParser(prog="attention_maps.py", usage="attention_maps.py RUN [RUN] [options]", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="one or two runs of train.py: folders or weights files")
    parser.add_argument("--video", type=Path | None, help="draw this video instead of test clips")
    parser.add_argument("--clips", type=int, default=3, help="number of test clips to draw")
    parser.add_argument("--curves", type=int, default=0, help="number of test clips for the curves; 0: no curves")
    parser.add_argument("--fill", type=str, default="blur", help="replacement for deleted pixels: blur or grey")
    parser.add_argument("--seed", type=int, default=0, help="seed of random maps and intervals")
    parser.add_argument("--batch-size", type=int, default=8, help="clips per batch")
    parser.add_argument("--out", type=Path | None, help="output folder (default: in the gated run's folder)")
    add_flags_of_other_clips(parser)
    args = parser.parse_args(argv)
    at_least(1, clips=args.clips, batch_size=args.batch_size)
    at_least(0, seed=args.seed, curves=args.curves)
    if args.fill not in ("blur", "grey"):
        raise BadInput(f"--fill: expected blur or grey, got {args.fill}")
    if args.curves and len(args.runs) > 1:
        raise BadInput(f"--curves: expected one run, got {len(args.runs)}")
    if args.video is not None and (args.curves or any(args[name] is not None for name in CLIP_FLAGS)):
        raise BadInput("--video: cannot be combined with --curves or with flags that name test clips")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    try:
        args = parse(argv)
        nets = load_nets([trained_file_of(run) for run in args.runs])
        look(args, nets)
    except BadInput as error:
        print(f"attention_maps.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
