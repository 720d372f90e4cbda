"""What code would make, as far as that can be told without running it.

Statements are followed in their order, once each: both branches of an `if` whose test is not known, a loop over known
items as often as it would run, any other once, with nothing known of what it changes. What cannot be told is UNKNOWN,
and nothing is concluded from it. The same evaluation follows a module, which builds pipelines, and the code of a stage,
which reads others: there its context is a value as well, and a `Reader` is told of what is done with it.

Nesting is followed by recursion but for what grows in generated code: chains of calls and operators, and of `elif`.
"""
