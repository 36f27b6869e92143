"""What the benchmarks share: taking turns, so that a noisy machine disturbs all alike, and counting memory."""

import platform
import statistics
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def side_by_side(calls, rounds):
    """Median seconds of each of `calls`, a dict of functions, called in turn; the first round does not count."""
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def peak_memory(call):
    """Bytes that tensors take at the worst moment of `call()`, beyond what was there before."""
    call()  # once before, so that what is kept for later calls does not count
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


def machine():
    """What it is measured on, in a line."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} thread(s)"
    return f"{name}, torch {torch.__version__}"
