"""`shakedown export`: the data of a run as files for other tools."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from shakedown.scenarios.errors import UsageError
from shakedown.scenarios.interruption import terminated_like_interrupted
from shakedown.scenarios.terminal import OUT

if TYPE_CHECKING:
    import pandas as pd

    from shakedown.reports.frames import Run


def _csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, engine="pyarrow", index=False)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {"csv": _csv, "parquet": _parquet}


@click.command(
    short_help="Write the data of a run as CSV or Parquet.",
    epilog="""\b
Examples:
  shakedown export runs/wan-3 --csv
  shakedown export runs/wan-3 --parquet --out data/wan-3""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--csv", "kind", flag_value="csv", help="CSV with a header line, UTF-8")
@click.option("--parquet", "kind", flag_value="parquet", help="Parquet; needs pyarrow")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="a new folder  [default: RUN-csv or RUN-parquet, beside the run folder]")  # fmt: skip
def export(run: Path, kind: str | None, out: Path | None) -> None:
    """Write samples, alarms, orders and shifts of the run folder RUN, joined as the judge joins them, a file each.

    docs/data.md has every column. The run folder itself stays as it is.
    """
    if kind is None:
        raise UsageError("Which format? Give --csv or --parquet.")
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError("--parquet needs pyarrow, which is not installed. Install it: pip install pyarrow. Or give "
                         "--csv.")  # fmt: skip
    from shakedown.reports.frames import NoData, Run

    final = out or run.resolve().with_name(f"{run.resolve().name}-{kind}")
    try:
        with terminated_like_interrupted():
            rows = _write(Run(run), kind, final)
    except NoData as error:
        raise UsageError(str(error)) from None
    for name, count in rows.items():
        OUT.print(f"{count:>12,}  {escape(str(final / name))}.{kind}", soft_wrap=True)


def _write(run: Run, kind: str, final: Path) -> dict[str, int]:
    """Write all frames into `final`, which appears when they are whole; how many rows each has."""
    partial = final.with_name(f"{final.name}.partial")
    for taken in (final, partial):
        if taken.exists():
            raise UsageError(f"{taken} exists already, and nothing is overwritten. Give another --out, or remove it: "
                             f"rm -r {taken}")  # fmt: skip
    frames = run.frames()
    try:
        partial.mkdir(parents=True)
        for name, frame in frames.items():
            WRITERS[kind](frame, partial / f"{name}.{kind}")
        if kind == "csv":  # which has no types of its own
            types = {name: frame.dtypes.astype(str).to_dict() for name, frame in frames.items()}
            (partial / "columns.json").write_text(json.dumps(types, indent=1), encoding="utf-8")
        partial.rename(final)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        where = error.filename or final
        raise UsageError(f"{where}: {error.strerror or error}. Give another --out, or make room.") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return {name: len(frame) for name, frame in frames.items()}
