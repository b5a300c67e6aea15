"""Pack folders of frames into one store, from which training reads without opening or decoding pictures.

Every folder below IN that contains pictures becomes a clip. Give the store to train.py as --frames-root.

OUT appears when it is complete. An interrupted packing starts again from the first clip. Exit code: 0, packed;
2, wrong input, or OUT cannot be written; 130 or 143, interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dfer.arguments import Paragraphs
from dfer.data.packing import pack
from dfer.errors import BadInput
from dfer.stopping import Stopped, stoppable


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pack_clips.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("source", metavar="IN", type=Path, help="the folder that the paths of the lists start from")
    parser.add_argument("--out", type=Path, required=True, help="the store, a folder that does not exist yet")
    parser.add_argument("--size", type=int, default=112, help="side of a frame in pixels, as train.py's --size (112)")
    args = parser.parse_args(argv)
    if args.size < 16:
        parser.error(f"--size: expected at least 16, got {args.size}")
    try:
        with stoppable():
            packed = pack(args.source, args.out, args.size)
    except BadInput as error:
        print(f"pack_clips.py: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(
            f"pack_clips.py: {stop}; there is no store yet, the same command packs from the first clip", file=sys.stderr
        )
        return stop.exit_code
    if packed.not_square:
        print(f"note: {packed.not_square} clips have frames that are not square: of each the middle square was taken")
    if packed.other:
        print(f"note: {packed.other} is in a format that is not read; it and others like it are left out")
    print(
        f"{packed.clips} clips, {packed.frames} frames, {packed.frames * 3 * args.size**2 / 1e9:.2f} GB: "
        f"{args.out.resolve()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
