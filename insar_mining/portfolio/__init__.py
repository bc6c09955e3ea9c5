"""Many mines: read, planned and run together, every shared burst fetched once."""
