"""Names that held requests wait for. Whoever has started the simulator releases them, by a line of standard input each."""

import threading

_changed = threading.Condition()
_released = set()


def release(name):
    with _changed:
        _released.add(name)
        _changed.notify_all()


def wait(name):
    with _changed:
        _changed.wait_for(lambda: name in _released)
