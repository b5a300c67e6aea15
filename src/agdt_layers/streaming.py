"""AGDTNet for a camera or a long file: a new answer for every frame, at the cost of one frame.

:class:`StreamStep` is one step, with its state as tensors, so that it can be exported and compiled; :class:`AGDTStream`
holds the state between calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from inspect import signature

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.attention import GlobalConvolutionalAttention
from agdt_layers.clips import ClipAxis, call_with_clip_axis
from agdt_layers.torch_compat import has_values, promoted_dtype

State = dict[str, Tensor]
_SEEN, _VECTORS = "seen", "vectors"


class StreamStep(nn.Module):
    """One step of B streams: the next frame and the state in, scores and the new state out.

    The state holds, newest frame last, the frame vectors ``vectors`` (B, T - 1, C) and, under the name of every AGA,
    its global context :math:`z_{gc}` (B, T - 1, channels); ``seen``, int64 (B,), counts the frames so far, so that
    streams of a batch may start apart. See :class:`AGDTStream` for the result. The step reads no value of a tensor:
    torch.export, ONNX with a dynamic batch, one compiled graph for every frame, and a CUDA graph can hold it.

    Args:
        net: an :class:`AGDTNet` in eval mode, whose temporal encoder takes ``mask``.
        num_frames: frames in the window, T; at most the net's longest clip.

    Raises:
        TypeError, ValueError: a net that cannot be streamed.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> step = StreamStep(build_agdtnet(7, num_frames=4, causal=True).eval(), num_frames=4)
        >>> scores, state = step(torch.rand(2, 3, 64, 64), step.initial_state(2))
        >>> scores.shape, state["seen"]
        (torch.Size([2, 7]), tensor([1, 1]))
    """

    def __init__(self, net: AGDTNet, *, num_frames: int = 16) -> None:
        super().__init__()
        num_frames = checks.size("StreamStep", "num_frames", num_frames)
        if not isinstance(net, AGDTNet):
            raise TypeError(
                f"StreamStep expects an AGDTNet, got {type(net).__name__}. Make one with build_agdtnet(), around a "
                "backbone of your own with build_agdtnet(backbone=...)."
            )
        longest = getattr(net.temporal, "max_frames", num_frames)
        if num_frames > longest:
            raise ValueError(
                f"StreamStep expects num_frames of at most {longest}, the longest clip of the net; got {num_frames}."
            )
        if "mask" not in signature(net.temporal.forward).parameters:
            raise ValueError(
                f"StreamStep expects a temporal encoder that takes mask, for the first frames; "
                f"{type(net.temporal).__name__} does not."
            )
        self.net = net
        self.num_frames = num_frames
        # Whether a part is compiled changes nothing in the state.
        self._layers = {
            name.replace("_orig_mod.", ""): layer
            for name, layer in net.named_modules()
            if isinstance(layer, GlobalConvolutionalAttention)
        }
        for layer in self._layers.values():
            if layer.context_window not in (None, num_frames):
                raise ValueError(
                    f"StreamStep got num_frames={num_frames} and a causal net whose attention averages over "
                    f"{layer.context_window} frames. Pass num_frames={layer.context_window}."
                )

    def initial_state(self, batch: int) -> State:
        """Return the state of B = ``batch`` streams before their first frame: zeros."""
        kept = self.num_frames - 1

        def zeros(like: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(batch, kept, channels, device=like.device, dtype=dtype)

        own = next(self.net.frame_vectors.parameters())
        state = {
            _SEEN: torch.zeros(batch, device=own.device, dtype=torch.int64),
            _VECTORS: zeros(own, self.net.channels, own.dtype),
        }
        for name, layer in self._layers.items():
            own = next(layer.parameters())
            state[name] = zeros(own, layer.channels, promoted_dtype(own.dtype))
        return state

    def forward(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Take the next frames of every stream, and score the window that ends with each.

        Args:
            frames: (B, 3, H, W), one frame of each stream, or (B, n, 3, H, W), a run; normalised as the backbone's
                weights expect.
            state: of :meth:`initial_state`, or of the step before.

        Returns:
            Scores before the softmax, (B, num_classes), or (B, n, num_classes) for a run; and the new state.
        """
        run = frames[:, None] if frames.ndim == 4 else frames
        batch, count = run.shape[:2]
        seen, past = state[_SEEN], state[_VECTORS]
        # Position k of the kept frames is (T - 1 - k) frames before the first new one.
        places = torch.arange(self.num_frames - 1 + count, device=seen.device)
        real = places >= self.num_frames - 1 - seen[:, None]
        memory = _Memory(self.num_frames, self._layers, state, real)
        newest = call_with_clip_axis(self.net.encode, run, ClipAxis(batch * count, count, None, memory))
        vectors = torch.cat([past, newest.to(past.dtype)], dim=1)
        scores = self._scores(vectors, seen, count)
        new = {_SEEN: seen + count, _VECTORS: vectors[:, count:].contiguous(), **memory.kept}
        return (scores[:, 0] if frames.ndim == 4 else scores), {name: new.get(name, old) for name, old in state.items()}

    def _scores(self, vectors: Tensor, seen: Tensor, count: int) -> Tensor:
        """Score the windows that end with each of the last ``count`` frames, in one batch: (B, count, classes)."""
        frames = self.num_frames
        windows = vectors.unfold(1, frames, 1).transpose(2, 3)
        lengths = (seen[:, None] + torch.arange(1, count + 1, device=seen.device)).clamp(max=frames)
        # A window that is not full starts with the first frame of its stream and is padded at its end.
        places = torch.arange(frames, device=seen.device)
        mask = places < lengths[..., None]
        starts = (places + (frames - lengths)[..., None]).clamp(max=frames - 1)
        aligned = windows.gather(2, starts[..., None].expand(-1, -1, -1, windows.shape[3]))
        mask = mask.flatten(0, 1)
        # The compiler of torch 2.6 traces no context manager made from a generator.
        with checks.known(mask) if has_values(mask) else nullcontext():
            return self.net.score(aligned.flatten(0, 1), mask).unflatten(0, (-1, count))


