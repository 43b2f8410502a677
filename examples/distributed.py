"""Trains one model in several processes, on one or several machines; all end with the same weights.

python examples/distributed.py --workers 2     # starts two processes on this machine
python examples/distributed.py                 # one of several, as set in TF_CONFIG: the same command on every machine

TF_CONFIG='{"cluster": {"worker": ["host-a:4000", "host-b:4000"]}, "task": {"type": "worker", "index": 0}}'

Each process computes its share of every batch. Gradients are summed over all processes before they are clipped, so the
result is the same as with one process and the whole batch. docs/distribution.md has the details.
"""

import argparse
import json
import os
import socket
import subprocess
import sys

import numpy as np


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--workers", type=int, help="number of processes to start here; by default TF_CONFIG decides"
    )
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args(argv)
    if args.workers:
        if args.workers < 1:
            parser.error(f"`--workers` must be a positive integer. Received: {args.workers}.")
        sys.exit(launch(args.workers, args.epochs))
    if "TF_CONFIG" not in os.environ:
        parser.error("set TF_CONFIG, or start the processes with --workers.")
    train(args.epochs)


def launch(count, epochs):
    """Starts the workers; if one fails, the others, which would wait for it without end, are stopped."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, __file__, "--epochs", str(epochs)]
        processes.append(subprocess.Popen(command, env={**os.environ, "TF_CONFIG": json.dumps(task)}))
    try:
        while any(process.poll() is None for process in processes):
            if any(process.returncode for process in processes):
                return 1
            for process in processes:
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
        return max(abs(process.returncode) for process in processes)
    finally:
        for process in processes:
            process.kill()


def train(epochs):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # must come first: the workers connect here
    import keras

    import keras_vrnn as kv

    rng = np.random.default_rng(0)
    x = rng.normal(size=(1024, 30, 4)).astype("float32")
    y = np.cumsum(x[..., :1], axis=1)[:, -1] > 0  # the sign of a sum, which needs memory
    keras.utils.set_random_seed(0)
    with strategy.scope():
        layers = [keras.Input((30, 4)), kv.VanillaRNN(32), keras.layers.Dense(1, activation="sigmoid")]
        model = kv.Sequential(layers)
        model.compile(
            keras.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"], global_clipnorm=1.0
        )
    # batch_size counts all processes together; each takes its share of every batch.
    history = model.fit(x, y, batch_size=64, epochs=epochs, shuffle=False, verbose=0).history
    worker, count = strategy.cluster_resolver.task_id, strategy.num_replicas_in_sync
    checksum = sum(float(np.sum(np.abs(w))) for w in model.get_weights())
    last = {name: round(history[name][-1], 4) for name in ("loss", "accuracy", "grad_norm")}
    print(f"worker {worker} of {count}: {last}, sum of |weights| {checksum:.4f}", flush=True)


if __name__ == "__main__":
    main()
