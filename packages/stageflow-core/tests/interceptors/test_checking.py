"""What is refused as an interceptor, and what is said about it."""

import functools

import pytest
from stageflow.errors import InvalidInterceptorError, PipelineValidationError
from stageflow.interceptors.base import BaseInterceptor
from stageflow.interceptors.checking import HOOKS, check_interceptors, interceptor_faults


class Auth(BaseInterceptor):
    """A good one."""

    async def before(self, ctx):
        return None


class Duck:
    """One that is not derived from BaseInterceptor."""

    name = "duck"
    priority = 1

    async def after(self, ctx, output):
        return None


def with_hook(hook, function):
    return type("Auth", (BaseInterceptor,), {hook: function})()


def with_(**attributes):
    return type("Auth", (Auth,), attributes)()


def test_good_ones_come_back_in_the_order_given():
    """Whatever iterable they came in."""
    auth, duck = Auth(), Duck()
    assert (duck, auth) == check_interceptors([duck, auth], pipeline="chat")
    assert (auth,) == check_interceptors((one for one in [auth]), pipeline="chat")
    assert () == check_interceptors((), pipeline="chat")
    assert 30.0 == auth.hook_timeout
    assert "Auth" == auth.name


def test_a_name_is_that_of_the_class_unless_given():
    """A derived class has its own, unless its parent was given one."""

    class Named(BaseInterceptor):
        name = "auth"

    class Derived(Named):
        pass

    class Fresh(Auth):
        pass

    own = Auth()
    own.name = "mine"
    assert ["auth", "auth", "Fresh", "mine"] == [Named().name, Derived().name, Fresh().name, own.name]


def sync_before(self, ctx):
    return None


async def generator(self, ctx, call):
    yield await call()


class Callable:
    """An object that is called like an async function."""

    async def __call__(self, ctx):
        return None


NO_HOOKS = "has none of the hooks of an interceptor. Derive it from BaseInterceptor, and override what is wanted."


@pytest.mark.parametrize(
    ("interceptor", "told"),
    [
        (Auth, "the class Auth, is a class, not an instance of it. Write Auth(...)."),
        (
            type("Odd", (BaseInterceptor,), {"only_watches": "yes", "before": Auth.before})(),
            "'Odd', has the only_watches 'yes'. It is True or False.",
        ),
        (
            type("Odd", (BaseInterceptor,), {"calls_again": 1, "before": Auth.before})(),
            "'Odd', has the calls_again 1. It is True or False.",
        ),
        (5, f"5, {NO_HOOKS}"),
        ((), "(), is several. Unpack it: (*several, another), or with_interceptors(*several)."),
        (
            type("Half", (), {"name": "half", "priority": 0, "fallback": Auth.before})(),
            f"'half', {NO_HOOKS}",
        ),
        (
            with_hook("before", sync_before),
            (
                "'Auth', has a hook `before` that is not async. "
                "Write: async def before(self, ctx) -> InterceptorResult | None."
            ),
        ),
        (
            with_hook("around", generator),
            (
                "'Auth', has a hook `around` that yields. It returns instead: "
                "async def around(self, ctx, call) -> StageOutput, with `await call()` where it yields."
            ),
        ),
        (
            with_hook("after", Auth.before),
            (
                "'Auth', has a hook `after` with other parameters (too many positional arguments). "
                "Write: async def after(self, ctx, output) -> None."
            ),
        ),
        (with_(name=""), "an Auth, has the name ''. Give it a `name`, which errors call it by."),
        (with_(name=None), "an Auth, has the name None. Give it a `name`, which errors call it by."),
        (
            with_(priority="high"),
            "'Auth', has the priority 'high'. A priority is a number; lower ones are further out.",
        ),
        (with_(priority=None), "'Auth', has the priority None. A priority is a number; lower ones are further out."),
        (with_(priority=True), "'Auth', has the priority True. A priority is a number; lower ones are further out."),
        (
            with_(priority=float("nan")),
            "'Auth', has the priority nan. A priority is a number; lower ones are further out.",
        ),
        *[
            (
                with_(hook_timeout=limit),
                f"'Auth', has the hook_timeout {limit!r}. A hook_timeout is a number of seconds, above 0 and finite.",
            )
            for limit in (0, -1, float("nan"), float("inf"), None, "1", True)
        ],
        (
            type("Auth", (BaseInterceptor,), {"befor": Auth.before})(),
            "'Auth', has no `before`, and an async method `befor`, which nobody calls. Call it `before`, or _befor.",
        ),
    ],
)
def test_what_is_no_interceptor_is_refused(interceptor, told):
    """With what is wrong, where, and what to write."""
    with pytest.raises(InvalidInterceptorError) as caught:
        check_interceptors([Duck(), interceptor], pipeline="chat")
    assert f"Interceptor 2 of pipeline 'chat', {told}" == str(caught.value)
    assert told.startswith(f"{caught.value.interceptor},")


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("wrong", ["none", "one-more"])
def test_each_hook_has_its_own_parameters(hook, wrong):
    """The message shows the right ones."""

    async def none(self):
        return None

    async def one_more(self, ctx, second, third, fourth):
        return None

    with pytest.raises(InvalidInterceptorError, match="with other parameters") as caught:
        check_interceptors([with_hook(hook, none if wrong == "none" else one_more)], pipeline="chat")
    assert f"Write: async def {hook}(self, ctx" in caught.value.hint


