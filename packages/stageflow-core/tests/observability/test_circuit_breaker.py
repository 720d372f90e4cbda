"""The states of a circuit breaker, and who may pass in each."""

import pytest
from stageflow.observability.circuit_breaker import CircuitBreaker, InMemoryCircuitBreaker, NoOpCircuitBreaker


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return InMemoryCircuitBreaker(failure_threshold=3, recovery_time=10.0, probes=2, clock=clock)


async def fail(breaker, times=1, circuit="groq"):
    for _ in range(times):
        await breaker.record_failure(circuit, await breaker.allow(circuit))


async def succeed(breaker, circuit="groq"):
    await breaker.record_success(circuit, await breaker.allow(circuit))


async def test_it_opens_after_so_many_failures_in_a_row(breaker):
    """A success begins the count anew."""
    await fail(breaker, 2)
    await succeed(breaker)
    await fail(breaker, 2)
    assert "closed" == breaker.state("groq")
    await fail(breaker)
    assert "open" == breaker.state("groq")


async def test_an_open_circuit_says_how_long_it_stays_so(breaker, clock):
    """To the second."""
    await fail(breaker, 3)
    clock.now += 4
    permit = await breaker.allow("groq")
    assert (False, "open", 6.0) == (permit.allowed, permit.state, permit.retry_after)
    assert "CircuitPermit(False, 'open', retry_after=6.0)" == repr(permit)


async def test_other_circuits_are_not_concerned(breaker):
    """Each name has its own."""
    await fail(breaker, 3)
    assert (await breaker.allow("whisper")).allowed


async def test_a_half_open_circuit_lets_a_few_probes_through(breaker, clock):
    """And says when the next may come."""
    await fail(breaker, 3)
    clock.now += 10
    first = await breaker.allow("groq")
    clock.now += 1
    second, third = await breaker.allow("groq"), await breaker.allow("groq")
    assert [True, True, False] == [permit.allowed for permit in (first, second, third)]
    assert ("half-open", 9.0) == (third.state, third.retry_after)


async def test_a_probe_that_succeeds_closes_the_circuit(breaker, clock):
    """Though another fails later: it belongs to the time before."""
    await fail(breaker, 3)
    clock.now += 10
    first, second = await breaker.allow("groq"), await breaker.allow("groq")
    await breaker.record_success("groq", first)
    assert "closed" == breaker.state("groq")
    await breaker.record_failure("groq", second)
    await fail(breaker, 2)
    assert "closed" == breaker.state("groq")


async def test_a_probe_that_fails_opens_the_circuit_again(breaker, clock):
    """For the whole time; a success of another probe comes too late."""
    await fail(breaker, 3)
    clock.now += 10
    first, second = await breaker.allow("groq"), await breaker.allow("groq")
    await breaker.record_failure("groq", first)
    await breaker.record_success("groq", second)
    assert 10.0 == (await breaker.allow("groq")).retry_after


async def test_a_released_probe_gives_its_place_back(breaker, clock):
    """It has said nothing of the circuit."""
    await fail(breaker, 3)
    clock.now += 10
    first, _ = await breaker.allow("groq"), await breaker.allow("groq")
    await breaker.release("groq", first)
    assert "half-open" == breaker.state("groq")
    assert (await breaker.allow("groq")).allowed


async def test_a_probe_that_never_ends_is_given_up(breaker, clock):
    """Else a hanging call would keep its circuit half-open for ever; what it reports later counts for nothing."""
    await fail(breaker, 3)
    clock.now += 10
    lost = [await breaker.allow("groq"), await breaker.allow("groq")]
    clock.now += 10
    assert (await breaker.allow("groq")).allowed
    await breaker.record_failure("groq", lost[0])
    await breaker.record_success("groq", lost[1])
    assert "half-open" == breaker.state("groq")


async def test_what_was_allowed_before_the_circuit_opened_counts_no_more(breaker, clock):
    """A slow call from better days neither closes it nor keeps it open."""
    early = [await breaker.allow("groq") for _ in range(3)]
    await fail(breaker, 3)
    await breaker.record_success("groq", early[0])
    assert "open" == breaker.state("groq")
    clock.now += 10
    await succeed(breaker)
    await breaker.record_failure("groq", early[1])
    await fail(breaker, 2)
    assert "closed" == breaker.state("groq")
    await breaker.record_success("groq", early[2])
    await fail(breaker)
    assert "open" == breaker.state("groq")


async def test_released_calls_do_not_count(breaker):
    """Neither as failures nor as successes."""
    await fail(breaker, 2)
    await breaker.release("groq", await breaker.allow("groq"))
    await fail(breaker)
    assert "open" == breaker.state("groq")


async def test_a_circuit_that_is_well_and_idle_is_forgotten(breaker):
    """There may be one for each tenant."""
    for number in range(100):
        await succeed(breaker, f"tenant-{number}")
    assert {} == breaker._circuits
    going_on = await breaker.allow("groq")
    await succeed(breaker)
    await breaker.record_failure("groq", going_on)
    await fail(breaker, 2)
    assert "open" == breaker.state("groq")


async def test_its_clock_is_that_of_the_event_loop_unless_given():
    """So that simulated time works."""
    breaker = InMemoryCircuitBreaker(failure_threshold=1)
    await fail(breaker)
    assert 0 < (await breaker.allow("groq")).retry_after <= 30.0


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "5"])
@pytest.mark.parametrize("name", ["failure_threshold", "probes"])
def test_counts_are_whole_numbers_from_one(name, value):
    """Anything else is refused where it is given."""
    with pytest.raises(ValueError, match=f"{name} of a circuit breaker is a whole number from 1 on, not {value!r}"):
        InMemoryCircuitBreaker(**{name: value})


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, None, "5"])
def test_the_recovery_time_is_above_zero(value):
    """Anything else is refused where it is given."""
    with pytest.raises(
        ValueError, match=f"recovery_time of a circuit breaker is a number of seconds above 0, not {value!r}"
    ):
        InMemoryCircuitBreaker(recovery_time=value)


async def test_the_no_op_lets_everything_through():
    """However much fails."""
    breaker = NoOpCircuitBreaker()
    assert isinstance(breaker, CircuitBreaker)
    await fail(breaker, 1000)
    await succeed(breaker)
    await breaker.release("groq", await breaker.allow("groq"))
    assert (await breaker.allow("groq")).allowed
