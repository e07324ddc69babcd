"""The outside world, scripted: hospitals, health plans, people, and a virtual clock."""
