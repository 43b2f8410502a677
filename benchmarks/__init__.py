"""Speed and memory of `VanillaRNN` and `kv.Model` against other libraries: `python -m benchmarks --help`."""
