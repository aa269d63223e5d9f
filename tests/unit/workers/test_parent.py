"""A child outlives the thread that started it, and never its parent."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

CHILD = """
import ctypes, time
ctypes.CDLL(None).prctl(1, 9)  # as Celery's pool does
from workers.parent import end_with_parent
{call}
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, threading, time
started = []
def start():
    started.append(subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE))
    started[0].stdout.readline()
thread = threading.Thread(target=start)
thread.start()
thread.join()
print(started[0].pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family():
    """Starts a parent whose child was started by a thread that has ended; gives both."""
    parents = []

    def start(call):
        arguments = [sys.executable, "-c", PARENT, CHILD.format(call=call)]
        parents.append(subprocess.Popen(arguments, stdout=subprocess.PIPE))
        return parents[-1], psutil.Process(int(parents[-1].stdout.readline()))

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def is_gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_gone(process, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_gone(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_gone(process)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this signal")
def test_child_outlives_its_starting_thread_but_not_its_parent(family):
    _, lost = family("")
    assert wait_gone(lost), "without the call the kernel kills it with the thread"
    parent, child = family("end_with_parent()")
    assert not wait_gone(child, seconds=0.5)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_gone(child)
