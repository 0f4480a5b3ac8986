"""What all tests begin with."""

import os

# readline, which pytest imports, puts it into the environment of parallel workers: 80 columns,
# though nobody looks at a terminal.
os.environ.pop("COLUMNS", None)
