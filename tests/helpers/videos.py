"""Write small video files for tests."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor


def write_video(
    path: Path,
    frames: Tensor,
    *,
    times: list[float] | None = None,
    rate: int = 25,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int | None = None,
    pixel_aspect: Fraction | None = None,
    container: dict[str, str] | None = None,
    sound: str | None = None,
    sound_seconds: float | None = None,
    channels: str = "mono",
    sound_rate: int = 48_000,
    options: dict[str, str] | None = None,
) -> Path:
    """Write (T, 3, H, W) uint8 to a file; `times` in seconds makes the frame rate variable.

    sound: codec of a tone, by default as long as the video, else `sound_seconds`. options: of the video codec.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[-2:]
        stream.pix_fmt = pixels
        tone = None if sound is None else output.add_stream(sound, rate=sound_rate, layout=channels)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            if not hasattr(av.VideoStream, "set_display_rotation"):
                pytest.skip(f"PyAV {av.__version__} cannot write a rotated video")
            stream.set_display_rotation(rotation)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), "rgb24")
            if times is not None:
                picture.pts, picture.time_base = round(times[number] * 1000), Fraction(1, 1000)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
        if tone is not None:
            samples = torch.arange(round(sound_rate * (sound_seconds or len(frames) / rate))) / sound_rate
            wave = (torch.sin(2 * torch.pi * 440 * samples) * 8000).to(torch.int16)
            tracks = wave[:, None].expand(-1, tone.layout.nb_channels).reshape(1, -1)
            heard = av.AudioFrame.from_ndarray(tracks.numpy(), format="s16", layout=channels)
            heard.sample_rate, heard.pts = sound_rate, 0
            output.mux(tone.encode(heard))
            output.mux(tone.encode(None))
    return path


def shades(*levels: int, height: int = 48, width: int = 64) -> Tensor:
    """Return one uniform frame per level, so that a frame's brightness identifies it."""
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, height, width)
