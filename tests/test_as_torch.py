"""``import torch`` that means graphc, each time in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FALSE_TORCH = "sys.modules['torch'] = types.ModuleType('torch')"


def python(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def succeeds(program: str) -> str:
    done = python("-c", textwrap.dedent(program))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_are_the_same_objects():
    succeeds(
        """
        import graphc, sys
        specs = {m.__name__: m.__spec__ for m in (graphc, graphc.nn, graphc.nn.functional)}
        graphc.install_as_torch()
        import torch
        import torch.nn.functional as F
        import torch.optim.lr_scheduler
        from torch import nn, optim, Tensor
        from torch.nn import Linear
        from torch.utils.data import DataLoader, TensorDataset
        assert torch is graphc and nn is graphc.nn and F is graphc.nn.functional
        assert sys.modules["torch.nn.functional"] is F
        assert torch.optim.lr_scheduler is sys.modules["graphc.optim.lr_scheduler"]
        assert Linear is graphc.nn.Linear and DataLoader is graphc.utils.data.DataLoader
        x = graphc.ones(2)
        assert isinstance(x, torch.Tensor) and isinstance(x, Tensor)
        assert isinstance(Linear(2, 2).weight, nn.Parameter)
        for module in (graphc, nn, F):
            assert module.__spec__ is specs[module.__name__]
            assert module.__name__.startswith("graphc")
        """
    )


def test_nothing_happens_by_itself():
    succeeds(
        """
        import sys, graphc, graphc.nn
        assert "torch" not in sys.modules
        assert not any("as_torch" in type(f).__module__ for f in sys.meta_path)
        """
    )


def test_an_unknown_submodule_is_named():
    succeeds(
        """
        import graphc
        graphc.install_as_torch()
        import torch
        try:
            import torch.fx.passes
        except ModuleNotFoundError as error:
            assert error.name == "torch.fx", error.name
            assert "'torch.fx'" in str(error) and "graphc.fx" in str(error), error
        else:
            raise SystemExit("torch.fx was found")
        try:
            from torch import no_such_name
        except ImportError as error:
            assert "no_such_name" in str(error)
        else:
            raise SystemExit("no_such_name was found")
        """
    )


def test_a_missing_third_party_is_reported_as_itself():
    succeeds(
        """
        import sys, graphc, graphc.utils
        graphc.install_as_torch()
        sys.modules.pop("graphc.interchange")
        sys.modules["numpy"] = None  # importing it again fails
        try:
            import torch.interchange
        except ModuleNotFoundError as error:
            assert error.name == "numpy", error
        else:
            raise SystemExit("imported without numpy")
        """
    )


def test_refuses_when_pytorch_is_there_already():
    succeeds(
        f"""
        import sys, types, graphc
        {FALSE_TORCH}
        try:
            graphc.install_as_torch()
        except RuntimeError as error:
            assert "force=True" in str(error), error
        else:
            raise SystemExit("installed")
        assert sys.modules["torch"] is not graphc
        """
    )


def test_force_hides_pytorch_and_uninstalling_brings_it_back():
    succeeds(
        f"""
        import sys, types, graphc
        {FALSE_TORCH}
        real = sys.modules["torch"]
        with graphc.install_as_torch(force=True):
            import torch, torch.nn
            assert torch is graphc
        import torch
        assert torch is real and "torch.nn" not in sys.modules
        """
    )


def test_uninstalling():
    succeeds(
        """
        import sys, graphc
        before = list(sys.meta_path)
        graphc.install_as_torch()
        graphc.install_as_torch()  # changes nothing
        import torch.nn
        graphc.uninstall_as_torch()
        graphc.uninstall_as_torch()
        assert sys.meta_path == before
        assert not any(name.split(".")[0] == "torch" for name in sys.modules)
        assert torch is graphc  # what was bound stays
        with graphc.install_as_torch():
            import torch.optim
        assert sys.meta_path == before and "torch.optim" not in sys.modules
        """
    )


def test_pickles_that_name_torch():
    succeeds(
        """
        import collections, pickle, graphc
        data = pickle.dumps(graphc.nn.Linear(2, 3), protocol=0)
        named = data.replace(b"cgraphc.nn", b"ctorch.nn")
        assert named != data
        graphc.install_as_torch()
        loaded = pickle.loads(named)
        assert type(loaded) is graphc.nn.Linear and loaded.weight.shape == (3, 2)
        """
    )


def test_a_program_that_runs_unchanged(tmp_path):
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys
            import torch
            from torch import nn
            import torch.nn.functional as F
            from beside import WIDTH

            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[2]))
            x = torch.randn(8, 3)
            for _ in range(3):
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), x.sum(1, keepdim=True))
                loss.backward()
                optimizer.step()
            if __name__ == "__main__":
                print(sys.argv[1:], __file__, torch.isfinite(loss).item())
            sys.exit(3)
            """
        )
    )
    done = python("-m", "graphc", "run", str(program), "--lr", "0.1", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"['--lr', '0.1'] {program} True\n"
    done = python("-m", "graphc", "run", "-m", "program", "--lr", "0.1", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"['--lr', '0.1'] {program} True\n"


@pytest.mark.parametrize("program", ["no_such_file.py"])
def test_a_program_that_is_not_there(program):
    done = python("-m", "graphc", "run", program)
    assert done.returncode == 2
    assert program in done.stderr
