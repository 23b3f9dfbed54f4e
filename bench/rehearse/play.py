"""Run scenarios: each on a new election, with a report and a verdict."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench.load import local, target
from bench.load.mirror_servers import MirrorPlaces
from bench.load.plan import Planner
from bench.load.target import PASSED_S, Target
from bench.rehearse import mirrored
from bench.rehearse.run import DEFAULT_LEVELS, Run, judge_levels
from bench.rehearse.scenarios import scenario
from bench.rehearse.stage import Options, Stage, new_run
from gateway.rehearsal.dataset import DataSet


class RunningGateway(msgspec.Struct, frozen=True):
    """A gateway that is running already, and the election to use."""

    push_url: str
    feed_url: str
    election: str
    tokens: Path


@asynccontextmanager
async def _target(
    name: str,
    options: Options,
    dataset: DataSet,
    running: RunningGateway | None,
    config: Mapping[str, object],
) -> AsyncIterator[tuple[Target, MirrorPlaces | None]]:
    if running is not None:
        yield (
            await target.running_target(running.push_url, running.feed_url, running.election, running.tokens),
            None,
        )
        return
    async with AsyncExitStack() as opened:
        places = None
        if (own := getattr(scenario(name), "beside_a_mirror", None)) is not None:
            places = await opened.enter_async_context(mirrored.places())
            config = {"mirror_url": places.edge_url, **own(options), **config}
        gateway = await opened.enter_async_context(local.gateway(**config))
        publish_in_s = getattr(scenario(name), "publish_in_s", None)
        ends_in_s = PASSED_S if publish_in_s is None else publish_in_s(options)
        yield await target.own_target(gateway, dataset, ends_in_s), places


async def play(
    name: str,
    options: Options,
    levels: Mapping[str, float],
    *,
    data: Path | None = None,
    running: RunningGateway | None = None,
    config: Mapping[str, object] | None = None,
) -> Run:
    """Run one scenario and judge it; `levels` override its own levels and the default ones."""
    module = scenario(name)
    async with (
        local.open_data_set(data) as dataset,
        _target(name, options, dataset, running, config or {}) as (found, places),
    ):
        planner = Planner(each for each in dataset.reports() if each.municipality in found.tokens)
        run = new_run(name, (module.__doc__ or "").strip(), found, options)
        stage = Stage(found, planner, options, run, places)
        async with stage.open():
            await module.play(stage)
    run.verdict = judge_levels(run, {**DEFAULT_LEVELS, **stage.levels, **levels})
    return run


async def play_all(
    names: Sequence[str], options: Options, levels: Mapping[str, float], out: Path, **how: object
) -> list[Run]:
    """Run scenarios one after the other, and write a report of each into `out`."""
    from bench.rehearse.report import write

    runs = []
    for name in names:
        run = await play(name, options, levels, **how)  # type: ignore[arg-type]
        write(run, out)
        runs.append(run)
        await asyncio.sleep(0.5)
    return runs
