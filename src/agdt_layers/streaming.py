"""AGDTNet for a camera: a new answer for every frame, at the cost of one frame."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.resnet import ResNet18


class AGDTStream:
    """Score a stream frame by frame: one frame of the backbone and one pass of the temporal encoder an answer.

    Kept of the last T frames: their frame vectors, and z_gc of every AGA, (B, C) each. The clip mean GAP_t of a frame
    is taken when the frame arrives, over the frames of the window that are there; it is not taken again when later
    frames come. Hence, with x[i] the i-th frame since the start:

    - With ``build_agdtnet(causal=True)`` the answer is that of the offline net, at every time: its frame vectors are
      those of the whole stream given at once, of which the last T go through the temporal encoder. Up to frame T that
      is simply ``net(clip)`` on the frames so far.
    - Without AGA in the net, or with T = 1, the answer is ``net(clip)`` on the last T frames, also with causal=False.
    - With AGA and causal=False it is an approximation of that: earlier frames were weighed by a mean that did not
      know the later ones yet, and still knew frames that have left the window.
      Freshly made, the two scores differ by less than 2e-4 of their norm on random frames; trained nets may differ
      by more.

    Args:
        net: an :class:`AGDTNet` in eval mode, on the ResNet18 of this package.
        num_frames: T, the window; at most the net's longest clip.

    Raises:
        TypeError, ValueError: the net cannot be run so; a batch that differs from that of the frames before.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> stream = AGDTStream(build_agdtnet(7, num_frames=4, causal=True).eval(), num_frames=4)
        >>> for frame in torch.rand(6, 1, 3, 64, 64):
        ...     scores = stream.push(frame)
        >>> scores.shape
        torch.Size([1, 7])
    """

    def __init__(self, net: AGDTNet, *, num_frames: int = 16) -> None:
        checks.positive_integer("AGDTStream", "num_frames", num_frames)
        if not isinstance(net, AGDTNet) or not isinstance(net.backbone, ResNet18):
            raise TypeError(
                f"AGDTStream expects an AGDTNet on this package's ResNet18, got {type(net).__name__}. "
                "Make one with build_agdtnet()."
            )
        longest = getattr(net.temporal, "max_frames", num_frames)
        if num_frames > longest:
            raise ValueError(
                f"AGDTStream expects num_frames of at most {longest}, the longest clip of the net; got {num_frames}."
            )
        for layer in _attention(net).values():
            if layer.context_window not in (None, num_frames):
                raise ValueError(
                    f"AGDTStream got num_frames={num_frames} and a causal net whose attention averages over "
                    f"{layer.context_window} frames. Take num_frames={layer.context_window}."
                )
        self.net = net
        self._backbone = net.backbone
        self.num_frames = num_frames
        self._vectors: deque[Tensor] = deque(maxlen=num_frames)
        # The newest frame is not among them: its mean goes over itself and at most T - 1 before it.
        self._contexts: dict[str, deque[Tensor]] = {name: deque(maxlen=num_frames - 1) for name in _attention(net)}

    def reset(self) -> None:
        """Forget all frames; the next one starts a new stream."""
        for kept in (self._vectors, *self._contexts.values()):
            kept.clear()

    @torch.no_grad()
    def push(self, frames: Tensor) -> Tensor:
        """Take the next frame of every stream and score the window.

        Args:
            frames: (B, 3, H, W), one frame of each of B streams, normalised as the backbone's weights expect.

        Returns:
            Scores before the softmax, (B, num_classes).
        """
        checks.images("AGDTStream", frames, 3)
        if self.net.training:
            raise ValueError("AGDTStream expects a net in eval mode, whose batch norm does not move. Call net.eval().")
        if self._vectors and len(frames) != len(self._vectors[0]):
            raise ValueError(
                f"AGDTStream got {len(frames)} frames after {len(self._vectors[0])} streams before. "
                "Call reset() to start new streams."
            )
        self._vectors.append(self.net.frame_vectors(self._maps(frames)))
        return self.net.classifier(self.net.temporal(torch.stack(list(self._vectors), dim=1)))

    def _maps(self, x: Tensor) -> Tensor:
        x = self._backbone.stem(x)
        for name, stage in self._backbone.stages():
            x = stage(x)
            if name not in self.net.attention:
                continue
            layer = self.net.attention[name]
            if isinstance(layer, AdaptiveGlobalAttention):
                x, context = layer.step(x, self._contexts[name])
                self._contexts[name].append(context)
            else:
                x = layer(x)
        return x


def _attention(net: AGDTNet) -> dict[str, AdaptiveGlobalAttention]:
    return {name: layer for name, layer in net.attention.items() if isinstance(layer, AdaptiveGlobalAttention)}
