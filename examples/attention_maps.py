"""Show where a trained net looks in a video: with the gate of its channel attention, and with the gate taken out.

The weights are those that train.py writes, the same for both; a net trained without a gate would be a different net.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import av
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from agdt_layers import AGDTNet, AttentionWeights, build_agdtnet, capture_attention, load_weights
from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.data.augmentation import normalise, to_unit
from dfer.evaluation.pictures import STYLE

STAGES = ("layer2", "layer3")
SIZE = 112


def read_clip(video: Path, frames: int) -> Tensor:
    """Evenly spaced frames, their middle square at SIZE x SIZE: (1, T, 3, SIZE, SIZE) from 0 to 1."""
    try:
        with av.open(str(video)) as container:
            pictures = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise BadInput(f"{video}: cannot be read as a video ({error}); give a file that holds one") from None
    if not pictures:
        raise BadInput(f"{video}: holds no frames; give a file that holds a video")
    chosen = []
    for index in np.linspace(0, len(pictures) - 1, frames).round().astype(int):
        picture = pictures[index]
        left, top = (picture.width - min(picture.size)) // 2, (picture.height - min(picture.size)) // 2
        square = picture.crop((left, top, left + min(picture.size), top + min(picture.size)))
        chosen.append(torch.from_numpy(np.array(square.resize((SIZE, SIZE)))).permute(2, 0, 1))
    return to_unit(torch.stack(chosen))[None]


def load_attention(weights: Path, *, gate: bool) -> AGDTNet:
    """Return a net with the backbone and the attention of a file; the parts after them play no role here."""
    net = build_agdtnet(1, attention="aga" if gate else "aga-without-gate", temporal="mean").eval()
    try:
        tensors = {k: v for k, v in load_file(weights).items() if k.startswith("backbone.")}
        if not {f"backbone.attention.{stage}.channel.gate.weight" for stage in STAGES} <= tensors.keys():
            raise BadInput(f"--weights {weights}: holds no net with gated AGA; train one with train.py --attention aga")
        load_weights(net, net.state_dict() | tensors)
    except (OSError, SafetensorError, ValueError) as error:
        raise BadInput(f"--weights {weights}: {' '.join(str(error).split())}") from None
    return net


def gains(net: AGDTNet, clip: Tensor) -> dict[str, Tensor]:
    """Return M / X - 1 of every stage, averaged over the channels: by how much AGA amplifies a position, (T, h, w)."""
    with torch.inference_mode(), capture_attention(net) as maps:
        net(normalise(clip))
    found = {}
    for stage in STAGES:
        weights = maps[f"backbone.attention.{stage}"]
        assert isinstance(weights, AttentionWeights)
        assert weights.channel is not None
        scale = (weights.channel * weights.context).mean(dim=-1)
        found[stage] = (weights.spatial * scale[..., None, None])[0]
    return found


def draw(path: Path, clip: Tensor, rows: dict[str, dict[str, Tensor]]) -> None:
    """One column per frame; a row of frames, then for every stage one row per net, on a colour scale per stage."""
    frames, height = clip.shape[1], 1 + len(STAGES) * len(rows)
    pictures = clip[0].permute(0, 2, 3, 1)
    with plt.rc_context(STYLE | {"ytick.labelsize": 7}), whole_file(path) as beside:
        figure = plt.figure(figsize=(1.1 * frames, 1.1 * height))
        grid = figure.add_gridspec(height, frames + 1, width_ratios=[1.0] * frames + [0.12], wspace=0.04, hspace=0.04)

        def panel(row: int, column: int) -> Axes:
            axes = figure.add_subplot(grid[row, column], xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            return axes

        for column, picture in enumerate(pictures):
            panel(0, column).imshow(picture)
        for number, stage in enumerate(STAGES):
            low = min(float(maps[stage].min()) for maps in rows.values())
            high = max(float(maps[stage].max()) for maps in rows.values())
            first = 1 + number * len(rows)
            for row, (name, maps) in enumerate(rows.items(), start=first):
                heat = interpolate(maps[stage][None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0]
                for column, (picture, values) in enumerate(zip(pictures, heat, strict=True)):
                    axes = panel(row, column)
                    axes.imshow(picture.mean(dim=-1), cmap="gray", vmin=0, vmax=1)
                    axes.imshow(values, cmap="inferno", alpha=0.6, vmin=low, vmax=high)
                    if column == 0:
                        axes.set_ylabel(f"{stage}\n{name}", fontsize=8)
            scale = ScalarMappable(Normalize(low, high), "inferno")
            figure.colorbar(scale, cax=figure.add_subplot(grid[first : first + len(rows), frames]))
        figure.suptitle("AGA's gain, M / X - 1, mean over the channels", x=0.125, y=0.92, ha="left", fontsize=10)
        figure.savefig(beside, facecolor="white", bbox_inches="tight")
        plt.close(figure)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="attention_maps.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the weights.safetensors of a run of train.py")
    parser.add_argument("--out", type=Path, default=Path("attention_maps.png"), help="the picture, a PNG")
    parser.add_argument("--frames", type=int, default=8, help="frames of the clip, evenly spaced (8)")
    args = parser.parse_args(argv)
    if args.frames < 1:
        parser.error(f"--frames: expected at least 1, got {args.frames}")
    if args.out.suffix != ".png":
        parser.error(f"--out: expected a name that ends in .png, got {args.out}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        clip = read_clip(args.video, args.frames)
        nets = {name: load_attention(args.weights, gate=name == "with gate") for name in ("with gate", "without gate")}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draw(args.out, clip, {name: gains(net, clip) for name, net in nets.items()})
    except BadInput as error:
        print(f"attention_maps.py: {error}", file=sys.stderr)
        return 2
    print(args.out.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