class AGDTStream:
    """Score a stream, at the cost of one frame through the backbone and one pass of the temporal encoder per answer.

    The stream keeps the frame vectors of the last T frames and their global context :math:`z_{gc}` in every AGA, (B, C)
    each. The context's mean over time is computed when a frame arrives, over the frames of the window so far, and is
    not updated later. Hence:

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
        self.step = StreamStep(net, num_frames=num_frames)
        self._state: State = {}

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """Forget all frames, or those of some streams of the batch; the next frame starts a new stream."""
        if streams is None or not self._state:
            self._state = {}
        else:
            seen = self._state[_SEEN]
            for stream in streams:
                if stream not in range(len(seen)):
                    raise ValueError(f"AGDTStream.reset expects streams from 0 to {len(seen) - 1}, got {stream!r}.")
            self._state = {**self._state, _SEEN: seen.index_fill(0, seen.new_tensor(list(streams)), 0)}

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
        (checks.images if single else checks.clips)("AGDTStream", frames, 3)
        checks.module_dtype("AGDTStream", frames, self.step.net)
        training = next((name for name, module in self.step.net.named_modules() if module.training), None)
        if training is not None:
            raise ValueError(
                f"AGDTStream expects a net in eval mode, whose batch norm does not move; {training or 'the net'!r} is "
                "in training mode. Call net.eval()."
            )
        state = self._state or self.step.initial_state(frames.shape[0])
        streams = len(state[_SEEN])
        if streams != frames.shape[0]:
            raise ValueError(
                f"AGDTStream got {frames.shape[0]} frames after {streams} streams before. Call reset() to start new "
                "streams."
            )
        scores, self._state = self.step(frames, state)
        return scores

    def state_dict(self) -> State:
        """Return the state, as :class:`StreamStep` describes it, to continue elsewhere with :meth:`load_state_dict`.

        Empty before the first frame.
        """
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the :meth:`state_dict` of another stream, on this net's device and in its dtype.

        Raises:
            ValueError, TypeError: a state of another net or of another window; the stream is then unchanged.
        """
        checks.by_name("AGDTStream", "state", state)
        if not state:
            self._state = {}
            return
        expected = self.step.initial_state(1)
        checks.stream_state("AGDTStream", state, expected)
        self._state = {name: state[name].detach().to(own.device, own.dtype) for name, own in expected.items()}


class _Memory:
    """z_gc of the last T - 1 frames for every AGA of a net: those before a step and, after it, the updated ones."""

    def __init__(
        self, num_frames: int, layers: Mapping[str, nn.Module], state: Mapping[str, Tensor], real: Tensor
    ) -> None:
        self.num_frames = num_frames
        self._layers, self._state, self._real = layers, state, real
        self.kept: State = {}

    def past(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        return self._state[self._name(layer)], self._real

    def keep(self, layer: nn.Module, newest: Tensor) -> None:
        name = self._name(layer)
        if name in self.kept:
            raise ValueError(
                f"AGDTStream got a net that runs one {type(layer).__name__} twice for each frame; it can remember one "
                "run. Insert a layer of its own at each place."
            )
        self.kept[name] = torch.cat([self._state[name], newest], dim=1)[:, newest.shape[1] :].contiguous()

    def _name(self, layer: nn.Module) -> str:
        for name, other in self._layers.items():
            if other is layer:
                return name
        raise ValueError(f"StreamStep got a net to which {type(layer).__name__} was added. Make a new one.")
