"""What the CPU can do."""

from pathlib import Path

# By what Linux calls the instruction sets, the widest first.
_WIDTHS = {"avx512f": "AVX512", "avx2": "AVX2", "asimd": "NEON"}


def get_cpu_capability() -> str:
    """The widest vector instructions: AVX512, AVX2, NEON, or DEFAULT for others."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return "DEFAULT"
    return next((name for word, name in _WIDTHS.items() if word in words), "DEFAULT")
