"""``pdb.set_trace()`` inside a forward: eager tensors have their values there."""

import subprocess
import sys
import textwrap

PROGRAM = """
import pdb
import graphc
from graphc import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)

    def forward(self, x):
        hidden = self.fc(x)
        pdb.set_trace()
        return hidden.relu().sum()

graphc.manual_seed(0)
model = Net()
loss = model(graphc.ones(1, 2))
loss.backward()
print("gradient", tuple(model.fc.weight.grad.shape), loss.item())
"""

COMMANDS = """
p tuple(hidden.shape), hidden.requires_grad
p hidden.grad_fn.name()
p (hidden * 2).tolist() == (2 * hidden).tolist()
hidden.detach().fill_(3.0)
up
p self.training
continue
"""


def test_a_forward_stops_shows_values_and_goes_on(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    run = subprocess.run(
        [sys.executable, str(path)],
        input=COMMANDS.lstrip(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "((1, 3), True)" in run.stdout and "Backward" in run.stdout
    assert run.stdout.count("True") == 3
    assert "gradient (3, 2) 9.0" in run.stdout  # what was written at the prompt counts
