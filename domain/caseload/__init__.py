"""What one care manager carries: which members, with which weight, and who allowed more than the cap."""
