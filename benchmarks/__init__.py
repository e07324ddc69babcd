"""What the project claims about its speed, measured against references of the same run. `make bench` runs all of it."""
