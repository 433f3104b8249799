"""`python -m scaffold` is the command `scaffold`."""

import sys

from scaffold.cli import main

sys.exit(main())
