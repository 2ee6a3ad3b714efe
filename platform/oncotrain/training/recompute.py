"""The figures of a finished run once more, from its saved predictions and the truth in the dataset."""

from typing import Any

from oncotrain.lake.filesystem import Lake
from oncotrain.training.data import open_data
from oncotrain.training.evaluation import find_units, patient_figures, remeasure
from oncotrain.training.run import RunDirectory, json_figures


def recompute(lake: Lake, run: str) -> dict[str, Any]:
    """Measure the saved predictions of the run's test units again.

    Returns:
        `run`, `figures` (None where undefined), and `same`: whether they equal those of figures.json.

    Raises:
        UserError: There is no such run.
        DataError: The run is not finished, or a prediction is missing.
    """
    directory = RunDirectory(lake, run)
    plan, stored = directory.read_json("plan.json"), directory.read_json("figures.json")
    version = directory.read_json("summary.json")["dataset"]["version"]
    data = open_data(lake, directory.read_config(), f"{directory.uri}/config.yaml", version)
    units = find_units(data.dataset, data.rows("test"), data.task)
    patients = remeasure(units, directory.read_prediction, task=data.task, plan=plan, dataset=data.dataset)
    figures = json_figures(patient_figures(data.task, patients))
    return {"run": run, "figures": figures, "same": figures == stored}
