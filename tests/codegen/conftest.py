import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether goldens are written anew instead of compared."""
    return bool(request.config.getoption("--update-golden", default=False))
