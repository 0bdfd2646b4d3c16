"""The parts of `run`: workloads, peers, servers, measurements, tables and the plot."""
