"""What a stage says that it returns, held when it returns, when the pipeline is built, and when a run is resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from stageflow import (
    BaseInterceptor,
    ErrorAction,
    InterceptorResult,
    Pipeline,
    PipelineResults,
    PipelineSuspended,
    PipelineValidationError,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.errors import ContractMismatchError, InputContractError, ResumeError, StageContractError


@dataclass(frozen=True)
class Item:
    price: float
    due: datetime | None = None


@dataclass(frozen=True)
class Order:
    items: list[Item] = field(default_factory=list)


class Keys(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    name: str


class Record(msgspec.Struct):
    name: str


def failure_of(pipeline: Pipeline, **fields: Any) -> BaseException | None:
    """Run the pipeline, which fails, and return what its stage failed with."""
    with pytest.raises(StageExecutionError) as caught:
        pipeline.run_sync(**fields)
    return caught.value.__cause__


def test_a_field_of_another_type_fails_the_stage_with_its_path() -> None:
    """A dataclass takes anything; the stage's annotation does not."""

    @stage
    async def order() -> Order:
        return Order([Item(1.0), Item("2")])  # pyright: ignore[reportArgumentType]

    error = failure_of(Pipeline("shop", [order]))
    assert isinstance(error, StageContractError)
    assert ("order", "$.items[1].price") == (error.stage, error.path)
    assert "float" in error.expected
    assert "'2'" in error.found


@pytest.mark.parametrize(("kind", "good"), [(Keys, {"name": "a"}), (Model, Model(name="a")), (Record, Record("a"))])
def test_an_option_says_what_a_class_returns(kind: Any, good: Any) -> None:
    """`output=` is the contract of a runner whose `execute` is not annotated."""

    class Good:
        async def execute(self, ctx: StageContext):
            return good

    class Bad:
        async def execute(self, ctx: StageContext):
            return {"name": 5}

    assert {"name": "a"} == dict(Pipeline("p").with_stage("s", Good, output=kind).run_sync().data("s"))
    error = failure_of(Pipeline("p").with_stage("s", Bad, output=kind))
    assert isinstance(error, StageContractError)


def test_only_what_ended_ok_is_checked() -> None:
    """A stage that skips has no value that could be of the wrong type."""

    @stage
    async def order() -> Order | StageOutput[Order]:
        return StageOutput.skip("nothing to order")

    assert Pipeline("shop", [order]).run_sync()["order"].status is StageStatus.SKIP


def test_a_broken_contract_is_retried_if_the_policy_lists_it() -> None:
    """A model that answers in the wrong form may do better the next time."""
    tried: list[int] = []

    @stage(retry=RetryPolicy(3, 0.0, retry_on=StageContractError))
    async def order(ctx: StageContext) -> Order:
        tried.append(ctx.attempt)
        return Order() if ctx.attempt == 2 else Order("none")  # pyright: ignore[reportArgumentType]

    assert Order() == Pipeline("shop", [order]).run_sync().value(order)
    assert [1, 2] == tried


class Answering(BaseInterceptor):
    def __init__(self, output: StageOutput[Any]) -> None:
        self.output = output

    async def before(self, ctx: Any) -> InterceptorResult:
        return InterceptorResult(self.output)


def test_what_an_interceptor_gives_in_the_stages_place_is_checked_too() -> None:
    """Whoever reads the stage relies on its type, wherever the value comes from."""

    @stage
    async def order() -> Order:
        raise AssertionError("it does not run")

    good, bad = Answering(StageOutput.ok(Order())), Answering(StageOutput.ok({"items": []}))
    assert Order() == Pipeline("shop", [order], interceptors=[good]).run_sync().value(order)
    error = failure_of(Pipeline("shop", [order], interceptors=[bad]))
    assert isinstance(error, StageContractError)
    assert "expected Order" in str(error)


def test_a_parameter_that_can_never_get_what_it_says_is_a_fault_of_the_build() -> None:
    """The two annotations stand in two functions, often in two files."""

    @stage
    async def order() -> Order:
        return Order()

    @stage
    async def bill(order: Item) -> None: ...

    with pytest.raises(ContractMismatchError, match="'bill'") as caught:
        Pipeline("shop", [order, bill]).build()
    assert ("bill", "order", "order") == (caught.value.stage, caught.value.parameter, caught.value.dependency)


def test_an_output_that_is_no_contract_is_a_fault_of_the_build() -> None:
    """There would be nothing to check, and nobody would notice."""

    class Nothing:
        async def execute(self, ctx: StageContext) -> None: ...

    with pytest.raises(PipelineValidationError, match=r"output= is int"):
        Pipeline("p").with_stage("s", Nothing, output=int).build()


def test_the_input_of_a_run_is_checked_before_it_starts() -> None:
    """A pipeline says what it takes."""
    begun: list[str] = []

    @stage
    async def bill(input: Order) -> None:
        begun.append("bill")

    shop = Pipeline("shop", [bill], input=Order)
    shop.run_sync(input=Order())
    for given in ({"items": []}, None, Order([Item("1")])):  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputContractError, match="'shop'"):
            shop.run_sync(input=given)
    assert ["bill"] == begun


