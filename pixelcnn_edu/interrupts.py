"""Ctrl-C and polite kills: one way to stop, and none in the middle of a step."""

import contextlib
import signal
import threading

__all__ = ["interrupts_wait", "sigterm_is_ctrl_c"]


@contextlib.contextmanager
def interrupts_wait():
    """Ctrl-C pressed inside, or a polite kill, takes effect when the block is done."""
    if threading.current_thread() is not threading.main_thread():  # they arrive nowhere else
        yield
        return
    arrived = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, _: arrived.append(number)) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    for number in arrived[:1]:
        signal.raise_signal(number)


@contextlib.contextmanager
def sigterm_is_ctrl_c():
    """Inside, the signal that a cluster or a shutting computer sends first ends training as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
