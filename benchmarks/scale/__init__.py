"""Whether very large runs finish, and how their time and memory grow; ../README.md says how each figure is taken."""
