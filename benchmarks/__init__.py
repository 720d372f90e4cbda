"""What the executor costs, as ratios against hand-written asyncio; README.md says how each figure is taken."""
