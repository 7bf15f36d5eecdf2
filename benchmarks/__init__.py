"""What things cost, beside other implementations: `python -m benchmarks` measures all of it in one run.

    subjects (what is timed) ─► measurements (plain records) ─► fits ─► report (Markdown, PNG, JSON)

Files beside this one that have a command of their own (`python -m benchmarks.stream --help`) answer one question each.
"""
