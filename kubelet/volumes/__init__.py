"""Volumes of pods: one file per kind, each with `async def set_up(request) -> Path`, safe to repeat."""
