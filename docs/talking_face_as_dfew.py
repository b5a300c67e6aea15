"""Lay out 70 clips of one talking face as DFEW is, in five folds; the light says the class. What the docs train on.

PYTHONPATH=src:examples:tests python docs/talking_face_as_dfew.py DFEW
"""

import sys
import tempfile
from pathlib import Path

import prepare_videos
from helpers.lit_videos import film

CLIPS, CLASSES, FOLDS = 70, 7, 5


def main(out: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, CLIPS + 1):
            film(Path(folder, f"Clip/clip_224x224/{number:05}.mp4"), number % CLASSES, number)
        code = prepare_videos.main([folder, "--out", str(out), "--size", "64"])
    for fold in range(1, FOLDS + 1):
        lines: dict[str, list[str]] = {"train": ["video_name,label"], "test": ["video_name,label"]}
        for number in range(1, CLIPS + 1):
            part = "test" if (number - 1) // CLASSES % FOLDS == fold - 1 else "train"
            lines[part].append(f"{number},{number % CLASSES + 1}")
        for part, each in lines.items():
            split = out / f"EmoLabel_DataSplit/{part}(single-labeled)"
            split.mkdir(parents=True, exist_ok=True)
            (split / f"set_{fold}.csv").write_text("\n".join(each) + "\n")
    return code


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("talking_face_as_dfew.py expects the folder to write: python docs/talking_face_as_dfew.py DFEW")
    sys.exit(main(Path(sys.argv[1])))
