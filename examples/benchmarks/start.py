"""What every contender of a workload starts from: NumPy arrays in one file.

    python start.py lenet_step whole numbers.npz

The batch is from a fixed seed; weights and buffers are those that graphc, also from a fixed seed,
gives the model. ``tiny`` instead of ``whole`` takes the small sizes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from workloads import WORKLOADS


@dataclass(frozen=True)
class Start:
    batch: list[np.ndarray]
    state: dict[str, np.ndarray]  # parameters and buffers by name
    parameters: list[str]  # those that are trained

    def save(self, path):
        batch = {f"batch {i}": array for i, array in enumerate(self.batch)}
        state = {f"state {name}": array for name, array in self.state.items()}
        np.savez(path, parameters=np.array(self.parameters, str), **batch, **state)

    @classmethod
    def load(cls, path):
        with np.load(path) as file:
            names = [n for n in file.files if n.startswith("batch ")]
            batch = [file[f"batch {i}"] for i in range(len(names))]
            state = {n.split(" ", 1)[1]: file[n] for n in file.files if n.startswith("state ")}
            return cls(batch, state, file["parameters"].tolist())


def begin(program):
    """The start of a program; this alone needs graphc."""
    import graphc

    batch = program.data(np.random.RandomState(0))
    if program.model is None:
        return Start(batch, {}, [])
    graphc.manual_seed(0)
    model = program.model(graphc)
    state = {name: x.detach().numpy() for name, x in model.state_dict().items()}
    return Start(batch, state, [name for name, _ in model.named_parameters()])


if __name__ == "__main__":
    name, size, path = sys.argv[1:]
    begin(WORKLOADS[name].program(size == "tiny")).save(Path(path))
