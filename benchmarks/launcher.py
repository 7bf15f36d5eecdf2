"""Runs a command and prints as JSON what it took: `python -I -S launcher.py COMMAND ...`. Needs nothing but Python.

On Linux the most memory that a process held is counted from its fork on, when it still is its parent: a command that a
process of a GB starts has held a GB. So commands are started from here, where next to nothing is held.
"""

import json
import os
import subprocess
import sys
import time

begun = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
wall = time.monotonic() - begun
megabytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
took = {"seconds": usage.ru_utime + usage.ru_stime, "wall": wall, "megabytes": megabytes}
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "took": took}))
