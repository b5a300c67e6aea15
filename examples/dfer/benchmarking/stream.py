"""A stream: what an answer costs, frame by frame and in runs."""

from collections.abc import Iterator

import torch

from agdt_layers import AGDTStream, ResNet18, build_agdtnet
from dfer.benchmarking.rows import Row, Settings, forward

RUN = 16


def stream(settings: Settings) -> Iterator[Row]:
    """One push of a frame, and a push of a run, for one stream whose window is full.

    A run gives one answer a frame. Its peer is what an answer takes at the least: a frame's part of the whole clip's
    forward pass, and the part of one frame in a pass of the temporal encoder.
    """
    net = build_agdtnet(causal=True).to(settings.device).eval()
    alone = ResNet18().to(settings.device).eval()
    camera, file = AGDTStream(net), AGDTStream(net)
    frames = camera.step.num_frames
    clip = torch.randn(1, RUN, 3, 112, 112, device=settings.device)
    frame = clip[:, 0].contiguous()
    camera.push(clip)
    file.push(clip)
    vectors = torch.randn(1, frames, 512, device=settings.device)
    medians = settings.medians(
        {
            "frame": lambda: camera.push(frame),
            "run": lambda: file.push(clip),
            "alone": forward(alone, frame),
            "clip": forward(net, clip),
            "encoder": forward(net.temporal, vectors),
        },
        rounds=settings.rounds_of_a_network,
    )
    yield Row("AGDTStream, one push, against a frame of ResNet18 alone", "AGDTStream, one push", "ResNet18, a frame",
              "ms", medians["frame"], medians["alone"], 1.3)  # fmt: skip
    yield Row(
        f"AGDTStream, a frame in a run of {RUN}, against a frame's share of the clip and of the temporal encoder",
        f"AGDTStream, a frame in a run of {RUN}",
        "a frame's share of the clip and of the temporal encoder",
        "ms",
        medians["run"] / RUN,
        (medians["clip"] + medians["encoder"]) / frames,
        1.25,
    )
    yield Row("AGDTStream, one push, against the whole clip again", "AGDTStream, one push", "the whole clip", "ms",
              medians["frame"], medians["clip"])  # fmt: skip
