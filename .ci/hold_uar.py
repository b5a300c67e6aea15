"""Hold a run's unweighted average recall above a floor: python .ci/hold_uar.py runs/train/metrics.json 0.85."""

import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("hold_uar.py expects a run's metrics.json and a floor: hold_uar.py FILE 0.85", file=sys.stderr)
        return 2
    file, floor = Path(arguments[0]), float(arguments[1])
    uar = json.loads(file.read_text(encoding="utf-8"))["uar"]
    print(f"{file}: UAR {uar:.4f}, must be above {floor}")
    return 0 if uar > floor else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
