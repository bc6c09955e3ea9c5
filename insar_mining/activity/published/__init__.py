"""The published method: stable points, scene filter, NDAI, composite, classes and areas."""
