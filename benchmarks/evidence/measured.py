"""What has been measured so far, in a file that a later run goes on with."""

import datetime
import json
import pathlib

from benchmarks import machine
from keras_vrnn import _files


def read(path: pathlib.Path) -> dict:
    """Returns the figures of a file, {name of an experiment: {"figures": …}}; empty without the file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def add(path: pathlib.Path, experiment: str, part: str, seed: int, figures: dict, seconds: float) -> None:
    """Adds the figures of one part and seed. An interrupted run leaves a whole file."""
    results = read(path)
    kept = results.setdefault(experiment, {"seconds": 0.0, "figures": {}})
    about = machine.describe(1)
    if kept.get("machine", about)["cpu"] != about["cpu"]:
        kept["begun"] = f"{kept['date']}, {kept['machine']['cpu']}"
    kept["date"] = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    kept["machine"] = about
    kept["seconds"] = round(kept["seconds"] + seconds, 1)
    kept["figures"].setdefault(part, {})[str(seed)] = figures
    write(path, results)


def write(path: pathlib.Path, results: dict) -> None:
    with _files.replacing(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
