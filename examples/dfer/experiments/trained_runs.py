"""The ablation on any data set: each run is a run of train.py in a folder of its own."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dfer.atomic_files import remove_partial_files
from dfer.data.series import people_left_out, read_series
from dfer.errors import BadInput
from dfer.evaluation.comparable import TEST_CLIPS
from dfer.evaluation.complexity import count_multiply_adds
from dfer.evaluation.published import ABLATION, PublishedScore
from dfer.experiments.campaign import Result, Run, flag, write_result
from dfer.models.vector_nets import VECTOR_MODELS
from dfer.models.wide_resnet18 import WIDER, parameters
from dfer.training.command_line import parse
from dfer.training.networks import check_model, pretrained_hash, sha256
from dfer.training.run import run as train
from dfer.training.run_folder import CHECKPOINT, METRICS, WEIGHTS, latest, plain
from dfer.training.settings import ClipSettings, Settings, chosen_on
from dfer.training.trained_file import load_trained

# The flags that differ between runs, and those of rows that are not names of --model.
OURS = ("--model", "--attention", "--temporal", "--seed", "--out", "--resume")
FOLDS = (1, 2, 3, 4, 5)
# Compared by content, because a file may move and another may take its place.
FILES = ("list", "test_list", "pretrained", "series")
SHUFFLED = "-shuffled"
"""Suffix of a row: the frames of each series are in a random order."""
FLAGS = {
    "aga+mean": ("--model", "agdtnet", "--temporal", "mean"),
    **{f"{model}{SHUFFLED}": ("--model", model, "--shuffle-frames") for model in VECTOR_MODELS},
}


@dataclass(frozen=True)
class TrainedRuns:
    """``flags`` are those of train.py. Runs follow each other, since each uses all cores or the GPU."""

    flags: tuple[str, ...]

    def __post_init__(self) -> None:
        for given in self.flags:
            if given.partition("=")[0] in OURS:
                raise BadInput(f"{given}: ablation.py gives it to each run; leave it out")

    @property
    def folds(self) -> Sequence[int | None]:
        """All five of DFEW, or every person of a series, unless the flags select one."""
        clips = self._clips()
        if any(given.partition("=")[0] == "--fold" for given in self.flags):
            return (None,)
        if clips.source == "series":
            people = people_left_out(read_series(clips.series))  # type: ignore[arg-type]
            return tuple(range(1, people + 1)) if people else (None,)
        return FOLDS if clips.source == "dfew" else (None,)

    def published(self, results: Iterable[Result]) -> Mapping[str, PublishedScore]:
        """Table 2, if the test clips are all those of DFEW's folds."""
        counts = TEST_CLIPS["dfew"]
        whole = (sum(map(sum, made["confusion"])) == counts[made["settings"]["fold"] - 1] for made in results)
        return ABLATION if self._clips().source == "dfew" and all(whole) else {}

    def columns(self) -> Mapping[str, Callable[[Result], float]]:
        return {"WAR, %": lambda result: float(result["war"])}

    def check(self, rows: Sequence[str]) -> None:
        """Refuse settings that would fail hours later."""
        for row in rows:
            settings = self._settings(Run(row, 0), Path("runs"))
            if row == WIDER and settings.net.pretrained is not None:
                others = " ".join(other for other in rows if other != WIDER)
                raise BadInput(f"--pretrained: no file fits {WIDER}, whose third stage is wider; give --rows {others}")
            check_model(settings.net, frames=settings.clips.frames, size=settings.clips.size)

    def settings(self, run: Run) -> dict[str, Any]:
        settings = self._settings(run, Path("runs"))
        recorded = {name: value for name, value in _recorded(settings).items() if name not in FILES}
        return recorded | _file_hashes(settings)

    def make(self, folder: Path, runs: Sequence[Run]) -> Iterator[Result]:
        """Resume a stopped run after its last epoch. A finished one without a result is checked and tested again."""
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(folder)
        for run in runs:
            out = folder / run.name
            settings = self._settings(run, out)
            with (folder / f"{run.name}.log").open("a", buffering=1) as log, redirect_stdout(log):
                train(settings)
            result = _result(run, settings)
            write_result(folder, run, result)
            yield result

    def method(self, settings: Mapping[str, Any]) -> str:
        s = settings
        sources = ("series", "dfew", "ferv39k", "daisee", "ravdess", "crema_d", "list", "labels")
        given = next(f"{flag(name)} {s[name]}" for name in sources if s[name])
        fold = f" --fold {s['fold']}" if s["dfew"] and self.folds == (None,) else ""
        every = ", once for each fold; a seed's score is the mean over the folds" if len(self.folds) > 1 else ""
        return (
            f"Each run is one of train.py with `{given}{fold}`{every}. Recipe {s['recipe']}: {s['epochs']} epochs, "
            f"{s['frames']} frames{'' if s['series'] else ' of {0} x {0}'.format(s['size'])}, "
            f"{'from a pretrained file' if s['pretrained'] else 'from random weights'}. The epoch is "
            f"{chosen_on(s['select_on'])}."
        )

    def _clips(self) -> ClipSettings:
        return parse(self.flags, prog="train.py", description=None).clips

    def _settings(self, run: Run, out: Path) -> Settings:
        resume = ("--resume",) if (out / CHECKPOINT).exists() else ()
        row = FLAGS.get(run.row, ("--model", run.row))
        fold = () if run.fold is None else ("--fold", str(run.fold))
        ours = (*row, *fold, "--seed", str(run.seed), "--out", str(out), *resume)
        return parse([*self.flags, *ours], prog="train.py", description=None)


def _recorded(settings: Settings) -> dict[str, Any]:
    groups = (settings.clips, settings.net, settings.training)
    names = [field.name for group in groups for field in fields(group) if field.name != "workers"]
    values = {name: value for group in groups for name, value in asdict(group).items()}
    return plain({name: values[name] for name in names})


def _file_hashes(settings: Settings) -> dict[str, str | None]:
    clips, hashes = settings.clips, {"pretrained_sha256": pretrained_hash(settings.net)}
    try:
        lists = {"list": clips.list, "test_list": clips.test_list, "series": clips.series}
        return hashes | {f"{name}_sha256": sha256(file) if file else None for name, file in lists.items()}
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be read ({error.strerror}); give a clip list") from None


def _result(run: Run, settings: Settings) -> Result:
    """From what train.py left behind, whose settings count, and what its net costs."""
    metrics = json.loads((settings.out / METRICS).read_text())
    made = latest(metrics.pop("settings"))
    recorded = {name: value for group in ("clips", "net", "training") for name, value in made[group].items()}
    clips = settings.clips
    net, facts = load_trained(settings.out / WEIGHTS)
    frame = (facts.size,) if clips.source == "series" else (3, facts.size, facts.size)
    return {
        "row": run.row,
        "seed": run.seed,
        "fold": run.fold,
        "settings": {name: value for name, value in recorded.items() if name != "workers"} | _file_hashes(settings),
        **metrics,
        "parameters": parameters(net),
        "multiply_adds": count_multiply_adds(net, (1, clips.frames, *frame)),
        **{name: made[name] for name in ("clips_sha256", "device", "versions", "commit")},
        "seconds": sum(epoch["seconds"] for epoch in metrics["history"]),
    }
