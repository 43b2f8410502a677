"""TFLite Micro: running files in it on this machine, and C++ sources for firmware."""
