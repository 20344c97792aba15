"""Between steps 3 and 4: the mean of the weights of two runs of step 3, the second of which went on from the first.

It keeps more of what each was right about on data of other sources than either end does.
"""

from __future__ import annotations

import numpy as np
import torch

from training.common import arguments


def main() -> None:
    args = arguments("average", first="first", second="second")
    runs = [args.work / args.first, args.work / args.second]
    states = [torch.load(folder / "tuned.pt", map_location="cpu") for folder in runs]
    mean = {k: (v + states[1][k]) / 2 if v.is_floating_point() else v for k, v in states[0].items()}
    torch.save(mean, args.work / "tuned.pt")
    heads = [np.load(folder / "heads.npz") for folder in runs]
    np.savez(args.work / "heads.npz", **{k: (heads[0][k] + heads[1][k]) / 2 for k in heads[0]})


if __name__ == "__main__":
    main()
