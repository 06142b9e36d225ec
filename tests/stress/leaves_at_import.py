"""A module that ends its process as it is imported."""

import sys

sys.exit(5)
