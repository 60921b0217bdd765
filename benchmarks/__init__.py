"""Side by side with the stock backend: the same requests, the same machine, the same minutes."""

READY = "benchmark process is ready"
"""What a process of the benchmark writes when it can be asked."""
