"""`reprbench.run`: the command of the same name, as a function."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reprbench.api.calls import Method, asked_call, asked_calls, asked_methods
from reprbench.api.paths import asked_path, asked_paths
from reprbench.api.progress import SilentListener, listener
from reprbench.api.results import Results
from reprbench.api.running import PreparedRun, RunOptions, prepare_run
from reprbench.benchmark import Seed
from reprbench.cache_folder import CACHE
from reprbench.errors import UserError
from reprbench.grammar import bytes_of, is_parameter_name
from reprbench.limit import LimitField
from reprbench.printable import printable
from reprbench.run_context import Precision
from reprbench.runner.request import Overrides
from reprbench.runner.schedule import Listener
from reprbench.spec import Call, Count, mistakes
from reprbench.trackers.base import Tracker

if TYPE_CHECKING:
    import pandas

Jobs = Annotated[int, Field(strict=True, ge=1, le=1024)]


def _as_bytes(value: Any) -> Any:
    return bytes_of(value) if isinstance(value, str) else value


def _as_seeds(value: Any) -> Any:
    return (value,) if isinstance(value, int) else tuple(value) if isinstance(value, Iterable) else value


def _as_trackers(log_to: Any) -> tuple[str | Tracker, ...]:
    """Return what is given as a tuple; what is in it is checked where trackers are made."""
    return (log_to,) if isinstance(log_to, str | Tracker) or not isinstance(log_to, Iterable) else tuple(log_to)


def _with_names(settings: Any) -> Any:
    if not isinstance(settings, Mapping):
        return settings
    for key in settings:
        if not isinstance(key, str) or not is_parameter_name(key.rpartition(".")[2]):
            raise ValueError(f"{key!r}: expected a parameter, like 'width' or 'linear-svm.layers'")
    return dict(settings)


class _Given(BaseModel):
    """The arguments that are plain values; all mistakes in them are reported together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Count | None
    limit: LimitField | None
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_as_seeds)]
    settings: Annotated[dict[str, Any], BeforeValidator(_with_names)]
    jobs: Jobs | None
    jobs_per_device: Jobs
    timeout: Annotated[float, Field(gt=0, le=1e9)] | None
    memory: Annotated[Count, BeforeValidator(_as_bytes)] | None
    precision: Precision


def run(
    methods: Method | Iterable[Method] = (),
    dataset: str | Call | None = None,
    epochs: int | None = None,
    protocols: str | Call | Iterable[str | Call] = (),
    *,
    benchmark: str | Path | None = None,
    seeds: int | Iterable[int] = (),
    limit: int | Mapping[str, int] | None = None,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    data_dir: str | Path | None = None,
    store: str | Path = "results",
    cache: str | Path = CACHE,
    jobs: int | None = None,
    jobs_per_device: int = 1,
    device: str = "auto",
    executor: str | Path = "local",
    timeout: float | None = None,
    memory: int | str | None = None,
    precision: Precision = "float32",
    debug: bool = False,
    log_to: str | Tracker | Iterable[str | Tracker] = (),
    quiet: bool = False,
) -> Results:
    """Fit methods, evaluate them, and return their tables: ``reprbench run`` as a function.

    Finished trials are kept: the same call again runs only what is missing, changed, or failed. What fails is a row
    of the table with its reason.

    Parameters
    ----------
    methods : names and calls like ``"dae[noise=0.3]"``, or ``"dae[noise=0.3|0.5]"`` for a sweep; learner classes; and
        learners, for their parameters. A class of a notebook or script is written to a file with what it refers to,
        and is named by `register`, or like ``"my-learner"`` after the class.
    dataset : a name or call; the digits if no benchmark says otherwise.
    epochs : of fitting; 10 if no benchmark says otherwise.
    protocols : names and calls; linear-svm if no benchmark says otherwise.
    benchmark : a name, or a YAML file.
    seeds : each is a row of its own.
    limit : at most this many images per split, or ``{"unlabeled": 10000, "test": 2000}``.
    settings : by ``"key"`` a parameter of all methods that have it, or by ``"name.key"`` of one method, protocol or
        dataset.
    plugins : Python files with methods, protocols or datasets of your own.
    data_dir : where datasets are.
    store : the folder of finished trials.
    cache : the folder of fitted learners, features and checkpoints.
    jobs, jobs_per_device : trials to run at the same time; and of these, on one CUDA device.
    device : "auto", "cpu", "cuda", or "cuda:0,cuda:2".
    executor : "local", "ray", "slurm", or a YAML file.
    timeout : seconds that a trial may take.
    memory : bytes that a trial may take, or a text like "4GB".
    precision : "float32" or "bf16".
    debug : whether the only trial to run runs in this process, where print, breakpoint() and profilers work.
    log_to : trackers beside the store: "tensorboard", "tensorboard:FOLDER", "mlflow", "mlflow:EXPERIMENT",
        "wandb:PROJECT", "csv", "csv:FILE", and objects derived from `Tracker`.
    quiet : whether neither progress nor warnings are shown, on standard error or in the notebook.

    Returns
    -------
    The `Results`: tables that print, and show in a notebook, with a data frame and figures.

    Raises
    ------
    UserError
        If something is wrong with the request. Nothing has run then.
    KeyboardInterrupt
        If the run was interrupted. What is finished is in the store, and the same call goes on.

    Examples
    --------
    >>> import reprbench as rb
    >>> results = rb.run(["ae", "dae[noise=0.3]"], "digits", epochs=5)  # doctest: +SKIP
    >>> results.to_dataframe().groupby("label").value.mean()  # doctest: +SKIP
    """
    options = _options(
        methods,
        dataset,
        protocols,
        benchmark=benchmark,
        plugins=plugins,
        data_dir=data_dir,
        store=store,
        cache=cache,
        device=device,
        executor=executor,
        debug=debug,
        log_to=log_to,
        epochs=epochs,
        limit=limit,
        seeds=seeds,
        settings=settings,
        jobs=jobs,
        jobs_per_device=jobs_per_device,
        timeout=timeout,
        memory=memory,
        precision=precision,
    )
    return _carried_out(options, quiet)


