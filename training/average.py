"""Step 3, its end: some of the weights that it began with go back in (Wortsman et al. 2022).

The tasks take from step 2's encoder what tells translations apart; a seventh of what it was before them gives that
back (NTREX en-he 0.87 -> 0.90) and costs the heads little. After `--start thawed.pt`, where the earlier weights know
the tasks too, `--before thawed.pt --kept 0.75` averages the heads as well.
"""

from __future__ import annotations

import numpy as np
import torch

from training.common import arguments


def main() -> None:
    args = arguments("average", before="distilled.pt", kept=0.15)
    before, after = (torch.load(args.work / name, map_location="cpu") for name in (args.before, "tuned.pt"))
    mean = {k: value.lerp(before[k], args.kept) if value.is_floating_point() else value for k, value in after.items()}
    torch.save(mean, args.work / "averaged.pt")
    heads, heads_before = dict(np.load(args.work / "tuned.npz")), (args.work / args.before).with_suffix(".npz")
    if heads_before.exists():
        old = np.load(heads_before)
        heads = {name: (1 - args.kept) * value + args.kept * old[name] for name, value in heads.items()}
    np.savez(args.work / "averaged.npz", **heads)


if __name__ == "__main__":
    main()
