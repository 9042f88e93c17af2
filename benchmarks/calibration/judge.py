"""Learn how a recipe's selection should weigh its no-reference metrics, and how far to trust a result.

    python benchmarks/calibration/judge.py collect --cases 110
    python benchmarks/calibration/judge.py learn

`collect` restores cases of the part 'choose' by a recipe with candidates, and writes one row for each kernel that the
selection compared: every no-reference metric, and the PSNR of the restoration. Cases in the table are not restored
again. `learn` finds the weights for which the selected restoration loses least against the best one, by a softmax over
the weighted sums; the loss of a case counts up to 4 dB. Both the weights and the probability that a result is worse
than its input are tested by cross-validation: no photograph is in both parts.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from report import append, distance, results, rows_of
from rich.progress import track

from invkit.core import registry
from invkit.pipeline.job import prepare
from invkit.pipeline.multistart import Multistart
from invkit.pipeline.selection import Selection
from invkit.pipeline.sequence import Referee
from invkit.pipeline.stages import RunControl
from invkit.recipes.model import SelectionSpec

TABLE = Path("benchmarked/judge.csv")
CAP, TEMPERATURE, RIDGE = 4.0, 0.1, 0.01  # dB; of the softmax; of the squared weights of standardised metrics
LOGISTIC_RIDGE = 2e-3  # of the squared weights of the probability
WORSE = 0.2  # dB below the input
FOLDS = 5
BINS = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)  # of the reliability diagram

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def collect(
    folder: Annotated[Path, typer.Option(help="The set, from make.py.")] = Path("benchmarked/calibration"),
    cases: Annotated[int, typer.Option(min=1, help="The first cases of 'choose'.")] = 110,
    longest: Annotated[int, typer.Option(help="Leave out pictures with a longer side, pixels.")] = 520,
    recipe: Annotated[str, typer.Option(help="A recipe with candidates.")] = "best",
    table: Annotated[Path, typer.Option(help="CSV file to append to.")] = TABLE,
    processes: Annotated[int, typer.Option(min=1, help="Cases restored at a time, with one thread each.")] = 1,
) -> None:
    """Restore cases and write a row for each kernel that was compared."""
    wanted = [row for row in rows_of(folder / "cases.csv") if row["split"] == "choose"][:cases]
    wanted = [row for row in wanted if row["blurred"] == "1"]  # a sharp picture comes back as it was
    done = {row["case"] for row in rows_of(table)} if table.exists() else set()
    wanted = [row for row in wanted if row["id"] not in done and max(int(row["height"]), int(row["width"])) <= longest]
    tasks = [(folder, case, recipe) for case in wanted]
    for rows in track(results(kernels_of, tasks, processes), "Restoring", total=len(tasks), disable=not tasks):
        for row in rows:
            append(table, row)


def kernels_of(folder: Path, case: Mapping[str, str], recipe: str) -> list[dict[str, Any]]:
    """A row for each kernel that the selection of a recipe compares.

    Args:
        folder: of the set.
        case: its row of cases.csv.
        recipe: its name.
    """
    path = folder / case["split"] / case["id"]
    blurry = next(iter(path.parent.glob(f"{case['id']}_blurry.*")))
    job = prepare(blurry, recipe=recipe, color="luma")
    referee = Referee.of(job.stages, job.device)
    multistart = Multistart(job.stages, job.frame, job.device, RunControl(), threading.Event(), referee)
    multistart.solve_all()
    places = [(index, number) for index, one in multistart.done.items() for number in one.restorations]
    restored = [multistart.done[index].restorations[number] for index, number in places]
    names = registry.names("no_reference_metrics")
    metrics = [(SelectionSpec(name=name), registry.load("no_reference_metrics", name)()) for name in names]
    data = job.stages[0].data
    before, scores = distance(data[0, 0].numpy(), Path(f"{path}_sharp.png")), Selection(metrics, data)(restored)
    rows = []
    for (index, number), result, own in zip(places, restored, scores, strict=True):
        kernel = torch.as_tensor(result.kernel)
        size, margin = data.shape[-2:], [side // 2 for side in kernel.shape[-2:]]
        image = torch.as_tensor(result.image)[..., margin[0] :, margin[1] :][..., : size[0], : size[1]].clamp(0, 1)
        rows.append(
            {
                "case": case["id"],
                "photograph": case["photograph"],
                "candidate": job.stages[0].candidates[index][0].recipe.name,
                "stage": number,
                "input": round(before, 3),
                "restored": round(distance(image[0, 0].numpy(), Path(f"{path}_sharp.png")), 3),
                **{name: round(own[name], 5) for name in names},
            }
        )
    return rows


@app.command()
def learn(
    table: Annotated[Path, typer.Option(help="From collect.")] = TABLE,
    metric: Annotated[list[str] | None, typer.Option(help="Metric of the selection; several.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the weights and figures.")] = None,
) -> None:
    """Print the weights, the regret and the reliability of the doubt."""
    metrics = metric or ["normalized-sparsity", "residual", "kernel-agreement", "lost-greys"]
    cases = cases_of(rows_of(table), metrics)
    weights, chosen = weights_of(cases), [0] * len(cases)
    for training, testing in folds([case.photograph for case in cases]):
        found = weights_of([cases[n] for n in training])
        for n in testing:
            chosen[n] = cases[n].choice(found)
    regret = np.array([case.restored.max() - case.restored[n] for case, n in zip(cases, chosen, strict=True)])
    facts: dict[str, Any] = {
        "cases": len(cases),
        "weights": dict(zip(metrics, np.round(weights, 2).tolist(), strict=True)),
        "regret": {"mean": round(float(regret.mean()), 3), "p99": round(float(np.percentile(regret, 99)), 2)},
        "doubt": doubt_of(cases, chosen, metrics.index("kernel-agreement")),
    }
    text = json.dumps(facts, indent=2)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
    typer.echo(text)


class Compared:
    """The kernels of one case.

    Attributes:
        photograph: of the case.
        values: (kernels, metrics), minus their mean.
        raw: the same as measured.
        restored: PSNR of each restoration, dB.
        before: of the input, dB.
        lost: (kernels,), the metric lost-greys.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]], metrics: Sequence[str]) -> None:
        self.photograph = rows[0]["photograph"]
        self.raw = np.array([[float(row[name]) for name in metrics] for row in rows])
        self.values = self.raw - self.raw.mean(0)
        self.restored, self.before = np.array([float(row["restored"]) for row in rows]), float(rows[0]["input"])
        self.lost = np.array([float(row["lost-greys"]) for row in rows])

    def choice(self, weights: np.ndarray[Any, Any]) -> int:
        """The kernel with the lowest weighted sum."""
        return int((self.values @ weights).argmin())


