"""Payloads too large for Redis: kept in a folder or a bucket, found by whoever reads them, removed with their workflow."""

import tempfile
from pathlib import Path

from orchestrator import Workflow, task, testing
from orchestrator.settings import Settings


@task
def measure(days: int) -> dict[str, list[float]]:
    """A long list."""
    return {"rainfall": [0.5 * day for day in range(days)]}


@task
def average(values: list[float]) -> float:
    """It gets the list, wherever that is kept."""
    return sum(values) / len(values)


weather = Workflow("weather")
weather.then(measure, days=weather.input.days)
weather.then(average, values="${measure.output.rainfall}")


def files(folder: str) -> int:
    """How many payloads are kept there."""
    return sum(path.is_file() for path in Path(folder).rglob("*"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # In production s3://bucket/prefix, or a folder that all processes of the installation share.
        settings = Settings(partitions=1, payload_storage=f"file://{folder}", payload_threshold_bytes=10_000)
        with testing.environment([measure, average], settings=settings) as env:
            for days in (10, 10_000):
                handle = env.client.start_workflow(weather, days=days)
                print(f"{days} days:", handle.result())
                measured = handle.describe().task("measure")
                print("  values:", len(measured.output_data["rainfall"]))
                print("  kept outside:", measured.external_output_payload_storage_path is not None)
            print("files:", files(folder))
            handle.remove()
            print("files:", files(folder))
