"""One simulated business for many tests: lived through once, pulled in both of its phases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from payhealth.bootstrap import Application, application
from payhealth.demo import write_config
from payhealth.sandbox.business.world import World

SEED = 20_261_123


@dataclass(frozen=True)
class Pulled:
    """A world whose servers still answer, the configuration that points at it, and a pulled store."""

    world: World
    config: Path
    app: Application


@pytest.fixture(scope="session")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    """A business of seven days, pulled into a SQLite store before the planted reorg and at the end."""
    folder = tmp_path_factory.mktemp("world")
    end = datetime.now(UTC).replace(microsecond=0)
    with World(seed=SEED, days=7, end=end, folder=folder) as world:
        world.run_until_before_reorg()
        config = write_config(world, folder)
        app = application(config)
        for play_on in (world.run_to_end, None):
            report = app.pull()
            assert not report.failed, report.failed
            if play_on is not None:
                play_on()
        yield Pulled(world, config, app)
        app.close()
