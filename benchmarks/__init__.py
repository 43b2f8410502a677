"""Speed and memory of `VanillaRNN` and `kv.Model` against their peers: `python -m benchmarks --help`."""
