"""The same graphs in other frameworks, each in an environment of its own and beside LIMIT in the same process."""
