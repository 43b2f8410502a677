"""Makes export/ready_made/activity.tflite, a file to try the device side at once, and its card.

python export/ready_made.py     # trains on smartwatch recordings, about a minute; extra `examples`
"""

import csv
import sys
from pathlib import Path

import keras
import numpy as np

import keras_vrnn as kv

FOLDER = Path(__file__).parent / "ready_made"
STEPS, HELD_OUT = 50, (9, 10)  # steps of a window, at 12.5 Hz; people
SCALE = np.array([1, 1, 1, 3, 3, 3], np.float32)  # g and rad/s to about one

CARD = """# activity.tflite

One int8 step of a vanilla RNN with 32 units: a smartwatch on the wrist, one sample per call, the exercise after each.

| | |
| --- | --- |
| input | `features`, (1, 1, 6): acceleration x, y, z in g, then rotation x, y, z in rad/s divided by 3, at 12.5 Hz |
| output | `output`, (1, 1, 7): probabilities of {classes} |
| state | an input and an output; zero at the start of a window of {steps} samples |
| training data | `seglearn` 1.2.5, watch recordings of eight people (Burns et al. 2018, BSD licence) |
| accuracy | {accuracy:.0%} of {count} windows of two other people, after 4 s; chance is 14 % |
| size | {size:,} bytes |
| licence | that of this repository, Apache-2.0 |
| made by | `python export/ready_made.py`, keras-vrnn {version} |

`sample.csv` holds a window of a person that the model never saw; the exercise is {exercise}.
Try it with NumPy and LiteRT alone:

```
sed 1d export/ready_made/sample.csv | python export/linux/run.py export/ready_made/activity.tflite
```

or as C: `keras-vrnn export export/ready_made/activity.tflite --c firmware --name activity`.
"""


def main():
    if (FOLDER / "activity.tflite").exists() and "--overwrite" not in sys.argv:
        sys.exit(f"{FOLDER} exists; add --overwrite.")
    keras.utils.set_random_seed(0)
    data = kv.datasets.watch_motions()
    x, y = windows(data, [subject not in HELD_OUT for subject in data.subjects])
    x_new, y_new = windows(data, [subject in HELD_OUT for subject in data.subjects])
    model = kv.many_to_many(32, len(data.classes), features=6, timesteps=STEPS)
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", global_clipnorm=1.0)
    model.fit(x, np.repeat(y[:, None], STEPS, axis=1), batch_size=64, epochs=30, verbose=2)

    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "activity.tflite"
    result = kv.tflite.export(model, path, form="streaming", calibration_data=x[::10], overwrite=True)
    guesses = kv.tflite.Runner(path)(x_new)[:, -1].argmax(axis=-1)
    sample = int(np.flatnonzero(guesses == y_new)[0])
    with open(FOLDER / "sample.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ax", "ay", "az", "gx", "gy", "gz"])
        writer.writerows(np.round(x_new[sample], 4).tolist())
    facts = {
        "classes": ", ".join(data.classes),
        "steps": STEPS,
        "accuracy": (guesses == y_new).mean(),
        "count": len(y_new),
        "size": result.size,
        "version": kv.__version__,
        "exercise": data.classes[y_new[sample]],
    }
    (FOLDER / "README.md").write_text(CARD.format(**facts), encoding="utf-8")
    print(result)


def windows(data, chosen):
    """Windows (windows, STEPS, 6) of every fourth sample, half a window apart, and their exercises."""
    pieces, labels = [], []
    for recording, label, take in zip(data.recordings, data.labels, chosen, strict=True):
        slower = recording[::4] / SCALE
        for start in range(0, len(slower) - STEPS + 1, STEPS // 2) if take else ():
            pieces.append(slower[start : start + STEPS])
            labels.append(label)
    return np.stack(pieces), np.array(labels)


if __name__ == "__main__":
    main()