def cases_of(rows: Sequence[Mapping[str, str]], metrics: Sequence[str]) -> list[Compared]:
    """The rows of each case together."""
    names = list(dict.fromkeys(row["case"] for row in rows))
    return [Compared([row for row in rows if row["case"] == name], metrics) for name in names]


def weights_of(cases: Sequence[Compared]) -> np.ndarray[Any, Any]:
    """The weights of least expected loss under a softmax, for metrics as they are."""
    scale = np.concatenate([case.values for case in cases]).std(0) + 1e-9
    pairs = [
        (torch.tensor(case.values / scale), torch.tensor(np.minimum(case.restored.max() - case.restored, CAP)))
        for case in cases
    ]
    weights = torch.zeros(len(scale), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        losses = [(torch.softmax(-(values @ weights) / TEMPERATURE, 0) * loss).sum() for values, loss in pairs]
        total = torch.stack(losses).mean() + RIDGE * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return np.asarray(weights.detach().numpy() / scale)


def folds(groups: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Indices to train on and to test on; no group is in both."""
    names = sorted(set(groups))
    np.random.default_rng(0).shuffle(names)
    parts = [set(names[number::FOLDS]) for number in range(FOLDS)]
    everything = range(len(groups))
    return [
        ([n for n in everything if groups[n] not in part], [n for n in everything if groups[n] in part])
        for part in parts
    ]


def doubt_of(cases: Sequence[Compared], chosen: Sequence[int], agreement: int) -> dict[str, Any]:
    """A logistic model of the probability that a result is worse than its input, and its reliability.

    Args:
        cases: with their kernels.
        chosen: the selected kernel of each.
        agreement: index of the metric of agreement.
    """
    values = np.array([[case.lost[n], case.raw[n, agreement]] for case, n in zip(cases, chosen, strict=True)])
    is_worse = np.array([case.restored[n] < case.before - WORSE for case, n in zip(cases, chosen, strict=True)], float)
    told = np.zeros(len(cases))
    for training, testing in folds([case.photograph for case in cases]):
        told[testing] = probability(values[testing], logistic(values[training], is_worse[training]))
    bins = [(told >= low) & (told < high) for low, high in itertools.pairwise(BINS)]
    reliability = [
        {"told": round(float(told[one].mean()), 3), "seen": round(float(is_worse[one].mean()), 3), "of": int(one.sum())}
        for one in bins
        if one.any()
    ]
    names = ("root of lost share", "minus agreement", "constant")
    model = dict(zip(names, np.round(logistic(values, is_worse), 2).tolist(), strict=True))
    return {"worse": round(float(is_worse.mean()), 3), "model": model, "reliability": reliability}


def logistic(values: np.ndarray[Any, Any], happened: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weights and constant of a ridge logistic regression."""
    mean, scale = values.mean(0), values.std(0) + 1e-9
    inputs, target = torch.tensor((values - mean) / scale), torch.tensor(happened)
    weights = torch.zeros(inputs.shape[1] + 1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        logits = inputs @ weights[:-1] + weights[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        total = loss + LOGISTIC_RIDGE * weights[:-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = weights.detach().numpy()
    return np.array([*(found[:-1] / scale), found[-1] - (found[:-1] * mean / scale).sum()])


def probability(values: np.ndarray[Any, Any], model: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The probability that the model gives."""
    return np.asarray(1 / (1 + np.exp(-(values @ model[:-1] + model[-1]))))


if __name__ == "__main__":
    app()
