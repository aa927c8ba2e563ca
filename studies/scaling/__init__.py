"""Time and memory against length, depth and devices."""
