"""Downloads: sessions, transfers, checksums, products, orbits and elevation models."""