def plan(*arguments: Any, **options: Any) -> pandas.DataFrame:
    """Return what `run` would do with the same arguments, and do nothing: ``reprbench run --plan`` as a function.

    Returns
    -------
    A data frame with a row for each trial: ``label``, ``seed``, ``budget``, ``action`` ("run", "evaluate", "record",
    "keep", or "wait" if another run is making it), ``reason``, ``hash`` (of the fit), and ``protocols`` to run.

    Raises
    ------
    UserError
        If something is wrong with the request.

    Examples
    --------
    >>> import reprbench as rb
    >>> rb.plan(["ae", "dae[noise=0.3]"], "digits", epochs=5).action.value_counts()  # doctest: +SKIP
    """
    import pandas

    bound = inspect.signature(run).bind(*arguments, **options)
    bound.apply_defaults()
    given = dict(bound.arguments)
    quiet = given.pop("quiet")
    return pandas.DataFrame(prepare_run(_options(**given), _warns(quiet)).lines())


def _options(
    methods: Method | Iterable[Method],
    dataset: str | Call | None,
    protocols: str | Call | Iterable[str | Call],
    *,
    benchmark: str | Path | None,
    plugins: Sequence[str | Path],
    data_dir: str | Path | None,
    store: str | Path,
    cache: str | Path,
    device: str,
    executor: str | Path,
    debug: bool,
    log_to: str | Tracker | Iterable[str | Tracker],
    **plain: Any,
) -> RunOptions:
    """Return what is asked for; `plain` are the fields of `_Given`."""
    given = _checked(**{**plain, "settings": {} if plain["settings"] is None else plain["settings"]})
    calls, own = asked_methods(methods, asked_path(cache, "cache").resolve())
    return RunOptions(
        overrides=Overrides(
            methods=calls,
            dataset=None if dataset is None else asked_call(dataset, "dataset"),
            protocols=asked_calls(protocols, "protocols"),
            epochs=given.epochs,
            seeds=given.seeds,
            limit=given.limit,
            precision=given.precision,
            settings=given.settings,
        ),
        benchmark=None if benchmark is None else str(benchmark),
        plugins=(*asked_paths(plugins, "plugins"), *own),
        data_dir=None if data_dir is None else asked_path(data_dir, "data_dir"),
        store=asked_path(store, "store"),
        cache=asked_path(cache, "cache"),
        jobs=given.jobs,
        jobs_per_device=given.jobs_per_device,
        timeout=given.timeout,
        memory=given.memory,
        device=device,
        executor=str(executor),
        debug=debug,
        log_to=_as_trackers(log_to),
    )


def _checked(**values: Any) -> _Given:
    try:
        return _Given.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, "run", _Given.model_fields))) from None


def _carried_out(options: RunOptions, quiet: bool) -> Results:
    say: Callable[[str], None] = (lambda line: None) if quiet else _say
    prepared = prepare_run(options, _warns(quiet))
    prepared.check()
    with _shown(prepared, say, quiet) as shown:
        end = prepared.execute(shown)
    if end.interrupted:
        raise KeyboardInterrupt("the run was interrupted; the same call goes on")
    return Results(end.trials, end.tables, end.failed, options.store, options.cache, options.plugins)


def _warns(quiet: bool) -> Callable[[str], None]:
    return lambda problem: None if quiet else _say(f"Warning: {printable(problem)}")


@contextlib.contextmanager
def _shown(prepared: PreparedRun, say: Callable[[str], None], quiet: bool) -> Iterator[Listener]:
    if quiet or not prepared.to_run:
        yield SilentListener()
        return
    with listener(prepared, say) as shown:
        yield shown


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
