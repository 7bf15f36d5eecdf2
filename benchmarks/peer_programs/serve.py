"""What a peer's program does with requests: a line of JSON each, answered by one. Needs nothing but Python.

{"do": "time", "who": "librosa"}  ->  {"result": 0.012}  or  {"error": "ImportError: ..."}
"""

import json
import os
import sys
import time
from importlib import metadata


def serve(handlers, packages=()):
    """Answer until nothing more is asked, into the pipe whose number was given: libraries print where they like."""
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")

    def versions():
        return {name: metadata.version(name) for name in packages}

    known = {"versions": versions, **handlers}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": known[request.pop("do")](**request)}
        except Exception as error:  # whoever asked reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def timed(call):
    """Processor time of a call, and what it gives."""
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result