def test_more_than_the_parameters_is_fine_if_it_need_not_be_given():
    """So are other names, and `*args`."""

    async def named_otherwise(self, context, *, strict=True):
        return None

    async def anything(self, *args, **kwargs):
        return None

    bound = staticmethod(functools.partial(anything, None))
    interceptors = [with_hook("before", named_otherwise), with_hook("around", anything), with_hook("before", bound)]
    assert tuple(interceptors) == check_interceptors(interceptors, pipeline="chat")


def test_an_object_that_is_called_asynchronously_is_a_hook():
    """As `functools.partial` and mocks are."""
    auth = Auth()
    auth.before = Callable()
    assert (auth,) == check_interceptors([auth], pipeline="chat")


def test_a_public_method_of_another_name_is_nobodys_business():
    """Only what looks like a misspelt hook is refused; not even that if the hook itself is there."""

    class Busy(Auth):
        async def before_all(self):
            return None

        async def befores(self):
            return None

        async def _aroun(self):
            return None

        def arounds(self):
            return None

    assert [] == interceptor_faults([Busy()], pipeline="chat")[1]


@pytest.mark.parametrize("given", [5, None, "auth", b"auth"])
def test_what_is_no_iterable_is_refused(given):
    """A single one is given as a tuple too."""
    with pytest.raises(InvalidInterceptorError, match="Pipeline 'chat' takes its interceptors as a tuple or list, not"):
        check_interceptors(given, pipeline="chat")


def test_a_single_one_is_shown_as_a_tuple():
    """That is the likeliest slip."""
    with pytest.raises(InvalidInterceptorError) as caught:
        check_interceptors(Auth(), pipeline="chat")
    assert (
        "Pipeline 'chat' takes its interceptors as a tuple or list, not as an Auth. "
        "Give a tuple, even of one: interceptors=(auth,)."
    ) == str(caught.value)


def test_the_same_object_twice_is_refused():
    """Two of a kind are fine."""
    auth = Auth()
    check_interceptors([auth, Auth()], pipeline="chat")
    with pytest.raises(InvalidInterceptorError, match="Interceptor 3 of pipeline 'chat', 'Auth', is given twice"):
        check_interceptors([auth, Duck(), auth], pipeline="chat")


def test_all_faults_are_told_at_once():
    """One error for each, as for stages."""
    with pytest.raises(PipelineValidationError) as caught:
        check_interceptors([Auth, with_(priority=None, hook_timeout=0), 5], pipeline="chat")
    assert [InvalidInterceptorError] * 4 == [type(fault) for fault in caught.value.faults]
    given, faults = interceptor_faults([Auth], pipeline="chat")
    assert ((Auth,), 1) == (given, len(faults))
