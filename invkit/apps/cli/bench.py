"""Benchmarks from the command line: ``invkit bench run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .bench_output import add_to
from .bench_speed import add_to as add_speed_to
from .shared import complete_last, complete_names, complete_suites, err, out

if TYPE_CHECKING:
    from ...benchmark.plan import Plan
    from ...benchmark.runner import Execute, Outcome
    from ...benchmark.suite import Suite

__all__ = ["bench_app"]

bench_app = typer.Typer(no_args_is_help=True, help="Try recipes on datasets, and make tables and figures of it.")

add_to(bench_app)
add_speed_to(bench_app)

HELP = "Only these of the suite, or others by name."
Recipes = Annotated[
    str | None, typer.Option(metavar="A,B,...", help=HELP, autocompletion=complete_last(complete_names("recipes")))
]
Datasets = Annotated[
    str | None, typer.Option(metavar="A,B,...", help=HELP, autocompletion=complete_last(complete_names("datasets")))
]


@bench_app.command()
def run(
    suite: Annotated[
        str,
        typer.Argument(
            help="A suite that comes with invkit (quick, levin, lai) or a .toml file.", autocompletion=complete_suites
        ),
    ],
    recipes: Recipes = None,
    datasets: Datasets = None,
    data: Annotated[
        Path | None, typer.Option(envvar="INVKIT_DATA", help="The folder of all data; see 'invkit data'.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N cases of each dataset, spread evenly over it.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,...", help="Seeds instead of the suite's.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="A preset of the suite.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PLACE=VALUE", help="Change every recipe. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results; default: benchmarked/SUITE.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes here that share the cores, or one for each GPU.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster's scheduler, as tcp://host:8786.")
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(metavar="OPTIONS", help="Workers from SLURM: queue=gpu,gpus=1,cores=4,memory=16GB,jobs=8."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed jobs again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Try every recipe of a suite on every case of its datasets; results are kept one by one.

    The same command again does only what is missing, whatever ended the first. On a cluster, workers read the data
    from the same folder; results are written from here.

    [bold]Examples[/bold]

      invkit bench run quick

      invkit bench run levin --recipes fast-map,my-recipe.toml --limit 8 --workers 2

      invkit bench run lai --slurm queue=gpu,gpus=1,jobs=4
    """
    from ...benchmark.plan import make_plan
    from ...benchmark.runner import missing
    from ...benchmark.store import JobStore
    from ...benchmark.suite import load_suite, selected

    ways = [name for name, given in (("--workers", workers), ("--scheduler", scheduler), ("--slurm", slurm)) if given]
    if len(ways) > 1:
        raise typer.BadParameter(f"{' and '.join(ways)} cannot be given together; choose one")
    chosen = selected(
        load_suite(suite, preset),
        recipes=listed(recipes),
        datasets=listed(datasets),
        seeds=numbers(seeds),
        limit=limit,
        overrides=settings or (),
    )
    folder = output or Path("benchmarked") / Path(suite).stem
    execute, together = way_to_run(chosen, folder, workers, scheduler, slurm)
    plan = make_plan(chosen, data)
    if dry_run:
        from ...benchmark.reporting import plan_table

        out.print(plan_table(plan, missing(plan, JobStore(folder), retry_failed)))
        return
    go(plan, folder, execute, together, retry_failed)


def listed(text: str | None) -> list[str]:
    """The words of a list with commas."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def numbers(text: str | None) -> list[int]:
    """Whole numbers of a list with commas; raises `typer.BadParameter`."""
    try:
        return [int(word) for word in listed(text)]
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' are not whole numbers, as 0,1,2", param_hint="--seeds") from error


def way_to_run(
    suite: Suite, output: Path, workers: int | None, scheduler: str | None, slurm: str | None
) -> tuple[Execute, int]:
    """Who does the jobs, and how many at a time as far as is known."""
    if not (workers or scheduler or slurm):
        from ...benchmark.runner import serially

        return serially, 1
    from ...benchmark import dask_runner

    if workers:
        return dask_runner.on_workers(workers, suite.device), workers
    if scheduler:
        return dask_runner.on_cluster(scheduler), 1
    options = dask_runner.slurm_options(slurm or "")
    return dask_runner.on_slurm(options, output / "slurm"), options.jobs


def go(plan: Plan, output: Path, execute: Execute, together: int, retry_failed: bool) -> None:
    """Do what is missing, and say how it went: exit code 1 where jobs have failed, 130 where some are left."""
    from ...benchmark.reporting import Reporter
    from ...benchmark.runner import run_plan
    from ...benchmark.store import JobStore

    try:
        with Reporter(err, together) as reporter:
            outcome = run_plan(plan, JobStore(output), reporter, execute, retry_failed=retry_failed)
    except KeyboardInterrupt:  # the second one: the first is heard by the runner
        say(f"stopped at once; what was done is kept; to go on: {command()}")
        raise typer.Exit(130) from None
    report(plan, outcome, output)


def report(plan: Plan, outcome: Outcome, output: Path) -> None:
    """Say how a run ended, and where to look."""
    from ...benchmark.reporting import summary

    out.print(summary(plan, outcome))
    skipped, failed = outcome.count("skipped"), outcome.count("failed")
    if skipped:
        say(f"{skipped} jobs skipped: their recipes need a true kernel, which nobody knows")
    if failed:
        say(f"{failed} jobs failed; see 'error' in {output / 'jobs'}/*/result.json, and --retry-failed does them again")
    others = outcome.of_other_code()
    if others:
        say(
            f"{others} results are of other sources of invkit than these, though of the same version; to make them "
            "anew, remove them or choose another --output"
        )
    if outcome.left:
        say(f"interrupted: {outcome.left} of {len(plan.jobs)} jobs are left; to go on: {command()}")
        raise typer.Exit(130)
    say(f"results are in {output}; make a table of them with 'invkit bench table {output}'")
    if failed:
        raise typer.Exit(1)


def command() -> str:
    """The command that was given."""
    return shlex.join(["invkit", *sys.argv[1:]])


def say(line: str) -> None:
    """A line for people."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)
