"""Stands for `workers.worker` where only a fleet's care for its processes is looked at.

By its device: "cpu" lives and drains at SIGTERM, "cuda:0" does not listen, "cuda:1" refuses to
start, "cuda:2" dies at once. Each start leaves a line in the file `starts` of BARBER_HOME.
"""

import os
import signal
import sys
import time
from pathlib import Path

device = os.environ["BARBER_DEVICE"]
with Path(os.environ["BARBER_HOME"], "starts").open("a") as file:
    file.write(f"{device} {' '.join(sys.argv[1:])}\n")
if device == "cuda:1":
    sys.exit(2)
if device == "cuda:2":
    sys.exit(70)
signal.signal(signal.SIGTERM, signal.SIG_IGN if device == "cuda:0" else lambda *_: sys.exit(0))
Path(os.environ["BARBER_HOME"], f"{device}.up").touch()
while True:
    time.sleep(0.05)