def test_the_parameter_called_input_is_checked_against_what_the_pipeline_takes() -> None:
    """When it is built."""

    @stage
    async def bill(input: Item) -> None: ...

    with pytest.raises(ContractMismatchError):
        Pipeline("shop", [bill], input=Order).build()
    with pytest.raises(TypeError, match="takes a type"):
        Pipeline("shop", [bill], input=5).build()


def test_values_come_back_from_json_as_what_they_were() -> None:
    """A run that is resumed elsewhere gives its stages the types that they are annotated with."""
    due = datetime(2026, 11, 20, tzinfo=UTC)

    @stage
    async def order(input: Order) -> Order:
        return Order([*input.items, Item(2.0, due)])

    @stage
    async def approve(ctx: StageContext, order: Order) -> StageOutput[Any] | None:
        return StageOutput.suspend("may it be paid?") if ctx.decision is None else None

    @stage(dependencies="approve")
    async def pay(order: Order, input: Order) -> dict[str, Any]:
        return {"sum": sum(item.price for item in order.items), "due": order.items[-1].due, "asked": len(input.items)}

    shop = Pipeline("shop", [order, approve, pay], input=Order)
    with pytest.raises(PipelineSuspended) as caught:
        shop.run_sync(input=Order([Item(1.0)]))
    kept = PipelineResults.from_dict(json.loads(json.dumps(caught.value.results.to_dict())))
    again = PipelineResults.from_dict(json.loads(json.dumps(kept.to_dict())))
    ended = shop.run_sync(resume=again, decisions={approve: True})
    assert {"sum": 3.0, "due": due, "asked": 1} == ended.data(pay)
    assert Order([Item(1.0), Item(2.0, due)]) == ended.value(order)


def test_a_value_whose_type_nobody_declares_cannot_be_made_again() -> None:
    """A mapping in its place would be another type than in the process where the run began."""

    class Untyped:
        async def execute(self, ctx: StageContext):
            return Order()

    class Ask:
        async def execute(self, ctx: StageContext):
            return StageOutput.suspend("go on?")

    shop = Pipeline("shop").with_stage("order", Untyped).with_stage("ask", Ask)
    with pytest.raises(PipelineSuspended) as caught:
        shop.run_sync()
    kept = PipelineResults.from_dict(caught.value.results.to_dict())
    with pytest.raises(ResumeError, match="'order'") as refused:
        shop.run_sync(resume=kept, decisions={"ask": True})
    assert "output=" in str(refused.value.hint)


def test_an_input_whose_type_nobody_declares_cannot_be_made_again() -> None:
    """The pipeline says it by `input=`."""

    @stage
    async def ask() -> StageOutput[Any]:
        return StageOutput.suspend("go on?")

    shop = Pipeline("shop", [ask])
    with pytest.raises(PipelineSuspended) as caught:
        shop.run_sync(input=Order())
    kept = PipelineResults.from_dict(caught.value.results.to_dict())
    with pytest.raises(ResumeError, match="input") as refused:
        shop.run_sync(resume=kept, decisions={"ask": True})
    assert "input=" in str(refused.value.hint)


def test_an_event_tells_of_a_broken_contract_without_the_value() -> None:
    """It may be a password that came where a number should be."""
    events: list[dict[str, Any]] = []

    class Sink:
        async def emit(self, *, type: str, data: dict[str, Any] | None) -> None:
            self.try_emit(type=type, data=data)

        def try_emit(self, *, type: str, data: dict[str, Any] | None) -> None:
            events.append(data or {})

    @stage
    async def order() -> Order:
        return Order([Item("swordfish")])  # pyright: ignore[reportArgumentType]

    with pytest.raises(StageExecutionError, match="swordfish"):
        Pipeline("shop", [order]).run_sync(event_sink=Sink())
    (failed,) = (event for event in events if event["event_type"] == "stage.order.failed")
    expected = "Stage 'order' returned, at $.items[0].price, a str; expected float."
    assert expected == failed["data"]["error"]["message"]
    assert "swordfish" not in str(events)


class Watching(BaseInterceptor):
    priority = -1

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def after(self, ctx: Any, output: StageOutput[Any]) -> None:
        self.seen.append("after")

    async def on_error(self, ctx: Any, error: BaseException) -> ErrorAction:
        self.seen.append(type(error).__name__)
        return ErrorAction.FAIL


def test_interceptors_further_out_see_that_a_replacement_breaks_the_contract() -> None:
    """Metrics would count a success that the run does not know."""

    @stage
    async def order() -> Order:
        raise AssertionError("it does not run")

    watching = Watching()
    failure_of(Pipeline("shop", [order], interceptors=[watching, Answering(StageOutput.ok({"items": []}))]))
    assert ["StageContractError"] == watching.seen
