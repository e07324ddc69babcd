"""The policy versions that a health plan's rules went through, each adopted by a person, bytes and all."""
