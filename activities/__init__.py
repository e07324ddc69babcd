"""What a workflow asks for: load, call one pure function, append or send. No decision on business state."""
