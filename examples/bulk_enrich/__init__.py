"""Enrich the rows of a CSV file, many at once: `python -m examples.bulk_enrich`."""
