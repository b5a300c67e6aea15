"""AGDTNet for a camera or a long file: a new answer for every frame, at the cost of one frame."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.clip_axis import ClipAxis, call_with_clip_axis
from agdt_layers.global_attention import GlobalAttention
from agdt_layers.precision import promoted_dtype

_VECTORS = "vectors"


class AGDTStream:
    """Score a stream, at the cost of one frame through the backbone and one pass of the temporal encoder per answer.

    What is kept of the last T frames: their frame vectors, and z_gc of every AGA, (B, C) each. GAP_t of a frame is
    computed when the frame arrives, over the frames of the window so far, and is not updated when later frames come.
    Hence:

    - With ``build_agdtnet(causal=True)`` the answer is always that of the offline net: the frame vectors are those
      of the whole stream given at once, and the last T of them go through the temporal encoder. Up to frame T that is
      ``net(clip)`` on the frames so far. The same holds for any backbone with inserted attention of
      ``context_window=T``.
    - Without AGA in the net, or with T = 1, the answer is ``net(clip)`` on the last T frames, also with causal=False.
    - With AGA and causal=False it is an approximation of that: earlier frames were weighted by a mean without the later
      frames, and with frames that have since left the window.

    Args:
        net: an :class:`AGDTNet` in eval mode.
        num_frames: frames in the window, T; at most the net's longest clip.

    Raises:
        TypeError, ValueError: the net cannot be streamed, or the number of streams changes.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> stream = AGDTStream(build_agdtnet(7, num_frames=4, causal=True).eval(), num_frames=4)
        >>> for frame in torch.rand(6, 1, 3, 64, 64):
        ...     scores = stream.push(frame)
        >>> scores.shape
        torch.Size([1, 7])
        >>> stream.push(torch.rand(1, 5, 3, 64, 64)).shape
        torch.Size([1, 5, 7])
    """

    def __init__(self, net: AGDTNet, *, num_frames: int = 16) -> None:
        num_frames = checks.size("AGDTStream", "num_frames", num_frames)
        if not isinstance(net, AGDTNet):
            raise TypeError(
                f"AGDTStream expects an AGDTNet, got {type(net).__name__}. Make one with build_agdtnet(), around a "
                "backbone of your own with build_agdtnet(backbone=...)."
            )
        longest = getattr(net.temporal, "max_frames", num_frames)
        if num_frames > longest:
            raise ValueError(
                f"AGDTStream expects num_frames of at most {longest}, the longest clip of the net; got {num_frames}."
            )
        self.net = net
        self.num_frames = num_frames
        self._looking_back = {name: layer for name, layer in net.named_modules() if isinstance(layer, GlobalAttention)}
        for layer in self._looking_back.values():
            if layer.context_window not in (None, num_frames):
                raise ValueError(
                    f"AGDTStream got num_frames={num_frames} and a causal net whose attention averages over "
                    f"{layer.context_window} frames. Take num_frames={layer.context_window}."
                )
        self.reset()

    def reset(self) -> None:
        """Forget all frames; the next one starts a new stream."""
        self._vectors: Tensor | None = None
        self._contexts: Mapping[nn.Module, Tensor] = {}

    @torch.no_grad()
    def push(self, frames: Tensor) -> Tensor:
        """Take the next frame of every stream, or a run of n frames, and score the window that ends with each.

        A run costs less than its frames one by one, and gives the same answers. If a push fails, the stream is
        unchanged.

        Args:
            frames: (B, 3, H, W), one frame of each of B streams, or (B, n, 3, H, W), a run; normalised as the
                backbone's weights expect.

        Returns:
            Scores before the softmax, (B, num_classes), or (B, n, num_classes) for a run.
        """
        single = isinstance(frames, Tensor) and frames.ndim == 4
        if single:
            checks.images("AGDTStream", frames, 3)
            frames = frames[:, None]
        checks.clips("AGDTStream", frames, 3)
        checks.module_dtype("AGDTStream", frames, self.net)
        if self.net.training:
            raise ValueError("AGDTStream expects a net in eval mode, whose batch norm does not move. Call net.eval().")
        batch, run = frames.shape[:2]
        before = self._vectors
        if before is not None and batch != len(before):
            raise ValueError(
                f"AGDTStream got {batch} frames after {len(before)} streams before. Call reset() to start new streams."
            )
        memory = _Memory(self.num_frames, self._contexts)
        axis = ClipAxis(batch * run, run, None, memory)
        newest = call_with_clip_axis(self.net, self.net.encode, frames, axis)
        vectors = newest if before is None else torch.cat([before, newest], dim=1)
        scores = self._scores(vectors, run)
        self._vectors = vectors[:, -self.num_frames + 1 :] if self.num_frames > 1 else vectors[:, :0]
        self._contexts = memory.kept
        return scores[:, 0] if single else scores

    def _scores(self, vectors: Tensor, run: int) -> Tensor:
        """Score the windows that end with each of the last ``run`` frames, in one batch: (B, run, classes)."""
        length, window = vectors.shape[1], min(vectors.shape[1], self.num_frames)
        ends = torch.arange(length - run, length, device=vectors.device) + 1
        starts = (ends - window).clamp(min=0)
        times = starts[:, None] + torch.arange(window, device=vectors.device)
        windows = vectors[:, times].flatten(0, 1)
        # Only at the start of a stream are windows shorter than the last one; they are padded at their end.
        mask = None
        if length - run + 1 < window:
            mask = (times < ends[:, None]).expand(len(vectors), -1, -1).flatten(0, 1)
        return self.net.score(windows, mask).unflatten(0, (len(vectors), run))

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is kept of earlier frames, to save it and continue elsewhere with :meth:`load_state_dict`.

        Returns:
            ``vectors`` (B, K, C) and, for every AGA by its name in the net, (B, K, channels), with K at most T - 1;
            empty before the first frame.
        """
        if self._vectors is None:
            return {}
        return {_VECTORS: self._vectors, **{name: self._contexts[layer] for name, layer in self._looking_back.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the :meth:`state_dict` of another stream, on this net's device and in its dtype.

        Raises:
            ValueError, TypeError: a state of another net, or of a longer window; the stream is then unchanged.
        """
        holders: dict[str, nn.Module] = {_VECTORS: self.net.frame_vectors, **self._looking_back}
        channels = {_VECTORS: self.net.channels} | {name: layer.channels for name, layer in self._looking_back.items()}
        checks.stream_state("AGDTStream", state, channels, self.num_frames)
        loaded = {}
        for name, value in state.items():
            own = next(holders[name].parameters())
            dtype = own.dtype if name == _VECTORS else promoted_dtype(own.dtype)
            loaded[name] = value.detach().to(own.device, dtype)
        self._vectors = loaded.get(_VECTORS)
        self._contexts = {layer: loaded[name] for name, layer in self._looking_back.items() if loaded}


class _Memory:
    """z_gc of the last T - 1 frames for every AGA of a net: those before a push and, after it, the updated ones."""

    def __init__(self, num_frames: int, kept: Mapping[nn.Module, Tensor]) -> None:
        self.num_frames = num_frames
        self._before = kept
        self.kept: dict[nn.Module, Tensor] = {}

    def past(self, layer: nn.Module) -> Tensor | None:
        return self._before.get(layer)

    def keep(self, layer: nn.Module, newest: Tensor) -> None:
        if layer in self.kept:
            raise ValueError(
                f"AGDTStream got a net that runs one {type(layer).__name__} twice for each frame; it can remember one "
                "run. Insert a layer of its own at each place."
            )
        past = self.past(layer)
        frames = newest if past is None else torch.cat([past, newest], dim=1)
        self.kept[layer] = frames[:, max(0, frames.shape[1] - self.num_frames + 1) :]
