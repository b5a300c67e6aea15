"""The docs give one command per table and figure of results, and the scripts accept its arguments."""

import re
import shlex
from pathlib import Path

import pytest

import attention_maps
import complexity
import evaluate
from dfer.experiments.trained_runs import FOLDS, TrainedRuns
from dfer.models import AGDTNET_ROWS
from dfer.training import command_line
from helpers.paper import TABLES

PAGE = Path(__file__).parents[2] / "docs/reproduce.md"
ROW = re.compile(r"^\| ((?:Table|Figure) [^|]*) \| [^|]* \| `(\w+\.py)\b([^`]*)` \|$", re.MULTILINE)
COMMANDS = {labels: (script, shlex.split(given)) for labels, script, given in ROW.findall(PAGE.read_text("utf-8"))}


def test_every_table_and_every_figure_of_results_has_a_command() -> None:
    labels = [label for both in COMMANDS for label in both.split(", ")]
    assert sorted(labels) == sorted([*(f"Table {n}" for n in TABLES), *(f"Figure {n}" for n in (5, 6, 7, 8))])


def test_table_1_command_is_accepted() -> None:
    script, given = COMMANDS["Table 1"]
    assert script == "train.py"
    clips = command_line.parse(given, prog="train.py", description=None).clips
    assert (clips.source, clips.daisee_parts) == ("daisee", "paper")


def test_table_2_command_is_accepted() -> None:
    script, given = COMMANDS["Table 2"]
    assert script == "ablation.py"
    assert given[0] == "--rows"
    rows, trainer = given[1 : given.index("--")], given[given.index("--") + 1 :]
    assert rows == list(AGDTNET_ROWS)
    runs = TrainedRuns(tuple(trainer))
    runs.check(rows)
    assert runs.folds == FOLDS


@pytest.mark.parametrize("labels", ["Table 3, Figure 5", "Table 4, Figure 6", "Table 5, Figure 7"])
def test_commands_of_tables_3_to_5_are_accepted(labels: str) -> None:
    script, given = COMMANDS[labels]
    assert script == "evaluate.py"
    assert len(evaluate.parse(given).runs) == (5 if labels.startswith("Table 4") else 1)


def test_commands_of_table_6_and_figure_8_are_accepted() -> None:
    assert COMMANDS["Table 6"] == (Path(complexity.__file__).name, [])
    script, given = COMMANDS["Figure 8"]
    assert script == Path(attention_maps.__file__).name
    assert len(attention_maps.parse(given).runs) == 2
