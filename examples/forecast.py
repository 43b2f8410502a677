"""Forecasting: the electricity demand of the next 24 hours, at every half hour, beside naive forecasts.

python examples/forecast.py     # England and Wales, summer of 2000; two weeks are held out
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import keras_vrnn as kv

DAY, WEEK = 48, 336  # half hours
AHEAD = DAY  # how many values are forecast at once
WINDOW = 2 * DAY  # what a training window looks back on
TRAINING, VALIDATION = 9 * WEEK, 10 * WEEK  # where these parts end


def main(argv=None):
    args = arguments(argv)
    try:
        demand = kv.datasets.electricity_demand()
        if (path := args.out / "forecast.tflite").exists() and not args.overwrite:
            raise FileExistsError(f"{path} exists; add --overwrite or another --out.")
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    features, scale = prepared(demand)
    model = train(features, epochs=1 if args.quick else 40)
    # One invocation per half hour: the state carries what the windows carried in training.
    samples = np.stack([features[end - WINDOW : end] for end in range(WEEK + WINDOW, TRAINING, DAY)])
    result = kv.tflite.export(
        model, path, form="streaming", calibration_data=samples, overwrite=args.overwrite
    )

    times = np.arange(VALIDATION, len(demand) - AHEAD)[:: DAY + 1 if args.quick else 1]
    windows = np.stack([features[t + 1 - WINDOW : t + 1] for t in times])
    streamed = stream(path, features)[times]
    truth = ahead(demand)[times]
    # What the model forecasts is the scaled change from a week ago. A week ago, all AHEAD values are known.
    last_week = ahead(demand)[times - WEEK]
    forecasts = {
        "as now": np.repeat(demand[times, None], AHEAD, axis=1),
        "as yesterday": ahead(demand)[times - DAY],
        "as a week ago": last_week,
        "Keras": last_week + scale * model.predict(windows, verbose=0),
        "int8, streaming": last_week + scale * streamed,
    }
    print(
        f"{len(times):,} forecasts of 24 hours in two held-out weeks; mean absolute error in MW, by time ahead"
    )
    print(f"{'':16}{'0.5 h':>8}{'6 h':>8}{'12 h':>8}{'24 h':>8}{'all':>8}")
    for name, forecast in forecasts.items():
        errors = abs(forecast - truth).mean(axis=0)
        columns = [*errors[[0, 11, 23, 47]], errors.mean()]
        print(f"{name:16}" + "".join(f"{value:8.0f}" for value in columns))
    print(f"{path}: {result.size / 1000:.1f} kB; the demand is {demand.mean():.0f} MW on average")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("out/forecast"), help="folder of the file that is written"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="one epoch: a test of the program, not of the model"
    )
    return parser.parse_args(argv)


def prepared(demand):
    """The inputs of each half hour, (time, 6), and the size in MW of one unit of the first.

    Mean and deviations come from the training part alone. The first input, the change from a week ago, is what the
    model forecasts: weeks are so alike that a network of this size need not learn what they look like.
    """
    change = np.zeros_like(demand)
    change[WEEK:] = demand[WEEK:] - demand[:-WEEK]
    scale = change[WEEK:TRAINING].std()
    level = (demand - demand[:TRAINING].mean()) / demand[:TRAINING].std()
    angles = 2 * np.pi * np.arange(len(demand))[:, None] / (DAY, WEEK)
    return np.column_stack([change / scale, level, np.sin(angles), np.cos(angles)]).astype(np.float32), scale


def ahead(values):
    """The AHEAD values after each time, (time, AHEAD); the last times, whose future is unknown, are left out."""
    return np.lib.stride_tricks.sliding_window_view(values[1:], AHEAD)


def train(features, epochs):
    """Trains on windows whose target is what follows their last step."""
    import keras

    keras.utils.set_random_seed(0)

    def windows(start, end, shuffle):
        # Row i of the targets belongs to the window that starts at row i of the data.
        targets = ahead(features[:, 0])[start + WINDOW - 1 : end - AHEAD]
        return keras.utils.timeseries_dataset_from_array(
            features[start : end - AHEAD], targets, WINDOW, batch_size=64, shuffle=shuffle, seed=0
        )

    inputs = keras.Input((WINDOW, features.shape[1]), name="measured")
    h = kv.VanillaRNN(32)(inputs)
    model = kv.Model(inputs, keras.layers.Dense(AHEAD, name="change")(h))
    model.compile(keras.optimizers.Adam(2e-3), "mae", global_clipnorm=1.0)
    best = keras.callbacks.EarlyStopping("val_loss", patience=8, restore_best_weights=True)
    validation = windows(TRAINING - WINDOW, VALIDATION, shuffle=False)
    training = windows(WEEK, TRAINING, shuffle=True)
    model.fit(training, validation_data=validation, epochs=epochs, callbacks=[best], verbose=2)
    return model


def stream(path, features):
    """What the file forecasts after each half hour, (time, AHEAD), in one pass from the first to the last."""
    runner = kv.tflite.Runner(path)
    return np.stack([runner.step(step) for step in features])


if __name__ == "__main__":
    main()
