"""The entry point: `python -m examples.bulk_enrich [orders.csv]`."""

import sys

from examples.bulk_enrich.command import main

sys.exit(main())
