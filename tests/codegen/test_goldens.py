"""The text of generated kernels, C and CUDA, against what is kept in goldens/.

After a wanted change: ``pytest tests/codegen --update-golden``, and read the difference.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from graphc.codegen import CUDA, C, render_kernel
from graphc.resources import resources
from tests.codegen.kernels import golden_kernels

GOLDENS = Path(__file__).parent / "goldens"
KERNELS = golden_kernels()
NVCC = shutil.which("nvcc")


@pytest.mark.parametrize("dialect", [C, CUDA], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("name", KERNELS)
def test_golden(name, dialect, update_golden):
    text = render_kernel(KERNELS[name], dialect).text
    path = GOLDENS / f"{name}{dialect.suffix}"
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; see this module's first lines"


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
def test_cuda_compiles(tmp_path):
    """All goldens in one unit: nvcc takes seconds just to start."""
    texts = []
    for name, kernel in KERNELS.items():
        texts.append(render_kernel(kernel, CUDA, name=f"golden_{name}").text)
    source = tmp_path / "kernels.cu"
    source.write_text("\n".join(texts))
    include = f"-I{resources('runtime') / 'cuda'}"
    command = [NVCC, "-arch=sm_90", "-cubin", include, str(source), "-o", str(tmp_path / "k.cubin")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr
