"""The loop, synchronous and ahead of itself, with what it needs: components, tasks, demonstrations, listeners."""
