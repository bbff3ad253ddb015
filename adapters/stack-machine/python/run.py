"""Runs one of the loops and prints a line: result, least processor time in seconds at SIZE, bytecodes executed at FEW and the least time there.

    python3 run.py NAME SIZE FEW

Bytecodes are counted as a trace function sees them: one by one, superinstructions taken apart.
"""

import importlib
import sys
import time


def least(main, size, runs=5):
    times = []
    for _ in range(runs):
        start = time.process_time()
        main(size)
        times.append(time.process_time() - start)
    return min(times)


def count(main, size):
    counted = 0

    def trace(frame, event, _):
        nonlocal counted
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            counted += 1
        return trace

    sys.settrace(trace)
    try:
        main(size)
    finally:
        sys.settrace(None)
    return counted


def run():
    name, size, few = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    main = importlib.import_module(name).main
    result = main(size)
    print(result, least(main, size), count(main, few), least(main, few))


run()
