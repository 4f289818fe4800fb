"""One table of what step_bench and peer.py measured in the same folder: ours ÷ the faster of the peer's two runs."""
import json
import math
import os
import sys


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def main():
    out = sys.argv[1]
    peers = {}
    for peer in lines(os.path.join(out, "peer.jsonl")):
        key = (peer["model"], peer["tokens"], peer["length"])
        if key not in peers or peer["tokens_per_second"] > peers[key]["tokens_per_second"]:
            peers[key] = peer
    print("| model | type | tokens | of length | tok/s | TFLOP/s | GPU memory, MiB | planned, MiB | peer tok/s | peer MiB | tok/s ÷ peer | memory ÷ peer | in slices ÷ not | longest slice, ms | layer there, ms | and back, ms |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    mib = 1024 * 1024
    for step in lines(os.path.join(out, "step.jsonl")):
        peer = peers.get((step["model"], step["tokens"], step["length"]))
        beside = "| - | - | - | - |"
        if peer:
            beside = "| {:.0f}{} | {:.0f} | {:.2f} | {:.2f} |".format(
                peer["tokens_per_second"], " (compiled)" if peer["compiled"] else "", peer["used_bytes"] / mib, step["tokens_per_second"] / peer["tokens_per_second"],
                (step["planned_bytes"] + step["weight_bytes"]) / peer["used_bytes"])
        print("| {model} | {type} | {tokens} | {length} | {tokens_per_second:.0f} | {tflops:.1f} | {used:.0f} | {planned:.0f} ".format(
            used=step["used_bytes"] / mib, planned=(step["planned_bytes"] + step["weight_bytes"]) / mib, **step) + beside + " {:.3f} | {:.2f} | {:.2f} | {:.2f} |".format(
            step["seconds"] / step.get("sliced_seconds", math.nan), *(1e3 * step.get(key, math.nan) for key in ("longest_slice", "layer_forward", "layer_backward"))))


if __name__ == "__main__":
    main()
