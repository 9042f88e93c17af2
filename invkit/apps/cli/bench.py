"""The group ``invkit bench``, and its commands ``run`` and ``speed``."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .bench_output import comma_separated, plot_command, table_command
from .shared import complete_last, complete_names, complete_recipes, complete_suites, err, out, print_line

if TYPE_CHECKING:
    from rich.table import Table

    from ...benchmark.dask_runner import Cluster
    from ...benchmark.plan import Plan
    from ...benchmark.runner import Execute, RunOutcome
    from ...benchmark.store import JobStore

__all__ = ["bench_app"]

bench_app = typer.Typer(no_args_is_help=True, help="Try recipes on datasets, and make tables and figures of it.")
bench_app.command("table")(table_command)
bench_app.command("plot")(plot_command)

SELECTION_HELP = "Only these of the suite, or others by name."
RecipeLabels = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help=SELECTION_HELP, autocompletion=complete_last(complete_names("recipes"))),
]
DatasetLabels = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help=SELECTION_HELP, autocompletion=complete_last(complete_names("datasets"))),
]


@bench_app.command()
def run(
    suite: Annotated[
        str,
        typer.Argument(
            help="A suite that comes with invkit (quick, levin, lai) or a .toml file.", autocompletion=complete_suites
        ),
    ],
    recipes: RecipeLabels = None,
    datasets: DatasetLabels = None,
    data: Annotated[
        Path | None, typer.Option(envvar="INVKIT_DATA", help="The folder of all data; see 'invkit data'.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N cases of each dataset, spread evenly over it.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,...", help="Seeds instead of those of the suite.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="A preset of the suite.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PLACE=VALUE", help="Change every recipe; LABEL:PLACE=VALUE changes one. Repeatable."
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="PLACE=V,V,...", help="Try every recipe with each of these values. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results; default: benchmarked/SUITE.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes here that share the cores, or one for each GPU.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The scheduler of a Dask cluster, as tcp://host:8786.")
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(metavar="OPTIONS", help="Workers from SLURM: queue=gpu,gpus=1,cores=4,memory=16GB,jobs=8."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Repeat failed jobs.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the jobs and their estimated time; needs no data.")
    ] = False,
) -> None:
    """Try every recipe of a suite on every case of its datasets. Each result is kept at once.

    If a run ends early for any reason, the same command does the missing jobs. The workers of a cluster read the data
    from the same folder, and this process writes the results.

    [bold]Examples[/bold]

      invkit bench run quick

      invkit bench run levin --recipes fast-map,my-recipe.toml --limit 8 --workers 2

      invkit bench run levin --recipes pan-l0 --grid regularizers.0.weight=2e-3,4e-3,8e-3

      invkit bench run lai --slurm queue=gpu,gpus=1,jobs=4
    """
    from ...benchmark.formats import as_terminal
    from ...benchmark.plan import make_plan
    from ...benchmark.records import read_results
    from ...benchmark.reporting import Reporter
    from ...benchmark.runner import run_plan
    from ...benchmark.store import JobStore
    from ...benchmark.suite import load_suite, selected
    from ...benchmark.tables import tables_of

    given = [name for name, it in (("--workers", workers), ("--scheduler", scheduler), ("--slurm", slurm)) if it]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be given together; choose one")
    chosen = selected(
        load_suite(suite, preset),
        recipes=comma_separated(recipes),
        datasets=comma_separated(datasets),
        seeds=whole_numbers(seeds),
        limit=limit,
        overrides=settings or (),
        grid=grid or (),
    )
    folder = output or Path("benchmarked") / Path(suite).stem
    cluster, together = requested_cluster((workers, scheduler, slurm), chosen.device, folder / "slurm")
    plan, store = make_plan(chosen, data, count_only=dry_run), JobStore(folder)
    if dry_run:
        show_plan(plan, store, retry_failed)
        return
    try:
        with Reporter(err, together) as reporter:
            outcome = run_plan(plan, store, reporter, execute_on(cluster), retry_failed=retry_failed)
    except KeyboardInterrupt:  # the second one: the runner handles the first
        print_line(f"stopped at once; results are kept; to continue: {given_command()}", err)
        raise typer.Exit(130) from None
    results = read_results(folder)
    out.print(as_terminal(results.title, tables_of(results), out.width))
    report_outcome(outcome, len(plan.jobs), folder)


def show_plan(plan: Plan, store: JobStore, retry_failed: bool) -> None:
    """Show the jobs of a plan and their estimated time.

    Args:
        plan: the plan.
        store: the results.
        retry_failed: whether failed jobs count as to do.
    """
    from ...benchmark.costs import job_costs
    from ...benchmark.reporting import cost_lines, plan_table
    from ...benchmark.runner import missing_jobs

    missing = missing_jobs(plan, store, retry_failed)
    costs = job_costs(plan.jobs, store.records(job.id for job in plan.jobs).values())
    out.print(plan_table(plan, missing, costs))
    for line in cost_lines(plan, missing, costs):
        print_line(line)


def whole_numbers(text: str | None) -> list[int]:
    """The whole numbers of a comma-separated list; raises `typer.BadParameter`."""
    words = comma_separated(text)
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' are not whole numbers, as 0,1,2", param_hint="--seeds") from error


def requested_cluster(
    request: tuple[int | None, str | None, str | None], device: str, logs: Path
) -> tuple[Cluster | None, int]:
    """The requested cluster, None for this process, and the number of jobs at the same time, as far as it is known.

    Args:
        request: the options --workers, --scheduler and --slurm.
        device: of the suite.
        logs: folder for the output of workers from SLURM.
    """
    from ...benchmark import dask_runner

    workers, scheduler, slurm = request
    if workers:
        return partial(dask_runner.local_workers, workers, device), workers
    if scheduler:
        return partial(dask_runner.existing_cluster, scheduler), 1
    if slurm:
        options = dask_runner.slurm_options(slurm)
        return partial(dask_runner.slurm_workers, options, logs), options.jobs
    return None, 1


def execute_on(cluster: Cluster | None) -> Execute:
    """The function that does the jobs, on a cluster or in this process."""
    from ...benchmark.dask_runner import DaskRunner
    from ...benchmark.jobs import failure, perform
    from ...benchmark.runner import serially

    return serially(perform) if cluster is None else DaskRunner(cluster, perform, failure)


def report_outcome(outcome: RunOutcome, planned: int, folder: Path) -> None:
    """Say how a run ended; the exit code is 1 if jobs have failed, 130 or 143 if jobs are left.

    Args:
        outcome: of the run.
        planned: number of jobs of the plan.
        folder: of the results.
    """
    skipped, failed, others = outcome.count("skipped"), outcome.count("failed"), outcome.of_other_code()
    if skipped:
        print_line(f"{skipped} jobs skipped: their recipes need the true kernel, which is unknown", err)
    if failed:
        records = folder / "jobs"
        print_line(f"{failed} jobs failed; see 'error' in {records}/*/result.json; --retry-failed repeats them", err)
    if others:
        print_line(
            f"{others} results were made by other sources of invkit with the same version; to make them again, remove "
            "them or choose another --output",
            err,
        )
    if outcome.left:
        print_line(f"interrupted: {outcome.left} of {planned} jobs are left; to continue: {given_command()}", err)
        raise typer.Exit(outcome.exit_code)
    print_line(f"results are in {folder}; for other tables see 'invkit bench table {folder}'", err)
    if failed:
        raise typer.Exit(1)


def given_command() -> str:
    """The command line of this process."""
    return shlex.join(["invkit", *sys.argv[1:]])


@bench_app.command("speed")
def speed_command(
    recipe: Annotated[
        str, typer.Argument(help="A registered recipe, or a .toml file.", autocompletion=complete_recipes)
    ] = "selfdeblur",
    side: Annotated[int, typer.Option(min=16, metavar="N", help="Height and width of the image, pixels.")] = 255,
    kernel: Annotated[int, typer.Option("--kernel-size", min=1, metavar="N", help="Side of the kernel, pixels.")] = 27,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="S", help="Stop the run after S seconds.")] = 30.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PLACE=VALUE", help="Change the recipe. Repeatable.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads on the processor; default: the choice of torch.")
    ] = None,
    device: Annotated[str, typer.Option(help="As for deblur: auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: print the values as JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the values to a JSON file too.")
    ] = None,
) -> None:
    """Measure the seconds of an iteration of a recipe on this machine.

    The recipe restores the bundled photograph in the given size, until it ends or the time is over. The table shows
    the median and the minimum of the seconds of an iteration for each stage of the recipe. Press Ctrl-C to stop
    earlier. The benchmarks in benchmarks/speed compare with plain PyTorch and with the limits of the machine.

    [bold]Examples[/bold]

      invkit bench speed

      invkit bench speed fast --threads 1

      invkit bench speed selfdeblur --set image_prior.channels=32 --device cuda --output speed.json
    """
    from ...benchmark.speed import SpeedSetting, time_recipe
    from ...core.files import save_file
    from ...core.solver import deferred_interrupt
    from ...media.output import strict_json

    with deferred_interrupt() as interrupt:
        measured = time_recipe(recipe, SpeedSetting(side, kernel, seconds, device, threads, settings or ()))
    text = strict_json({"command": shlex.join(["invkit", *sys.argv[1:]]), **measured})
    if as_json:
        typer.echo(text, nl=False)
    else:
        setting, machine = measured["setting"], measured["machine"]
        sizes = f"{setting['side']}x{setting['side']} image, {setting['kernel']}x{setting['kernel']} kernel"
        print_line(f"{recipe}: {sizes}; {machine['device']}, {machine['cpu']}, threads: {machine['threads']}")
        out.print(speed_table(measured["stages"]), highlight=False)
        total, peak = f"{measured['seconds']:.1f} s", f"{measured['peak_bytes'] / 1e6:.0f} MB"
        print_line(f"{measured['stopped']} after {total}, peak memory {peak}")
    if output is not None:
        save_file(output, text)
    if measured["stopped"] == "interrupted":
        raise typer.Exit(interrupt.exit_code)


def speed_table(stages: list[dict[str, Any]]) -> Table:
    """The seconds of an iteration of each stage."""
    from rich.table import Table

    table = Table("stage")
    for head in ("iterations", "median, s", "minimum, s"):
        table.add_column(head, justify="right")
    for row in stages:
        values = (f"{row[key]:.3g}" for key in ("median_seconds", "minimum_seconds"))
        table.add_row(row["stage"], str(row["iterations"]), *values)
    return table
